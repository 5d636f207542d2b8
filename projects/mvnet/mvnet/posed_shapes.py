"""Crops of scenes as datasets: with the cameras of their views, and of all areas but one."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointmcd.batch import Batch
from pointmcd.datasets.joined_shapes import JoinedShapes
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.folders import open_array
from pointmcd.registry import DATASETS


class PosedBatch(Batch, total=False):
    """A batch of `PosedShapes`."""

    cameras: Tensor  # (B, v, 3, 4) float32, from x, y, z, 1 to u z, v z, z; u and v in 0..1


@DATASETS.register_module()
class PosedShapes(PreparedShapes):
    """``PreparedShapes`` that also gives each view's own camera, where the set has them (crops of scenes).

    Args:
        data_root: As ``PreparedShapes``.
        split: As ``PreparedShapes``.
        kwargs: As ``PreparedShapes``.
    """

    def __init__(self, data_root: str, split: str, **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
        file = f"{self._stored_split}/cameras.npy"
        self.cameras = None
        if file in self.prepared.manifest["files"]:
            shape = len(self._data), self.prepared.num_views, 3, 4
            self.cameras = np.array(open_array(self.prepared.root / file, "float32", shape))

    def _read(self, rows: np.ndarray) -> Batch:
        batch: PosedBatch = {**super()._read(rows)}
        if self.cameras is not None and self.views:
            chosen = rows[:, None], batch["view_index"].numpy()
            batch["cameras"] = torch.from_numpy(self.cameras[chosen])
        return batch


@DATASETS.register_module()
class AreaShapes(JoinedShapes):
    """Crops of S3DIS, whose set has a split for each area: one area to test on, or the others to train on.

    Args:
        data_root: Folder of the set.
        split: ``train`` or ``test``.
        area: Number of the area that is left out of the training.
        options: As ``PreparedShapes``.

    Raises:
        ValueError: The set has no such area, or no other.
    """

    def __init__(self, data_root: str, split: str, area: int, **options: Any) -> None:
        there = PreparedSet(data_root).splits
        chosen = [name for name in there if (name == f"Area_{area}") == (split == "test")]
        if f"Area_{area}" not in there or not chosen or split not in ("train", "test"):
            raise ValueError(
                f"{split} of area {area} is not in {data_root}, which has {', '.join(there)}; make it with "
                "prepare_scenes --form s3dis"
            )
        PreparedShapes.__init__(self, data_root, chosen[0], **options)
        self.sets = [PreparedShapes(data_root, name, **options) for name in chosen[1:]]
        self._starts = np.cumsum([len(self.rows), *(len(one) for one in self.sets)])
        self.epoch_size = int(self._starts[-1])
        self.is_further = np.zeros(self.epoch_size, bool)
        self.labels = np.concatenate([self.labels, *(one.labels for one in self.sets)])
        self.labelled = np.concatenate([self.labelled, *(one.labelled for one in self.sets)])
