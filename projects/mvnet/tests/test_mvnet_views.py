"""The batched geometry agrees with the numpy form; the losses against answers that are known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pointmcd.geometry import render_views, rig
from pointmcd.geometry.correspondence import correspondences, rig_intrinsics, unproject
from pointmcd.geometry.correspondence import overlap as overlap_of_arrays
from projects.mvnet.mvnet.losses import KnowledgeTransfer, ViewCorrespondence
from projects.mvnet.mvnet.masking import visible_points
from projects.mvnet.mvnet.views import Matches, PosedViews, grid_positions, overlap

SIDE, STRIDE = 48, 4


@pytest.fixture(scope="module")
def depths():
    """Depth images (2, 12, H, H) of a torus and of two boxes."""
    from trimesh import creation, util

    boxes = [creation.box((0.6, 0.6, 0.2)), creation.box((0.2, 0.2, 1)).apply_translation((0.3, 0.3, 0))]
    meshes = creation.torus(0.7, 0.25), util.concatenate(boxes)
    return np.stack([render_views(mesh, rig("circle12"), SIDE).depth for mesh in meshes])


def test_unprojection_and_matches_agree_with_the_numpy_form(depths):
    cameras = rig("circle12")
    view_index = torch.tensor([[0, 1, 5, 11], [2, 3, 4, 8]])
    chosen = torch.from_numpy(depths).gather(1, view_index[..., None, None].expand(-1, -1, SIDE, SIDE))
    views = PosedViews(cameras, STRIDE, eps=0.03).double()
    projections = views.cameras({"view_index": view_index})
    surface = views.unproject(chosen.double(), projections)
    matches = views.match(surface, chosen.double(), projections)
    shares = overlap(matches.found, surface.valid)
    for shape in range(2):
        given = chosen[shape].numpy(), rig_intrinsics(cameras, SIDE)
        poses = cameras.world_to_camera()[view_index[shape]]
        points, valid = unproject(*given, poses, STRIDE)
        pixel, found = correspondences(*given, poses, STRIDE, eps=0.03)
        assert (surface.valid[shape].numpy() == valid).all()
        np.testing.assert_allclose(surface.points[shape], points, atol=1e-6)
        assert 0.2 < found[~np.eye(4, dtype=bool)].sum() / valid.sum() / 3 < 0.9
        assert (matches.found[shape].numpy() == found).mean() > 0.9999
        np.testing.assert_allclose(matches.position[shape][found] * SIDE, pixel[found], atol=1e-4)
        np.testing.assert_allclose(shares[shape], overlap_of_arrays(found, valid), atol=1e-2)


def test_grid_positions_are_pixel_centres():
    assert grid_positions(16, 8).tolist() == [4.5 / 16, 12.5 / 16]


def without_head(width, *options):
    """The loss of features that are compared as they are."""
    loss = KnowledgeTransfer(5, [width], *options)
    loss.heads[0] = torch.nn.Identity()
    return loss


def test_transfer_measures_the_angle():
    torch.manual_seed(0)
    theirs, ours = torch.randn(20, 6), torch.randn(20, 6)
    assert without_head(6)(3 * theirs, [theirs]).item() == pytest.approx(0, abs=1e-6)
    assert without_head(6)(-theirs, [theirs]).item() == pytest.approx(2, abs=1e-6)
    angle = torch.acos((F.normalize(theirs) * F.normalize(ours)).sum(-1))
    torch.testing.assert_close(without_head(6)(ours, [theirs]), 1 - angle.cos().mean())
    # where no component is farther apart than beta: half the squared distance of unit vectors over beta
    torch.testing.assert_close(
        without_head(6, "smooth_l1", 2.0)(ours, [theirs]), (1 - angle.cos().mean()) / 2
    )
    apart = (F.normalize(theirs) - F.normalize(ours)).abs().sum(-1).mean()
    torch.testing.assert_close(without_head(6, "smooth_l1", 1e-6)(ours, [theirs]), apart, rtol=1e-4, atol=0)


def test_transfer_averages_levels_and_survives_nothing_to_see():
    torch.manual_seed(0)
    both = KnowledgeTransfer(5, [6, 9]).eval()
    feats, targets = torch.randn(20, 5), [torch.randn(20, 6), torch.randn(20, 9)]
    apart = []
    for level in (0, 1):
        one = KnowledgeTransfer(5, [6]).eval()
        one.heads[0] = both.heads[level]
        apart.append(one(feats, [targets[level]]))
    torch.testing.assert_close(both(feats, targets), sum(apart) / 2)
    assert both(feats[:0], [target[:0] for target in targets]).item() == 0
    with pytest.raises(ValueError, match="distance is 'l3'; choose cosine or smooth_l1"):
        KnowledgeTransfer(5, [6], "l3")


def one_hot_maps(side=6):
    """Two views of one shape whose second is the first moved by one column, and features that say so."""
    features = torch.eye(side * side).view(side, side, -1)
    maps = torch.stack([features, features.roll(1, 1)])[None]
    positions = grid_positions(side, 1)
    v, u = torch.meshgrid(positions, positions, indexing="ij")
    place = torch.stack([u, v], -1)
    step = torch.tensor([1 / side, 0])
    position = torch.stack([place, place + step, place - step, place]).view(1, 2, 2, side, side, 2)
    inside = ((position >= 0) & (position < 1)).all(-1)
    return maps, torch.ones(1, 2, side, side, dtype=torch.bool), Matches(position, inside), positions


def identity_correspondence(**options):
    loss = ViewCorrespondence(36, 36, kernel_size=1, temperature=0.01, pixels=40, **options)
    loss.describe = torch.nn.Identity()
    return loss


def test_correspondence_is_solved_by_features_that_tell_points_apart():
    maps, valid, matches, positions = one_hot_maps()
    losses = identity_correspondence()(maps, valid, matches, positions)
    assert losses["loss_coordinates"].item() == pytest.approx(0, abs=1e-6)
    assert losses["loss_contrast"].item() == pytest.approx(0, abs=1e-6)
    # the second view's features moved once more: every answer is one column off, in u alone
    wrong = torch.stack([maps[0, 0], maps[0, 1].roll(1, 1)])[None]
    moved = identity_correspondence()(wrong, valid, matches, positions)
    assert moved["loss_coordinates"] > 0.5 * 1 / 6
    assert moved["loss_contrast"] > 1


def test_features_that_are_all_equal_guess_the_middle():
    maps, valid, matches, positions = one_hot_maps()
    losses = identity_correspondence()(torch.ones_like(maps), valid, matches, positions)
    truth = torch.cat([matches.position[0, a, b][matches.found[0, a, b]] for a, b in ((0, 1), (1, 0))])
    torch.testing.assert_close(losses["loss_coordinates"], (truth - 0.5).abs().mean())
    torch.testing.assert_close(losses["loss_contrast"], torch.tensor(30.0).log())  # 30 pixels of a pair


def test_soft_argmax_ignores_the_background():
    positions = grid_positions(6, 1)
    loss = identity_correspondence()
    keys = torch.ones(1, 36, 6, 6)
    seen = torch.zeros(1, 6, 6, dtype=torch.bool)
    seen[0, 2, 4] = True
    guess = loss.locate(torch.ones(1, 1, 36), keys, seen, positions)
    torch.testing.assert_close(guess[0, 0], torch.tensor([4.5 / 6, 2.5 / 6]))


def test_pairs_that_do_not_overlap_are_left_out():
    maps, valid, matches, positions = one_hot_maps()
    assert identity_correspondence(min_overlap=0.8)(maps, valid, matches, positions)["loss_contrast"] >= 0
    maps.requires_grad_()
    losses = identity_correspondence(min_overlap=0.9)(maps, valid, matches, positions)  # 5 of 6 columns
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert (maps.grad == 0).all()


def test_correspondence_weights_and_arguments():
    maps, valid, matches, positions = one_hot_maps()
    assert set(identity_correspondence(contrast=0.0)(maps, valid, matches, positions)) == {"loss_coordinates"}
    flat = torch.ones_like(maps)
    once, twice = (
        identity_correspondence(coordinates=0.0, contrast=weight)(flat, valid, matches, positions)
        for weight in (1.0, 2.0)
    )
    torch.testing.assert_close(2 * once["loss_contrast"], twice["loss_contrast"])
    with pytest.raises(ValueError, match="both weights are 0"):
        ViewCorrespondence(4, coordinates=0, contrast=0)
    with pytest.raises(ValueError, match="kernel_size must be odd, not 2"):
        ViewCorrespondence(4, kernel_size=2)


@pytest.mark.parametrize("patches", [0, 8])
def test_masks_keep_the_share_asked_for(patches):
    torch.manual_seed(0)
    points = torch.randn(3, 200, 3)
    kept = visible_points(points, 0.6, patches)
    assert kept.shape == (3, 80)
    assert (kept.diff(dim=1) > 0).all()
    if patches:
        from pointmcd import ops

        for cloud, rows in zip(points, kept, strict=True):
            centers = cloud[ops.farthest_point_sample(cloud[None], patches)[0]]
            patch = torch.cdist(cloud[None], centers[None])[0].argmin(-1)
            share = torch.bincount(patch[rows], minlength=8) / torch.bincount(patch, minlength=8)
            assert ((share > 0) & (share < 1)).sum() <= 1  # one patch in part, the others whole or gone


def test_masks_refuse_what_cannot_be():
    with pytest.raises(ValueError, match=r"ratio in \[0, 1\) and 0 to 5 patches, got 1.0 and 2"):
        visible_points(torch.zeros(1, 5, 3), 1.0, 2)
    assert visible_points(torch.zeros(1, 5, 3), 0.99, 0).shape == (1, 1)
