"""What an image network said of every view of a prepared set, written down once: ``<root>/maps/<name>/``.

    meta.json            digest of the data, the network's settings and the digest of its weights, the grid
    <split>_<level>.npy  (S, V, h, h, D) float16, the level's features at the nodes of the grid

Memory-mapped, without pickle. The folder is written under a temporary name and renamed when it is complete.
"""

import json
import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.batch import Batch
from pointmcd.datasets import PreparedShapes
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import write_json
from pointmcd.registry import DATASETS, MODELS
from projects.mvnet.mvnet.image_network import ImageNetwork
from projects.mvnet.mvnet.views import grid_positions

FORMAT_VERSION = 1
META = "meta.json"


class MapCache:
    """A cache, opened for reading.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the cache.

    Attributes:
        meta: What ``meta.json`` says: ``channels`` of each level, ``stride``, ``side`` ...

    Raises:
        FileNotFoundError: There is no such cache, or it was not finished.
        ValueError: It is of other data than those of the set, or of another format version.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        self.root, self.name = Path(data_root), name
        self.folder = self.root / "maps" / name
        mend = f"write it: python projects/mvnet/tools/cache_maps.py CONFIG --name {name}"
        if not (self.folder / META).is_file():
            raise FileNotFoundError(f"there is no finished cache {self.folder}; {mend}")
        self.meta: dict[str, Any] = json.loads((self.folder / META).read_text("utf-8"))
        if self.meta["format_version"] != FORMAT_VERSION:
            raise ValueError(f"{self.folder} has format {self.meta['format_version']}; {mend}")
        digest = PreparedSet(data_root).digest
        if self.meta["data_digest"] != digest:
            raise ValueError(
                f"the cache {self.folder} is of data with digest {self.meta['data_digest'][:16]}, but "
                f"{data_root} has {digest[:16]}; {mend}"
            )

    def __reduce__(self) -> tuple:
        return type(self), (self.root, self.name)

    @cached_property
    def levels(self) -> dict[str, list[np.ndarray]]:
        """For each split the levels, (S, V, h, h, D) float16."""
        count = len(self.meta["channels"])
        return {
            split: [np.load(self.folder / f"{split}_{level}.npy", mmap_mode="r") for level in range(count)]
            for split in self.meta["splits"]
        }

    def read(self, split: str, rows: np.ndarray, views: Tensor) -> list[Tensor]:
        """The maps of shapes ``rows`` (B,), of each its ``views`` (B, v): (B, v, h, h, D) float16 a level."""
        chosen = rows[:, None], views.numpy()
        return [torch.from_numpy(level[chosen]) for level in self.levels[split]]


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
    prepared = PreparedSet(data_root)
    folder = prepared.root / "maps" / name
    temporary = folder.with_name(f".{name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    side = prepared.manifest["views"]["size"]
    positions = grid_positions(side, stride)
    device = next(network.parameters()).device
    for split in prepared.splits:
        dataset = PreparedShapes(data_root, split, num_points=1, views="all")
        shape = len(dataset), prepared.num_views, len(positions), len(positions)
        files = [
            np.lib.format.open_memmap(temporary / f"{split}_{level}.npy", "w+", np.float16, (*shape, width))
            for level, width in enumerate(network.channels)
        ]
        for start in range(0, len(dataset), batch_size):
            rows = range(start, min(start + batch_size, len(dataset)))
            views = dataset.__getitems__(rows)["views"].to(device)
            for file, said in zip(files, network.maps({"views": views}, positions.to(device)), strict=True):
                half = said.half().cpu()
                if not half.isfinite().all():
                    raise ValueError(f"shapes {rows} of {split}: a feature is not finite in float16")
                file[rows.start : rows.stop] = half.numpy()
        for file in files:
            file.flush()
    meta = {
        "format_version": FORMAT_VERSION,
        "data_digest": prepared.digest,
        "splits": prepared.splits,
        "channels": network.channels,
        "stride": stride,
        "side": len(positions),
        "network": network.settings,
        "weights": origin,
    }
    write_json(temporary / META, meta)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return folder


@DATASETS.register_module()
class ShapesWithMaps(PreparedShapes):
    """``PreparedShapes`` that also reads what an image network said of the views that it loads.

    Args:
        maps: Name of the cache.
        data_root: As ``PreparedShapes``.
        split: As ``PreparedShapes``.
        kwargs: As ``PreparedShapes``; ``views`` must be more than 0.
    """

    def __init__(self, maps: str, data_root: str, split: str, **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
        if not self.views:
            raise ValueError("the maps are of the views loaded, but views is 0")
        self.maps = MapCache(data_root, maps)

    def __getitems__(self, indices: Any) -> Batch:
        batch = super().__getitems__(indices)
        rows = self.rows[np.asarray(indices, np.int64)]
        batch["maps"] = self.maps.read(self._stored_split, rows, batch["view_index"])
        return batch


@MODELS.register_module()
class CachedMaps(nn.Module):
    """Say what ``cache_maps.py`` wrote down; ``ShapesWithMaps`` puts it into the batch.

    Args:
        data_root: Folder of the prepared set; filled in from the config's top level where it is None there.
        name: Name of the cache.
    """

    def __init__(self, data_root: str, name: str) -> None:
        super().__init__()
        self.meta = MapCache(data_root, name).meta

    @property
    def channels(self) -> list[int]:
        """D of each level."""
        return self.meta["channels"]

    def maps(self, batch: dict[str, Any], positions: Tensor) -> list[Tensor]:
        """As ``ImageNetwork.maps``.

        Raises:
            ValueError: The batch has no maps, or they are of another grid.
        """
        if "maps" not in batch:
            raise ValueError(
                "the batch has no maps: the training dataset must be ShapesWithMaps with maps='NAME'"
            )
        side, levels = len(positions), batch["maps"]
        if side != self.meta["side"]:
            raise ValueError(
                f"the cached maps are of a grid of stride {self.meta['stride']} ({self.meta['side']} nodes a "
                f"side), the model's has {side} nodes; give it the same stride, or write the cache again"
            )
        return [level.float() for level in levels]
