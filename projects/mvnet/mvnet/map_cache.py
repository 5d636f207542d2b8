"""What an image network said of every view of a prepared set, written down once: ``<root>/maps/<name>/``.

    meta.json            digest of the data, the network's settings and the digest of its weights, the grid
    <split>_<level>.npy  (S, V, h, h, D) float16, the level's features at the nodes of the grid

How it is written, hashed and checked: ``pointmcd/datasets/array_cache.py``.
"""

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.batch import Batch
from pointmcd.datasets.array_cache import ArrayCache, ArrayCacheWriter
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.registry import DATASETS, MODELS
from projects.mvnet.mvnet.image_network import ImageNetwork
from projects.mvnet.mvnet.posed_shapes import PosedShapes
from projects.mvnet.mvnet.views import grid_positions

KIND = "maps"


class MapCache(ArrayCache):
    """A cache, opened for reading: all of its arrays are mapped at once.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the cache.

    Attributes:
        meta: What ``meta.json`` says: ``channels`` of each level, ``stride``, ``side`` ...
        levels: For each split the levels, (S, V, h, h, D) float16.

    Raises:
        FileNotFoundError: There is no such cache, or it was not finished.
        ValueError: It is damaged, of other data than those of the set, or of another format version.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        self.root, self.name = Path(data_root), name
        remedy = f"write it: python -m projects.mvnet.tools.cache_maps CONFIG --name {name}"
        super().__init__(data_root, KIND, name, remedy)
        try:
            side, channels = int(self.meta["side"]), [int(width) for width in self.meta["channels"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.folder}/meta.json is damaged ({error!r}); {remedy}") from None
        self.levels: dict[str, list[np.ndarray]] = {
            split: [
                self.array(
                    f"{split}_{level}.npy",
                    "float16",
                    (len(self.prepared.split(split)), self.prepared.num_views, side, side, width),
                )
                for level, width in enumerate(channels)
            ]
            for split in self.meta["splits"]
        }

    def __reduce__(self) -> tuple:
        return _reopened, (self.root, self.name, self.identity)

    @property
    def label(self) -> str:
        """What tells this cache from all others, and names it for a reader."""
        return f"{self.name} ({self.identity[:12]})"

    def read(self, split: str, rows: np.ndarray, views: Tensor) -> list[Tensor]:
        """Return the ``views`` (B, v) of shapes ``rows`` (B,): (B, v, h, h, D) float16 for each level."""
        chosen = rows[:, None], views.numpy()
        return [torch.from_numpy(level[chosen]) for level in self.levels[split]]


def _reopened(root: Path, name: str, identity: str) -> MapCache:
    """Return what another process, such as a loader's worker, opens: the same cache or none."""
    cache = MapCache(root, name)
    if cache.identity != identity:
        raise ValueError(f"{cache.folder} was replaced by another cache meanwhile; start again")
    return cache


def write_maps(
    network: ImageNetwork,
    data_root: str | os.PathLike[str],
    name: str,
    stride: int,
    origin: dict[str, Any],
    batch_size: int = 8,
) -> Path:
    """Ask a network about every view of a prepared set.

    Args:
        network: On the device that it runs on.
        data_root: Folder of the prepared set.
        name: Name of the cache; a finished one of that name is replaced.
        stride: Of the grid, in pixels of the views.
        origin: Where the weights are from, for ``meta.json``.
        batch_size: Shapes asked about at a time.

    Returns:
        The folder of the cache.

    Raises:
        ValueError: What the network says is not finite in float16.
    """
    with ArrayCacheWriter(data_root, KIND, name) as writer:
        prepared = writer.prepared
        side = prepared.image_size
        if side is None:
            raise ValueError(f"{data_root} was prepared without cameras, so it has no views")
        positions = grid_positions(side, stride)
        for split in prepared.splits:
            _write_split(writer, network, split, positions, batch_size)
        return writer.finish(
            {
                "splits": prepared.splits,
                "channels": network.channels,
                "stride": stride,
                "side": len(positions),
                "network": network.settings,
                "weights": origin,
            }
        )


def _write_split(
    writer: ArrayCacheWriter, network: ImageNetwork, split: str, positions: Tensor, batch_size: int
) -> None:
    dataset = PreparedShapes(str(writer.prepared.root), split, num_points=1, views="all")
    device = next(network.parameters()).device
    size = len(dataset), writer.prepared.num_views, len(positions), len(positions)
    arrays = [
        writer.create(f"{split}_{level}.npy", np.float16, (*size, width))
        for level, width in enumerate(network.channels)
    ]
    for start in range(0, len(dataset), batch_size):
        rows = range(start, min(start + batch_size, len(dataset)))
        views = dataset.__getitems__(rows)["views"].to(device)
        for array, level in zip(arrays, network.maps({"views": views}, positions.to(device)), strict=True):
            half = level.half().cpu()
            if not half.isfinite().all():
                raise ValueError(f"shapes {rows} of {split}: a feature is not finite in float16")
            array[rows.start : rows.stop] = half.numpy()


class BatchWithMaps(Batch, total=False):
    """A batch of `ShapesWithMaps`."""

    maps: list[Tensor]  # for each level (B, v, h, h, D) float16
    maps_of: str  # label of the cache


@DATASETS.register_module()
class ShapesWithMaps(PosedShapes):
    """``PosedShapes`` that also reads what an image network said of the views that it loads.

    Args:
        maps: Name of the cache.
        data_root: As ``PosedShapes``.
        split: As ``PosedShapes``.
        kwargs: As ``PosedShapes``; ``views`` must be more than 0.
    """

    def __init__(self, maps: str, data_root: str, split: str, **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
        if not self.views:
            raise ValueError("the maps need views, but views is 0")
        self.maps = MapCache(data_root, maps)

    def __getitems__(self, indices: Any) -> BatchWithMaps:
        batch = cast(BatchWithMaps, super().__getitems__(indices))
        rows = self.rows[np.asarray(indices, np.int64)]
        batch["maps"] = self.maps.read(self._stored_split, rows, batch["view_index"])
        batch["maps_of"] = self.maps.label
        return batch


@MODELS.register_module()
class CachedMaps(nn.Module):
    """Say what ``cache_maps.py`` wrote down; ``ShapesWithMaps`` puts it into the batch.

    Args:
        data_root: Folder of the prepared set; filled in from the config's top level where it is None there.
        name: Name of the cache, which must be the ``maps`` of the dataset.
    """

    def __init__(self, data_root: str, name: str) -> None:
        super().__init__()
        cache = MapCache(data_root, name)
        self.meta, self.label = cache.meta, cache.label

    @property
    def channels(self) -> list[int]:
        """D of each level."""
        return self.meta["channels"]

    def maps(self, batch: BatchWithMaps, positions: Tensor) -> list[Tensor]:
        """Do as ``ImageNetwork.maps``.

        Raises:
            ValueError: The batch has no maps, or they are of another cache or another grid.
        """
        if "maps" not in batch:
            raise ValueError(
                "the batch has no maps: the training dataset must be ShapesWithMaps with maps='NAME'"
            )
        if batch["maps_of"] != self.label:
            raise ValueError(
                f"model.teacher is the cache {self.label}, but the dataset reads {batch['maps_of']}; give "
                "model.teacher.name and train_dataloader.dataset.maps the same name"
            )
        side, levels = len(positions), batch["maps"]
        if side != self.meta["side"]:
            raise ValueError(
                f"the cached maps are of a grid of stride {self.meta['stride']} ({self.meta['side']} nodes a "
                f"side), the model's has {side} nodes; give it the same stride, or write the cache again"
            )
        return [level.float() for level in levels]
