"""GLB, the binary form of glTF 2.0: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html."""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats.content import Content, MeshError, triangles

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3}
_MOST_FREE = 10_000_000  # rows that a file may ask for without holding them
_TRIANGLES, _STRIP, _FAN = 4, 5, 6

# Extensions that a file may require and that leave the geometry as it is, or are read.
_HARMLESS = ("KHR_materials_", "KHR_texture_", "KHR_lights_", "EXT_texture_", "EXT_lights_", "KHR_xmp")
_READ = ("KHR_mesh_quantization",)
# Extensions that add geometry, required or not.
_ADDING = ("EXT_mesh_gpu_instancing",)


def read_glb(data: bytes) -> Content:
    """Read the triangles of the default scene of a GLB file, in metres and +Y up, as the format lays down.

    Points and lines are passed over. Extensions that change geometry are refused, required or not, except
    where the file holds the plain geometry besides; of skins and morph targets the resting shape is read.
    """
    header, binary = _chunks(data)
    _check_extensions(header)
    vertices, faces, count, rows = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0, 0
    for mesh, transform in _placed(header):
        for primitive in header["meshes"][mesh]["primitives"]:
            mode = primitive.get("mode", _TRIANGLES)
            if mode not in (_TRIANGLES, _STRIP, _FAN):
                continue
            points = _accessor(header, binary, primitive["attributes"]["POSITION"]).astype(np.float64)
            if "indices" in primitive:
                corners = _accessor(header, binary, primitive["indices"]).reshape(-1)
                if corners.dtype.kind != "u":
                    raise MeshError(f"its corners are {corners.dtype}, not unsigned integers")
                corners = corners.astype(np.int64)
            else:
                corners = np.arange(len(points))
            if len(corners) and not corners.max() < len(points):
                raise MeshError(f"vertices 0 to {len(points) - 1} exist, but the faces name {corners.max()}")
            rows += len(points) + len(corners)
            if rows > max(len(data), _MOST_FREE):  # each takes a byte at least where nothing is repeated
                raise MeshError(
                    f"its scene repeats its meshes to more than {_MOST_FREE} vertices and corners"
                )
            vertices.append(points @ transform[:3, :3].T + transform[:3, 3])
            faces.append(_triangles(corners, mode) + count)
            count += len(points)
    return triangles(np.concatenate(vertices), np.concatenate(faces), up="y")


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", data) if len(data) >= 12 else (b"", 0, 0)
    if magic != b"glTF":
        raise MeshError("it does not begin with glTF")
    if version != 2:
        raise MeshError(f"glTF version {version} is not supported, only 2")
    if length > len(data):
        raise MeshError(f"cut off: {length} bytes promised, {len(data)} found")
    found: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, position)
        found.setdefault(kind, data[position + 8 : position + 8 + size])
        position += 8 + size
    if b"JSON" not in found:
        raise MeshError("no JSON chunk")
    header = json.loads(found[b"JSON"])
    if not isinstance(header, dict):
        raise MeshError("its JSON chunk is not an object")
    return header, found.get(b"BIN\0", b"")


def _check_extensions(header: dict[str, Any]) -> None:
    unread = [
        name
        for name in header.get("extensionsRequired", [])
        if not name.startswith(_HARMLESS) and name not in _READ
    ]
    unread += [name for name in header.get("extensionsUsed", []) if name in _ADDING and name not in unread]
    if unread:
        raise MeshError(
            f"it needs the extension {', '.join(unread)}, which is not supported; save it without"
        )


def _placed(header: dict[str, Any]) -> list[tuple[int, NDArray[np.float64]]]:
    """Return the meshes of the default scene (the first, where none is named) and their transforms (4, 4)."""
    nodes, meshes = header.get("nodes", []), header.get("meshes", [])
    if "scenes" in header:
        roots = header["scenes"][header.get("scene", 0)].get("nodes", [])
    else:
        # A file without scenes is a library; whole, it has each mesh once.
        return [(index, np.eye(4)) for index in range(len(meshes))]
    found, open_nodes, seen = [], [(root, np.eye(4)) for root in reversed(roots)], 0
    while open_nodes:
        index, above = open_nodes.pop()
        seen += 1
        if seen > len(nodes):
            raise MeshError("the nodes of its scene are not a tree")
        transform = above @ _local(nodes[index])
        if "mesh" in nodes[index]:
            found.append((nodes[index]["mesh"], transform))
        open_nodes += [(child, transform) for child in reversed(nodes[index].get("children", []))]
    return found


def _local(node: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
    transform[:3, 3] = node.get("translation", (0, 0, 0))
    return transform


def _accessor(header: dict[str, Any], binary: bytes, index: int) -> NDArray:
    """Return the values (n, width) of one accessor."""
    accessor = header["accessors"][index]
    count, width = accessor["count"], _WIDTHS[accessor["type"]]
    kind = np.dtype(_TYPES[accessor["componentType"]])
    if "bufferView" in accessor:
        view = accessor["bufferView"], accessor.get("byteOffset", 0)
        values = _values(header, binary, *view, kind, count, width)
    elif "sparse" in accessor and count <= _MOST_FREE:
        values = np.zeros((count, width), kind)
    else:
        raise MeshError(f"accessor {index} has no data (compressed by an extension?)")
    if sparse := accessor.get("sparse"):
        where, what = sparse["indices"], sparse["values"]
        place = (where["bufferView"], where.get("byteOffset", 0))
        rows = _values(header, binary, *place, np.dtype(_TYPES[where["componentType"]]), sparse["count"], 1)
        place = (what["bufferView"], what.get("byteOffset", 0))
        values[rows[:, 0]] = _values(header, binary, *place, kind, sparse["count"], width)
    if accessor.get("normalized") and kind.kind in "iu":
        values = np.maximum(values / np.iinfo(kind).max, -1.0)
    return values


def _values(
    header: dict[str, Any], binary: bytes, view: int, offset: int, kind: np.dtype, count: int, width: int
) -> NDArray:
    found = header["bufferViews"][view]
    if "uri" in header["buffers"][found["buffer"]] or found["buffer"] != 0:
        raise MeshError("its geometry lies in another file; save it as one GLB")
    begin, length = found.get("byteOffset", 0), found["byteLength"]
    row = kind.itemsize * width
    step = found.get("byteStride", row)
    if step < row:
        raise MeshError(f"buffer view {view} has a stride of {step} bytes for values of {row}")
    if min(begin, offset, count, length) < 0 or begin + length > len(binary):
        raise MeshError(f"buffer view {view} ends beyond the {len(binary)} bytes of the buffer")
    if count and offset + step * (count - 1) + row > length:
        raise MeshError(f"buffer view {view} is shorter than its accessor promises")
    data = np.frombuffer(binary, np.uint8, length, begin)
    rows = offset + step * np.arange(count)[:, None] + np.arange(row)
    return data[rows].view(kind).reshape(count, width)


def _triangles(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise MeshError(f"{len(corners)} corners do not make whole triangles")
        return corners.reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == _FAN:
        return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], axis=1)
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2] = strip[1::2, ::-1]  # every other triangle winds the other way
    return strip
