"""Sources of shapes by name; ``tools/prepare_data.py NAME`` prepares one."""

from importlib import import_module

from .base import Item, Shape, Source, SourceError

__all__ = ["SOURCES", "Item", "Shape", "Source", "SourceError", "source_class"]

SOURCES = {
    "mesh-folder": "mesh_folder.MeshFolder",
    "modelnet40": "modelnet40.ModelNet40",
    "shapenet-part": "shapenet_part.ShapeNetPart",
    "shapenet-core": "shapenet_core.ShapeNetCore",
    "scanobjectnn": "scanobjectnn.ScanObjectNN",
    "builtin": "builtin.BuiltinShapes",
}


def source_class(name: str) -> type[Source]:
    """The class of the source called ``name`` (a key of ``SOURCES``), imported at first use."""
    module, attribute = SOURCES[name].rsplit(".", 1)
    return getattr(import_module(f"{__name__}.{module}"), attribute)
