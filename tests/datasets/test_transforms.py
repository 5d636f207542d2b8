"""Augmentations: what they may change, and that masks stay with their points."""

import pytest
import torch

from pointmcd.datasets import transforms
from pointmcd.registry import TRANSFORMS

POINT_TRANSFORMS = [
    "RandomScale",
    "RandomShift",
    "RandomRotate",
    "RandomRotateSO3",
    "RandomJitter",
    "RandomSubset",
]


def build(name):
    return TRANSFORMS.build({"type": name, **({"num_points": 20} if name == "RandomSubset" else {})})


@pytest.fixture
def batch():
    """Points whose normal and mask say which point it is."""
    torch.manual_seed(0)
    points = torch.randn(3, 40, 3, dtype=torch.float64)
    number = torch.arange(120).view(3, 40)
    return {
        "points": points,
        "normals": points.clone(),
        "visibility": number.to(torch.int32),
        "parts": number,
        "label": torch.arange(3),
    }


@pytest.mark.parametrize("name", POINT_TRANSFORMS)
def test_masks_stay_with_their_points(name, batch):
    before = {key: value.clone() for key, value in batch.items()}
    after = build(name)(batch)
    for key, value in before.items():
        assert torch.equal(batch[key], value), f"{name} changed its input's {key}"
    number = after["parts"]
    assert torch.equal(after["visibility"].long(), number)
    assert torch.equal(after["label"], before["label"])
    original = before["points"].view(-1, 3)[number]
    # Whatever moves points moves every shape by one affine map, up to jitter's clip: the points left are
    # still theirs.
    if name == "RandomSubset":
        assert torch.equal(after["points"], original)
    for shape in range(3):
        homogeneous = torch.cat([original[shape], torch.ones(number.shape[1], 1, dtype=torch.float64)], 1)
        fit = torch.linalg.lstsq(homogeneous, after["points"][shape]).solution
        assert (homogeneous @ fit - after["points"][shape]).abs().max() < 0.04


def test_scale_and_shift_stay_in_range():
    batch = {"points": torch.ones(2000, 1, 3)}
    scaled = transforms.RandomScale(0.5, 2.0)(batch)["points"]
    assert 0.5 <= scaled.min() < 0.55
    assert 1.9 < scaled.max() <= 2.0
    assert not torch.equal(scaled[..., 0], scaled[..., 1])
    isotropic = transforms.RandomScale(0.5, 2.0, anisotropic=False)(batch)["points"]
    assert torch.equal(isotropic[..., 0], isotropic[..., 1])
    shifted = transforms.RandomShift(0.2)(batch)["points"] - 1
    assert shifted.abs().max() <= 0.2 + 1e-6


def test_rotation_keeps_heights_and_lengths(batch):
    turned = transforms.RandomRotate()(batch)
    torch.testing.assert_close(turned["points"].norm(dim=-1), batch["points"].norm(dim=-1))
    torch.testing.assert_close(turned["points"][..., 2], batch["points"][..., 2])
    torch.testing.assert_close(turned["normals"], turned["points"])


def test_any_rotation_is_one_and_each_is_as_likely():
    torch.manual_seed(0)
    eye = torch.eye(3, dtype=torch.float64).expand(400, 3, 3)
    matrix = transforms.RandomRotateSO3()({"points": eye, "normals": eye})["points"]
    torch.testing.assert_close(matrix @ matrix.mT, eye)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(400, dtype=torch.float64))
    assert matrix[:, 2, 2].histc(4, -1, 1).min() > 60  # heights on the sphere are uniform (Archimedes)
    assert matrix[:, 0, 2].histc(4, -1, 1).min() > 60


def test_normals_stay_at_right_angles_to_a_scaled_surface(batch):
    """A unit sphere becomes an ellipsoid, whose normals are the gradient of its equation."""
    points = torch.nn.functional.normalize(batch["points"], dim=-1)
    after = transforms.RandomScale(0.5, 2.0)({"points": points, "normals": points})
    factors = (after["points"] / points)[:, :1]
    gradient = torch.nn.functional.normalize(after["points"] / factors**2, dim=-1)
    torch.testing.assert_close(after["normals"], gradient)


def test_subset_is_without_repeats(batch):
    kept = transforms.RandomSubset(20)(batch)["parts"]
    assert all(len(set(row.tolist())) == 20 for row in kept)


def test_subset_of_too_few_points_is_refused(batch):
    with pytest.raises(ValueError, match="num_points is 41, but a shape has 40 points"):
        transforms.RandomSubset(41)(batch)


def test_views_flip_as_a_whole():
    torch.manual_seed(0)
    views = torch.randint(256, (50, 2, 3, 4, 4), dtype=torch.uint8)
    flipped = transforms.RandomFlipViews()({"views": views})["views"]
    same = (flipped == views).flatten(1).all(1)
    mirrored = (flipped == views.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 10 < same.sum() < 40


def test_label_images_and_depths_flip_with_the_views():
    torch.manual_seed(0)
    parts = torch.arange(50 * 2 * 4 * 4).view(50, 2, 4, 4)
    batch = {"views": parts.unsqueeze(2).repeat(1, 1, 3, 1, 1), "part_views": parts, "depths": parts.float()}
    flipped = transforms.RandomFlipViews()(batch)
    assert (flipped["part_views"] != parts).any()
    assert torch.equal(flipped["part_views"], flipped["views"][:, :, 0])
    assert torch.equal(flipped["depths"], flipped["part_views"].float())


def test_a_subset_takes_what_is_said_of_its_points_along():
    batch = {"points": torch.rand(2, 40, 3)}
    batch["teacher"] = {"point_descriptors": batch["points"] * 2, "descriptor": torch.rand(2, 5)}
    kept = transforms.RandomSubset(20)(batch)
    assert torch.equal(kept["teacher"]["point_descriptors"], kept["points"] * 2)
    assert kept["teacher"]["descriptor"] is batch["teacher"]["descriptor"]
    assert batch["teacher"]["point_descriptors"].shape == (2, 40, 3)
