"""What frozen image networks say of single points: feature maps lifted to the points that each view sees."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.device import get_device
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from pointmcd.cpu import set_up_cpu
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.probe import Probe, choose_regularisation, cross_fitted_logits, fit_probe
from pointmcd.evaluation.projection import Projection
from pointmcd.geometry import CameraRig
from pointmcd.geometry.correspondence import project, rig_intrinsics
from pointmcd.models.teachers.frozen import FrozenTrunk

BATCH = 4  # shapes whose views go through a network at a time
FITTED_SHAPES = 128  # that the principal components are computed from
FITTED_POINTS = 128  # of each labelled shape that a probe learns from
REGULARISATIONS = (1e-2, 1e-1, 1.0)
OTHER_PARTS = 30.0  # how far below all others the logits of another category's parts are
Track = Callable[..., Iterable[Any]]


def lift(maps: Sequence[Tensor], pixel: Tensor, seen: Tensor) -> Tensor:
    """Return the mean of feature maps over the views that see a point.

    Args:
        maps: For each level (B, V, C, h, w).
        pixel: (B, V, N, 2) where the points are in each view, x and y in 0..1; anything where it is not seen.
        seen: (B, V, N) bool, which views see a point.

    Returns:
        (B, N, sum of C), levels side by side; zeros for a point that no view sees.
    """
    batch, views, count = seen.shape
    grid = (2 * pixel.nan_to_num(0.0) - 1).reshape(batch * views, 1, count, 2)
    weight = seen.to(maps[0].dtype) / seen.sum(1, keepdim=True).clamp(min=1)
    lifted = []
    for level in maps:
        at = F.grid_sample(
            level.flatten(0, 1), grid.to(level.dtype), padding_mode="border", align_corners=False
        )
        lifted.append(torch.einsum("bvcn,bvn->bnc", at.view(batch, views, -1, count), weight))
    return torch.cat(lifted, -1)


def point_features(
    root: str | Path, trunk: FrozenTrunk, num_points: int, channels: int, track: Track
) -> TrunkFeatures:
    """Return what a network says of the first points of all shapes; from its folder where it is there.

    The maps of its levels are lifted, standardised (one scale a level) and projected onto their principal
    components, which some shapes of ``train`` give. No label is looked at.

    Args:
        root: Folder of the prepared set, with views and masks.
        trunk: The network, with ``levels``.
        num_points: N.
        channels: E.
        track: As ``pointmcd.progress.Progress.track``.

    Raises:
        ValueError: The set has no views, no masks or fewer points.
    """
    prepared, device = PreparedSet(root), get_device()
    if device == "cpu":
        set_up_cpu()
    rig = CameraRig.from_dict(prepared.manifest["rig"]) if prepared.has_views else None

    def lifted(split: str, rows: range | None = None) -> Iterator[Tensor]:
        dataset = PreparedShapes(str(root), split, num_points=num_points, views="all", visibility=True)
        chosen = dataset if rows is None else Subset(dataset, rows)
        loader = DataLoader(chosen, batch_size=BATCH, collate_fn=whole_batch)
        trunk.to(device)
        for batch in track(loader, description=f"{trunk.settings['trunk']}, points of {split}"):
            assert rig is not None  # the dataset was refused without views
            maps = trunk.feature_maps(trunk.images(batch["views"].to(device)))
            shape = batch["views"].shape[:2]
            pixel = project(batch["points"].numpy(), rig_intrinsics(rig, 1), rig.world_to_camera())[0]
            bits = torch.arange(shape[1], dtype=torch.int32)[:, None]
            seen = (batch["visibility"].unsqueeze(1) >> bits) & 1
            yield lift(
                [level.float().unflatten(0, shape) for level in maps],
                torch.from_numpy(pixel).float().transpose(0, 1).to(device),
                seen.bool().to(device),
            )

    projection: list[Projection] = []

    def compute(split: str) -> Iterator[Tensor]:
        if not projection:
            count = len(prepared.split("train"))
            rows = range(0, count, -(-count // FITTED_SHAPES))
            sample = np.concatenate([part.flatten(0, 1).cpu().numpy() for part in lifted("train", rows)])
            sample = sample[(sample != 0).any(1)]
            stages: Any = trunk.network.feature_info  # a list, of a whole network
            widths = [stages[level]["num_chs"] for level in trunk.levels or ()]
            projection.append(Projection.of(sample, widths, channels))
        for part in lifted(split):
            said = projection[0](part.cpu().numpy())
            said[~(part != 0).any(-1).cpu().numpy()] = 0
            yield torch.from_numpy(said)

    settings = {**trunk.settings, "points": num_points, "channels": channels}
    return TrunkFeatures.opened_or_written(root, settings, trunk.weights_sha256(), compute)


class PointProbe(NamedTuple):
    """Linear probes of the parts of points: one of all labelled shapes, and one without each fold."""

    probe: Probe
    without_fold: list[Probe]
    fold_of_row: dict[int, int]  # of the labelled rows of train that are in a fold
    allowed: np.ndarray  # (K, P) bool, the parts of each category
    record: dict[str, Any]  # for meta.json

    def logits(self, features: np.ndarray, categories: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Return what is said of points; zeros for those that no view sees.

        Args:
            features: (B, N, E).
            categories: (B,).
            rows: (B,) of train, so that each shape is spoken of by a probe that has not seen it; None: of
                another split.

        Returns:
            (B, N, P) float32.
        """
        said = []
        for place, points in enumerate(features):
            fold = None if rows is None else self.fold_of_row.get(int(rows[place]))
            logits = (self.probe if fold is None else self.without_fold[fold]).logits(points)
            allowed = self.allowed[categories[place]]
            logits[:, ~allowed] = logits[:, allowed].min(1, keepdims=True) - OTHER_PARTS
            logits[~(points != 0).any(1)] = 0
            said.append(logits)
        return np.stack(said).astype(np.float32)


