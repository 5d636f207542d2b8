"""A folder of meshes with a folder for each class, as ModelNet lays it out."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from pointmcd.datasets.preparation.sources.base import Item, Shape
from pointmcd.datasets.preparation.sources.class_folders import ClassFolders
from pointmcd.files import check_regular
from pointmcd.geometry.mesh import MESH_SUFFIXES, MeshError, load_mesh
from pointmcd.registry import SOURCES


@SOURCES.register_module(name="mesh-folder")
class MeshFolder(ClassFolders):
    """A folder of meshes: ``<class>/{train,test}/*.off``, or ``<class>/*.off`` and a drawn test split.

    OFF, OBJ, PLY, STL and GLB may be mixed. Where a file ``NAME.seg`` lies beside ``NAME.off`` it holds the
    parts: one integer a face of the mesh, in their order, numbered for each class on its own. A shape without
    such a file is rejected where others have one. A file ``parts.txt`` beside the classes names the parts, a
    line ``category number name`` for each.

    Args: As ``ClassFolders``.
    """

    shapes, suffixes = "mesh(es)", MESH_SUFFIXES
    companions = (".seg", ".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff")
    instead = "folders of point clouds are prepared by cloud-folder"

    how_to_prepare: ClassVar = {
        "unlabelled": "From your meshes: pointmcd prepare mesh-folder --unlabelled "
        "--source path/to/meshes --rig rings2x8 --image-size 96"
    }

    def __init__(
        self, source: Path, test_fraction: float | None = None, seed: int = 0, unlabelled: bool | str = False
    ) -> None:
        super().__init__(source, test_fraction, seed, unlabelled)
        if not unlabelled and any(self._part_file(item).is_file() for item in self.items):
            self.number_parts()

    def load(self, item: Item) -> Shape:
        mesh = load_mesh(self.root / item.file)
        if self.numbers is None:
            return Shape(mesh=mesh)
        parts, polygons = self.parts_in_file(item), mesh.metadata["polygons"]
        if len(parts) != polygons:
            name = self._part_file(item).name
            raise MeshError(f"{name} has {len(parts)} parts, the mesh has {polygons} faces")
        own = self.numbers.of(item.label, parts)
        return Shape(mesh=mesh, face_parts=own[np.asarray(mesh.face_attributes["polygon"])])

    def parts_in_file(self, item: Item) -> np.ndarray:
        return read_parts(self._part_file(item))

    def _part_file(self, item: Item) -> Path:
        return (self.root / item.file).with_suffix(".seg")


def read_parts(path: Path) -> np.ndarray:
    """Return (F,) int64 parts of a mesh's faces, from a text of one integer a face, none of them negative.

    Raises:
        MeshError: The file is missing or is no such text.
    """
    try:
        check_regular(path)
        parts = np.array([int(word) for word in path.read_text("utf-8").split()], dtype=np.int64)
    except FileNotFoundError:
        raise MeshError(f"{path.name} is missing; it holds the parts of the faces") from None
    except (ValueError, OverflowError, OSError) as error:
        raise MeshError(f"{path.name} is not one integer per face: {error}") from error
    if (parts < 0).any():
        raise MeshError(
            f"{path.name} has the part {parts.min()} at {(parts < 0).sum()} of {len(parts)} faces; "
            "every face needs one, numbered from 0"
        )
    return parts
