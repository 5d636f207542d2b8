"""ModelNet40: the Princeton meshes, or the points that PointNet++ drew from them."""

import argparse
from pathlib import Path
from typing import ClassVar

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Shape,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.sources.rows import read_rows
from pointmcd.datasets.preparation.sources.walk import visible_folders
from pointmcd.registry import SOURCES

NUM_CLASSES = 40
NAMES_FILE = "modelnet40_shape_names.txt"


@SOURCES.register_module(name="modelnet40")
class ModelNet40(Source):
    """Both public forms, told apart by what the folder holds.

    - ``ModelNet40/<class>/{train,test}/<class>_NNNN.off``: meshes, z up.
    - ``modelnet40_normal_resampled/<class>/<class>_NNNN.txt``: 10000 rows ``x,y,z,nx,ny,nz``, y up,
      beside ``modelnet40_shape_names.txt`` and the lists ``modelnet40_{train,test}.txt``. The views are
      splats.

    Args:
        source: the unpacked folder, or one above it.
    """

    how_to_prepare: ClassVar = {
        "modelnet40": "Get the Princeton meshes, ModelNet40.zip (2 GB): https://modelnet.cs.princeton.edu\n"
        "Prepare them: python tools/prepare_data.py modelnet40 --source ModelNet40.zip"
    }

    def __init__(self, source: Path) -> None:
        check_folder(source)
        text = next((f for f in (source, *visible_folders(source)) if (f / NAMES_FILE).is_file()), None)
        self.meshes: MeshFolder | None = None
        stored = next((f for f in (source, *visible_folders(source)) if any(f.glob("ply_data_*.h5"))), None)
        if text is None and stored:
            raise SourceError(
                f"{stored} holds ply_data_*.h5 (modelnet40_ply_hdf5_2048), which is not read;\n"
                "read are ModelNet40 (the Princeton meshes) and modelnet40_normal_resampled"
            )
        if text is None:
            self.meshes = MeshFolder(source)
            self.class_names, self.items = self.meshes.class_names, self.meshes.items
        else:
            self.surfaces, self.up, self.root = False, "y", text
            self.class_names = (text / NAMES_FILE).read_text("utf-8").split()
            self.items = [item for split in ("train", "test") for item in self._listed(split)]
        if len(self.class_names) != NUM_CLASSES:
            raise SourceError(
                f"{source} has {len(self.class_names)} classes, ModelNet40 has {NUM_CLASSES}; "
                "any other folder of meshes is a mesh-folder"
            )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "ModelNet40 (the Princeton meshes) or modelnet40_normal_resampled")

    def load(self, item: Item) -> Shape:
        if self.meshes is not None:
            return self.meshes.load(item)
        rows = read_rows(self.root / item.file, "x y z nx ny nz", ",")
        return Shape(points=rows[:, :3], normals=rows[:, 3:])

    def _listed(self, split: str) -> list[Item]:
        path = self.root / f"modelnet40_{split}.txt"
        if not path.is_file():
            raise SourceError(f"{path} is missing: it lists the {split} shapes")
        labels = {name: label for label, name in enumerate(self.class_names)}
        items = []
        for name in path.read_text("utf-8").split():
            class_name = name.rpartition("_")[0]
            if class_name not in labels:
                raise SourceError(f"{path} lists {name}, whose class is not in {NAMES_FILE}")
            items.append(Item(f"{class_name}/{name}", labels[class_name], split, f"{class_name}/{name}.txt"))
        return items
