"""STL, binary and ASCII."""

import re

import numpy as np

from pointmcd.geometry.formats.content import Content, MeshError, triangles
from pointmcd.geometry.formats.text import plain_text, shown

_HEADER, _TRIANGLE = 84, 50
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\b([^\n]*)", re.IGNORECASE)
_SOLID = re.compile(rb"^\s*solid\b", re.IGNORECASE | re.MULTILINE)
_SOLID_END = re.compile(rb"^\s*end ?solid\b", re.IGNORECASE | re.MULTILINE)
_FACET = re.compile(rb"^\s*facet\b", re.IGNORECASE | re.MULTILINE)
_FACET_END = re.compile(rb"\bend ?facet\b", re.IGNORECASE)


def read_stl(data: bytes) -> Content:
    """Read STL. It is binary where its length fits the count of triangles that binary STL has, whatever its
    first word says; all solids are taken together.
    """
    promised = int.from_bytes(data[80:_HEADER], "little") if len(data) >= _HEADER else -1
    if len(data) == _HEADER + _TRIANGLE * promised:
        corners = np.frombuffer(data, _RECORD, promised, _HEADER)["corners"].reshape(-1, 3)
    elif data.lstrip().lower().startswith(b"solid") and b"\0" not in data:
        corners = _ascii(plain_text(data))
    elif promised >= 0:
        raise MeshError(
            f"binary STL of {promised} triangles has {_HEADER + _TRIANGLE * promised} bytes, "
            f"this file has {len(data)}"
        )
    else:
        raise MeshError(f"neither ASCII (it does not begin with solid) nor binary ({len(data)} bytes)")
    return triangles(corners, np.arange(len(corners)))


def _ascii(text: bytes) -> np.ndarray:
    """Return (3 T, 3) corners."""
    if len(_SOLID_END.findall(text)) < max(1, len(_SOLID.findall(text))):
        raise MeshError("cut off: a solid has no endsolid")
    rows = _VERTEX.findall(text)
    begun, ended = len(_FACET.findall(text)), len(_FACET_END.findall(text))
    if begun != ended or len(rows) != 3 * begun:
        raise MeshError(f"{begun} facets begin, {ended} end, with {len(rows)} vertices: cut off?")
    words = [row.split() for row in rows]
    if wrong := [row for row, found in zip(rows, words, strict=True) if len(found) != 3]:
        raise MeshError(f"vertex {shown(wrong[0].strip())} does not have three coordinates")
    return np.array(words, dtype=np.float64).reshape(-1, 3)
