"""The shapes of one split of a prepared set (``prepared_set.py`` has the format)."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from pointmcd.datasets.concatenated import ConcatenatedArray, ConcatenatedImages
from pointmcd.datasets.images import KINDS, Images, decode_depth, decode_labels, decode_view
from pointmcd.datasets.manifest import MANIFEST, PreparedSetError
from pointmcd.files import read_json
from pointmcd.folders import DamagedError, check_name, open_array

ARRAYS = {
    "points": ("float32", 3),
    "normals": ("float32", 3),
    "colors": ("uint8", 3),
    "parts": ("u", None),
    "visibility": ("uint32", None),
}
"""Type of each array, and its third axis."""
Rows = np.ndarray | ConcatenatedArray
"""Indexed by a row, or by a row and what is wanted of it."""
Encoded = Images | ConcatenatedImages


class PreparedSplit:
    """The shapes of one split, memory-mapped; of a set of shards they are those of all.

    Args:
        prepared: The ``PreparedSet``, whose file imports this one.
        name: Of the split.
    """

    def __init__(self, prepared: Any, name: str) -> None:
        self.prepared, self.name = prepared, check_name(name, "a split")
        self.folder = prepared.root / name
        self._count = int(prepared.manifest["splits"][name])
        self._parts = [shard.split(name) for shard in prepared.shards if name in shard.splits]
        files = prepared.manifest["files"]
        self._listed = {file.rpartition("/")[2] for file in files if file.startswith(f"{name}/")}
        if prepared.shards:
            self._check_parts()
        else:
            self._check_listed()

    def _check_listed(self) -> None:
        prepared = self.prepared
        needed = ["names.json", "labels.npy", "points.npy"]
        needed += ["visibility.npy"] * prepared.has_visibility
        for kind in KINDS:
            needed += Images.file_names(kind) * prepared.has_images(kind)
        if lacking := [file for file in needed if file not in self._listed]:
            raise DamagedError(f"{prepared.root / MANIFEST} lists no {self.name}/{lacking[0]}")

    def _check_parts(self) -> None:
        path = self.prepared.root / MANIFEST
        if sum(map(len, self._parts)) != self._count:
            raise DamagedError(f"{path} is damaged: it counts other shapes")
        if any(part._listed != self._parts[0]._listed for part in self._parts):
            raise DamagedError(f"{path} is damaged: the shards hold other arrays than one another")

    def map_all(self) -> None:
        """Map all files now, those of shards too, instead of when they are first read."""
        for name in ("labels", *ARRAYS):
            getattr(self, name)
        for kind in KINDS:
            if self.prepared.has_images(kind):
                getattr(self, kind)

    @cached_property
    def labels(self) -> np.ndarray:
        """(S,) int64."""
        if self._parts:
            return np.concatenate([part.labels for part in self._parts])
        path, classes = self.folder / "labels.npy", len(self.prepared.class_names)
        with self.prepared.reading():
            labels = np.array(open_array(path, "int64", (self._count,)))
            if self._count and not 0 <= labels.min() <= labels.max() < classes:
                raise DamagedError(f"{path} is damaged: there are no such classes")
        return labels

    @cached_property
    def points(self) -> Rows:
        """(S, P, 3) float32, every prefix along P a sample of the whole shape."""
        found = self._rows("points")
        assert found is not None  # it is listed
        return found

    @cached_property
    def normals(self) -> Rows | None:
        """(S, P, 3) float32 unit normals, or None."""
        return self._rows("normals")

    @cached_property
    def colors(self) -> Rows | None:
        """(S, P, 3) uint8, or None."""
        return self._rows("colors")

    @cached_property
    def parts(self) -> Rows | None:
        """(S, P) uint16 indices into the set's part names, or None."""
        return self._rows("parts")

    @cached_property
    def visibility(self) -> Rows | None:
        """(S, P) uint32 bit masks, or None."""
        return self._rows("visibility")

    def _rows(self, name: str) -> Rows | None:
        if self._parts:
            if f"{name}.npy" not in self._parts[0]._listed:
                return None
            return ConcatenatedArray(*self._lengths_and_openers(name))
        if f"{name}.npy" not in self._listed:
            return None
        dtype, width = ARRAYS[name]
        shape = (self._count, self.prepared.num_points, *([] if width is None else [width]))
        with self.prepared.reading():
            return open_array(self.folder / f"{name}.npy", dtype, shape)

    def _images(self, kind: str, decode: Callable[[np.ndarray], np.ndarray]) -> Encoded:
        views = self.prepared.num_views
        if self._parts:
            return ConcatenatedImages(*self._lengths_and_openers(kind), views)
        with self.prepared.reading():
            return Images(self.folder, kind, (self._count, views), decode)

    def _lengths_and_openers(self, name: str) -> tuple[list[int], list[Callable[[], Any]]]:
        return [len(part) for part in self._parts], [partial(getattr, part, name) for part in self._parts]

    def __reduce__(self) -> tuple:
        return type(self.prepared).split, (self.prepared, self.name)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def names(self) -> list[str]:
        """S names; read when first asked for."""
        if self._parts:
            return [name for part in self._parts for name in part.names]
        path = self.folder / "names.json"
        try:
            names = read_json(path)
        except (OSError, ValueError) as error:
            names = error
        self.prepared.check_unchanged()
        if not isinstance(names, list) or len(names) != len(self):
            raise PreparedSetError(f"{path} is damaged: it needs {len(self)} names.\n{self.prepared.remedy}")
        return [str(name) for name in names]

    @cached_property
    def views(self) -> Encoded:
        """The rendered views."""
        if not self.prepared.has_views:
            raise PreparedSetError(
                f"{self.prepared.root} has no view images: it was prepared from points alone.\n"
                f"Teachers and distillation need views. {self.prepared.remedy}"
            )
        return self._images("views", decode_view)

    @cached_property
    def part_views(self) -> Encoded:
        """The part of each pixel of the views, P for the background."""
        if not self.prepared.has_part_views:
            raise PreparedSetError(
                f"{self.prepared.root} has no label images: they are made of sources that have parts.\n"
                f"{self.prepared.remedy}"
            )
        return self._images("part_views", decode_labels)

    @cached_property
    def depths(self) -> Encoded:
        """The depth of each pixel along the camera's axis, in bounding radii; inf for nothing."""
        if not self.prepared.has_depths:
            raise PreparedSetError(
                f"{self.prepared.root} has no depth images; they are made with --depths.\n"
                f"{self.prepared.remedy}"
            )
        near, far = (float(self.prepared.manifest["depths"][end]) for end in ("near", "far"))
        return self._images("depths", partial(decode_depth, near=near, far=far))
