"""Wavefront OBJ."""

import numpy as np

from pointmcd.geometry.formats.content import Content, MeshError
from pointmcd.geometry.formats.text import plain_text, shown


def read_obj(data: bytes) -> Content:
    """Read the vertices and faces of OBJ in their order.

    Normals, texture coordinates, weights, colours, materials, lines and points are not read.
    """
    text = plain_text(data)
    vertices: list[list[float]] = []
    corners: list[int] = []
    counts: list[int] = []
    lines = text.replace(b"\\\n", b" ").split(b"\n")
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] not in (b"v", b"f"):
            continue
        if b"#" in line:
            words = line.partition(b"#")[0].split()
        try:
            if words[0] == b"v":
                x, y, z = words[1:4]
                vertices.append([float(x), float(y), float(z)])
            else:
                # Counted from 1, or back from the last vertex so far.
                found = [int(word.partition(b"/")[0]) for word in words[1:]]
                if 0 in found:
                    raise ValueError
                corners += [corner - 1 if corner > 0 else len(vertices) + corner for corner in found]
                counts.append(len(found))
        except ValueError:
            what = "three coordinates" if words[0] == b"v" else "vertices by whole numbers from 1 or from -1"
            raise MeshError(f"line {number}: {shown(line)} does not name {what}") from None
        if number == len(lines) and words[0] == b"f" and len(found) < 3:
            raise MeshError(f"line {number}: {shown(line)} ends the file without a line's end: cut off?")
    return Content(
        np.array(vertices, dtype=np.float64).reshape(-1, 3),
        np.array(corners, dtype=np.int64),
        np.array(counts, dtype=np.int64),
    )
