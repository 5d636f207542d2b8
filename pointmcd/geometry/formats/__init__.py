"""Mesh files: a reader for each format, from bytes to polygons, and nothing that opens another file."""

from pointmcd.geometry.formats.content import Content, MeshError
from pointmcd.geometry.formats.glb import read_glb
from pointmcd.geometry.formats.obj import read_obj
from pointmcd.geometry.formats.off import read_off
from pointmcd.geometry.formats.ply import read_ply
from pointmcd.geometry.formats.stl import read_stl

__all__ = ["MESH_SUFFIXES", "Content", "MeshError", "read_mesh"]

_READERS = {".off": read_off, ".obj": read_obj, ".ply": read_ply, ".stl": read_stl, ".glb": read_glb}
MESH_SUFFIXES = tuple(_READERS)


def read_mesh(data: bytes, suffix: str) -> Content:
    """Read the polygons of a file.

    Args:
        data: The whole file.
        suffix: One of ``MESH_SUFFIXES``.

    Raises:
        MeshError: It is not a readable file of this format; the text is the reason.
    """
    if suffix not in _READERS:
        raise MeshError(f"unknown mesh format {suffix!r}, known are {', '.join(MESH_SUFFIXES)}")
    if not data.strip():
        raise MeshError("empty file")
    try:
        return _READERS[suffix](data)
    # Whatever else a damaged file makes a reader stumble over is the file's fault as well.
    except Exception as error:
        raise MeshError(f"unreadable {suffix[1:].upper()}: {error}") from error
