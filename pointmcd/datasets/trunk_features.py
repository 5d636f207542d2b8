"""What a frozen image network sees in a prepared set, kept beside it: ``<root>/trunks/<name>/``.

    meta.json     digest of the data, the network's settings and the SHA-256 of its weights
    <split>.npy   (S, V, C) float16 pooled features of each view, or (S, N, C) of each of the first N points

No label goes into them, so that every probe, projection and fraction of the labels shares one pass. How it is
written, hashed and checked: ``array_cache.py``.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from torch import Tensor

from pointmcd.datasets.array_cache import ArrayCache, ArrayCacheWriter
from pointmcd.folders import digest_of

KIND = "trunks"


class TrunkFeatures(ArrayCache):
    """The features of one network, opened for reading.

    Args:
        data_root: Folder of the prepared set.
        settings: What the features depend on, plain values; ``trunk`` and ``input_size`` are in the name.
        weights_sha256: Of the network's weights.

    Raises:
        FileNotFoundError: They are not there.
        ValueError: They are damaged, or of other data.
    """

    def __init__(
        self, data_root: str | os.PathLike[str], settings: dict[str, Any], weights_sha256: str
    ) -> None:
        name = _name(settings, weights_sha256)
        remedy = f"delete {os.fspath(data_root)}/{KIND}/{name}; pointmcd cache-teacher computes it again"
        super().__init__(data_root, KIND, name, remedy)

    def split(self, name: str) -> np.ndarray:
        """Return (S, V, C) or (S, N, C) float16, memory-mapped."""
        middle = self.meta["settings"].get("points", self.prepared.num_views)
        shape = len(self.prepared.split(name)), middle, self.meta["channels"]
        return self.array(f"{name}.npy", "float16", shape)

    @classmethod
    def opened_or_written(
        cls,
        data_root: str | os.PathLike[str],
        settings: dict[str, Any],
        weights_sha256: str,
        compute: Callable[[str], Iterable[Tensor]],
    ) -> Self:
        """Return those that are there of these data, or else written now.

        Args:
            data_root: As the class, and the two that follow.
            settings: Likewise.
            weights_sha256: Likewise.
            compute: Gives the features (B, V, C) of consecutive shapes of a split.

        Raises:
            ValueError: A feature is not finite in half precision.
            BusyError: Another process is writing them.
        """
        try:
            return cls(data_root, settings, weights_sha256)
        except (FileNotFoundError, ValueError):
            pass
        with ArrayCacheWriter(data_root, KIND, _name(settings, weights_sha256)) as writer:
            for split in writer.prepared.splits:
                channels = _write(writer, split, compute(split))
            identity = {"settings": settings, "weights_sha256": weights_sha256}
            writer.finish({"splits": writer.prepared.splits, "channels": channels, **identity})
        return cls(data_root, settings, weights_sha256)


def _name(settings: dict[str, Any], weights_sha256: str) -> str:
    trunk = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in settings["trunk"])
    identity = digest_of({"settings": settings, "weights_sha256": weights_sha256})
    return f"{trunk}_{settings['input_size']}px_{identity[:8]}"


def _write(writer: ArrayCacheWriter, split: str, batches: Iterable[Tensor]) -> int:
    """Write one split; its channels."""
    count, written, array = len(writer.prepared.split(split)), 0, np.empty(0)
    for batch in batches:
        rows = batch.numpy(force=True).astype(np.float16)
        if not np.isfinite(rows).all():
            raise ValueError(f"features of {split}, from shape {written} on, are not finite in float16")
        if not written:
            array = writer.create(f"{split}.npy", np.float16, (count, *rows.shape[1:]))
        array[written : written + len(rows)] = rows
        written += len(rows)
    return array.shape[-1]
