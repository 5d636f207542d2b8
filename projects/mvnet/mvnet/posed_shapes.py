"""Shapes with the cameras of their views."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointmcd.batch import Batch
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
