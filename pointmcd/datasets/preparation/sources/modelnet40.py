"""ModelNet40: the Princeton meshes, or the points that PointNet++ drew from them."""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Shape,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.hdf5 import open_hdf5, read_labels
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.sources.rows import read_rows
from pointmcd.datasets.preparation.sources.walk import visible_folders
from pointmcd.files import read_json
from pointmcd.geometry.mesh import MeshError
from pointmcd.registry import SOURCES

NUM_CLASSES = 40
NAMES_FILE = "modelnet40_shape_names.txt"


@SOURCES.register_module(name="modelnet40")
class ModelNet40(Source):
    """The public forms, told apart by what the folder holds.

    - ``ModelNet40/<class>/{train,test}/<class>_NNNN.off``: meshes, z up.
    - ``modelnet40_normal_resampled/<class>/<class>_NNNN.txt``: 10000 rows ``x,y,z,nx,ny,nz``, y up,
      beside ``modelnet40_shape_names.txt`` and the lists ``modelnet40_{train,test}.txt``. The views are
      splats.
    - ``modelnet40_ply_hdf5_2048/{train,test}_files.txt``, the lists of HDF5 files that hold ``data`` (S,
      2048, 3), ``label`` (S, 1) and ``normal`` (S, 2048, 3), y up, beside ``shape_names.txt``. Names are
      those of ``*_id2file.json`` where it is there, else rows. Needs h5py.

    Args:
        source: The unpacked folder, or one above it.
    """

    how_to_prepare: ClassVar = {
        "modelnet40": "Get the Princeton meshes, ModelNet40.zip (2 GB): https://modelnet.cs.princeton.edu\n"
        "Prepare them: pointmcd prepare modelnet40 --source ModelNet40.zip"
    }

    def __init__(self, source: Path) -> None:
        check_folder(source)
        text = next((f for f in (source, *visible_folders(source)) if (f / NAMES_FILE).is_file()), None)
        self.meshes: MeshFolder | None = None
        stored = next((f for f in (source, *visible_folders(source)) if any(f.glob("ply_data_*.h5"))), None)
        self.stored = text is None and stored is not None
        if text is None and stored is not None:
            self.surfaces, self.up, self.root = False, "y", stored
            self.class_names = _words(stored / "shape_names.txt", "it names the classes")
            self.items = [item for split in ("train", "test") for item in self._stored(split)]
        elif text is None:
            self.meshes = MeshFolder(source)
            self.class_names, self.items = self.meshes.class_names, self.meshes.items
        else:
            self.surfaces, self.up, self.root = False, "y", text
            self.class_names = _words(text / NAMES_FILE, "it names the classes")
            self.items = [item for split in ("train", "test") for item in self._listed(split)]
            twice = [name for name, count in Counter(item.name for item in self.items).items() if count > 1]
            if twice:
                raise SourceError(f"the lists in {text} have {twice[0]} twice; take it out of one of them")
        if len(self.class_names) != NUM_CLASSES:
            raise SourceError(
                f"{source} has {len(self.class_names)} classes, ModelNet40 has {NUM_CLASSES}; "
                "for any other folder of meshes, use mesh-folder"
            )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "ModelNet40 (the meshes), modelnet40_normal_resampled or modelnet40_ply_hdf5_2048")

    def load(self, item: Item) -> Shape:
        if self.meshes is not None:
            return self.meshes.load(item)
        if self.stored:
            name, _, row = item.file.rpartition(":")
            with open_hdf5(self.root / name, {}) as file:
                points, normals = (file[key][int(row)].astype(np.float32) for key in ("data", "normal"))
            if not (np.isfinite(points).all() and np.isfinite(normals).all()):
                raise MeshError("points or normals are not finite")
            return Shape(points=points, normals=normals)
        rows = read_rows(self.root / item.file, "x y z nx ny nz", ",")
        return Shape(points=rows[:, :3], normals=rows[:, 3:])

    def _listed(self, split: str) -> list[Item]:
        path = self.root / f"modelnet40_{split}.txt"
        labels = {name: label for label, name in enumerate(self.class_names)}
        items = []
        for name in _words(path, f"it lists the {split} shapes"):
            class_name = name.rpartition("_")[0]
            if class_name not in labels:
                raise SourceError(f"{path} lists {name}, whose class is not in {NAMES_FILE}")
            items.append(Item(f"{class_name}/{name}", labels[class_name], split, f"{class_name}/{name}.txt"))
        return items

    def _stored(self, split: str) -> Iterator[Item]:
        """Yield the rows of the HDF5 files of a split."""
        for listed in _words(self.root / f"{split}_files.txt", f"it lists the files of the {split} shapes"):
            path = self.root / listed.rpartition("/")[2]
            shapes = {"data": (None, None, 3), "normal": (None, None, 3), "label": (None, ...)}
            names = self._names(path)
            for row, label in enumerate(read_labels(path, shapes, len(self.class_names)).tolist()):
                name = names[row] if row < len(names) else f"{path.stem}_{row:04d}"
                yield Item(f"{self.class_names[label]}/{name}", label, split, f"{path.name}:{row}")

    def _names(self, path: Path) -> list[str]:
        """Return the names that ``ply_data_train_0_id2file.json`` lists of its file, if it is there."""
        listed = self.root / re.sub(r"(\d+)$", r"_\1_id2file.json", path.stem)
        if not listed.is_file():
            return []
        names = read_json(listed)
        if not isinstance(names, list) or len({*map(str, names)}) != len(names):
            raise SourceError(f"{listed} is not a list of different names")
        return [Path(str(name)).stem for name in names]


def _words(path: Path, purpose: str) -> list[str]:
    """Return the words of a text that must be there."""
    if not path.is_file():
        raise SourceError(f"{path} is missing: {purpose}")
    return path.read_text("utf-8").split()
