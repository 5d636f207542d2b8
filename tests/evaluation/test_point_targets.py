"""Feature maps lifted to points: against pixels, depths and plain loops; probes that have seen no answer."""

import numpy as np
import pytest
import torch

from pointmcd.datasets.label_choice import fold_numbers
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation import point_targets
from pointmcd.evaluation.point_targets import OTHER_PARTS, fit_point_probe, lift
from pointmcd.geometry import CameraRig
from pointmcd.geometry.correspondence import project, rig_intrinsics


def ramp(side):
    """A map that says of each cell where its centre lies: u and v in 0..1."""
    centre = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.stack(torch.meshgrid(centre, centre, indexing="xy"))


def test_a_map_of_positions_gives_the_mean_position_over_the_views_that_see_a_point():
    rng = np.random.default_rng(0)
    pixel = torch.from_numpy(rng.uniform(0.15, 0.85, (2, 3, 7, 2)))
    seen = torch.from_numpy(rng.random((2, 3, 7)) < 0.5)
    seen[0, :, 0] = False
    maps = [ramp(side).expand(2, 3, 2, side, side) for side in (8, 4)]
    lifted = lift(maps, pixel.masked_fill(~seen[..., None], torch.nan), seen)
    for shape in range(2):
        for point in range(7):
            views = pixel[shape, seen[shape, :, point], point]
            expected = views.mean(0) if len(views) else torch.zeros(2, dtype=torch.float64)
            torch.testing.assert_close(lifted[shape, point], torch.cat([expected, expected]))


def test_where_a_view_sees_a_point_its_depth_is_that_of_the_point(parts_set):
    """Which is so only where pixel, camera and mask are of the same point."""
    prepared = PreparedSet(parts_set)
    rig, data = CameraRig.from_dict(prepared.manifest["rig"]), prepared.split("train")
    pixel, z = project(data.points[3], rig_intrinsics(rig, 1), rig.world_to_camera())
    off, count = [], 0
    for view in range(prepared.num_views):
        depth = data.depths.read(3, view)
        seen = (data.visibility[3] >> view) & 1 > 0
        column, row = (pixel[view, seen] * len(depth)).astype(int).T
        off.append(np.abs(depth[row, column] - z[view, seen]))
        count += seen.sum()
    assert count > 300
    assert np.median(np.concatenate(off)) < 0.02


@pytest.fixture
def features(parts_set):
    """Made-up features that say something of the parts; one point that no view sees."""
    data = PreparedSet(parts_set).split("train")
    rng = np.random.default_rng(0)
    parts = np.asarray(data.parts[:, :64]).astype(int)
    said = rng.normal(size=(*parts.shape, 12)) + 2 * rng.normal(size=(20, 12))[parts]
    said[:, 5] = 0
    return said


def test_a_probe_of_points(parts_set, features):
    prepared = PreparedSet(parts_set)
    data = prepared.split("train")
    rows = np.arange(len(data))
    probe = fit_point_probe(features, prepared, rows, fold_numbers(data.labels, 2))
    logits = probe.logits(features, data.labels, rows)
    cross_fitted = probe.record["cross_fitted_point_accuracy"] / 100
    assert (logits[:, 5] == 0).all()
    parts = np.asarray(data.parts[:, :64])
    right = (logits.argmax(-1) == parts)[:, np.arange(64) != 5].mean()
    assert right > 0.8
    assert cross_fitted == pytest.approx(right)
    for row, label in enumerate(data.labels):
        own = prepared.class_parts[label]
        others = np.setdiff1d(np.arange(logits.shape[-1]), own)
        gap = logits[row][:, own].min(1) - logits[row][:, others].max(1)
        np.testing.assert_allclose(np.delete(gap, 5), OTHER_PARTS, rtol=1e-5)


def test_no_logit_depends_on_the_parts_of_its_own_shape(parts_set, features, monkeypatch):
    monkeypatch.setattr(point_targets, "REGULARISATIONS", (0.1,))  # which all labels choose together
    prepared = PreparedSet(parts_set)
    data = prepared.split("train")
    rows, numbers = np.arange(len(data)), fold_numbers(data.labels, 2)
    before = fit_point_probe(features, prepared, rows, numbers).logits(features, data.labels, rows)
    kept, own = data.parts, prepared.class_parts[data.labels[2]]
    data.parts = np.array(kept)
    data.parts[2] = np.roll(own, 1)[np.searchsorted(own, kept[2])]
    after = fit_point_probe(features, prepared, rows, numbers).logits(features, data.labels, rows)
    fold = numbers == numbers[2]
    np.testing.assert_array_equal(after[fold], before[fold])
    assert np.abs(after[~fold] - before[~fold]).max() > 0.01