def fit_point_probe(
    features: np.ndarray, prepared: PreparedSet, labelled: np.ndarray, numbers: np.ndarray
) -> PointProbe:
    """Fit probes of the parts to what a student may know of ``train``.

    Args:
        features: (S, N, E) of all shapes of train.
        prepared: The set, with parts.
        labelled: (R,) rows of train whose parts are known.
        numbers: (R,) their folds, -1 for none (``fold_numbers``).
    """
    data = prepared.split("train")
    assert data.parts is not None
    assert prepared.class_parts is not None
    assert prepared.part_names is not None
    step = max(features.shape[1] // FITTED_POINTS, 1)
    x = np.asarray(features[labelled, ::step], np.float64)
    y = np.stack([data.parts[row, : features.shape[1] : step] for row in labelled]).astype(np.int64)
    seen = (x != 0).any(-1)
    folds = np.broadcast_to(numbers[:, None], seen.shape)[seen]
    x, y, count = x[seen], y[seen], len(prepared.part_names)
    logits = cross_fitted_logits(x, y, folds, count, REGULARISATIONS)
    chosen = REGULARISATIONS[choose_regularisation(logits, y, REGULARISATIONS)]
    allowed = np.zeros((len(prepared.class_names), count), bool)
    for category, parts in enumerate(prepared.class_parts):
        allowed[category, parts] = True
    inside = folds >= 0
    categories = np.broadcast_to(data.labels[labelled][:, None], seen.shape)[seen]
    best = np.where(allowed[categories], logits[REGULARISATIONS.index(chosen)], -np.inf)[inside]
    right = (best.argmax(1) == y[inside]).mean() if inside.any() else None
    return PointProbe(
        fit_probe(x, y, count, chosen),
        [fit_probe(x[folds != k], y[folds != k], count, chosen) for k in range(numbers.max(initial=-1) + 1)],
        {int(row): int(number) for row, number in zip(labelled, numbers, strict=True) if number >= 0},
        allowed,
        {
            "regularisation": chosen,
            "cross_fitted_point_accuracy": None if right is None else 100 * float(right),
        },
    )
