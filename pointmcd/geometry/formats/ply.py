"""PLY, ASCII and binary: https://paulbourke.net/dataformats/ply/."""

import re
import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats.columns import COLOR, Columns, usual_name
from pointmcd.geometry.formats.content import Content, MeshError, ragged
from pointmcd.geometry.formats.text import Lines, plain_text, shown, split_lines, whole_numbers

_END = re.compile(rb"(?:\A|[\r\n])end_header[ \t]*(?:\r\n|\n|\r)")
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_STRUCT = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}
_COUNTERS = {name for name, kind in _TYPES.items() if kind in _STRUCT}
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass
class _Property:
    name: str
    kind: str
    count_kind: str = ""  # of a list


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)


@dataclass
class _Column:
    """One property of all rows of an element: values (n,), or of a list (sum of counts,)."""

    values: NDArray
    counts: NDArray[np.int64] | None = None


def read_ply(data: bytes) -> Content:
    """Read the vertices and faces of PLY; of a cloud there are no faces. Other elements are passed over.

    Triangle strips are refused.
    """
    return _content(*_read(data))


def read_ply_points(data: bytes) -> Columns:
    """Read the vertices of PLY with all of their properties but lists; faces are passed over."""
    elements, rows = _read(data)
    vertex = rows.get("vertex", {})
    if any(axis not in vertex or vertex[axis].counts is not None for axis in "xyz"):
        raise MeshError("no element vertex with x, y and z")
    found = {
        usual_name(prop.name): vertex[prop.name].values.astype(prop.kind, copy=False)
        for element in elements
        for prop in element.properties
        if element.name == "vertex" and not prop.count_kind
    }
    return Columns(list(found), list(found.values()))


def _read(data: bytes) -> tuple[list[_Element], dict[str, dict[str, _Column]]]:
    """Return the elements of the header, and the columns of each."""
    order, elements, body = _header(data)
    rows: dict[str, dict[str, _Column]] = {}
    lines = None if order else split_lines(plain_text(data[body:]), data.count(b"\n", 0, body) + 1)
    position = 0 if lines is not None else body
    for element in elements:
        if lines is not None:
            found, position = _text_rows(lines, position, element)
        else:
            found, position = _binary_rows(data, position, element, order)
        rows[element.name] = found
    return elements, rows


def ply_has_faces(data: bytes) -> bool:
    """Return whether the header of a file announces a face."""
    return any(element.name in ("face", "tristrips") and element.count for element in _header(data)[1])


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Return byte order (empty for text), elements, and where the rows begin."""
    end = _END.search(data)
    if not data.startswith(b"ply") or not end:
        raise MeshError("no header from ply to end_header")
    order, elements = None, []
    for line in re.split(rb"[\r\n]+", data[: end.start()]):
        match line.decode("latin-1").split():
            case ["format", name, *_] if name in _FORMATS:
                order = _FORMATS[name]
            case ["element", name, count] if count.isascii() and count.isdigit():
                elements.append(_Element(name, int(count)))
            case ["property", "list", counter, kind, name] if (
                elements and kind in _TYPES and counter in _COUNTERS
            ):
                elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[counter]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind]))
            case ["format" | "element" | "property", *_]:
                raise MeshError(f"header line {shown(line)} is not understood")
    if order is None:
        raise MeshError("the header names no format")
    return order, elements, end.end()


def _content(elements: list[_Element], rows: dict[str, dict[str, _Column]]) -> Content:
    for element in elements:
        if element.name == "tristrips" and element.count:
            raise MeshError("triangle strips (element tristrips) are not supported; save it with faces")
    vertex, face = rows.get("vertex", {}), rows.get("face", {})
    if any(axis not in vertex or vertex[axis].counts is not None for axis in "xyz"):
        raise MeshError("no element vertex with x, y and z")
    vertices = np.stack([vertex[axis].values for axis in "xyz"], axis=1).astype(np.float64)
    corners = next((face[name] for name in _CORNERS if name in face), None)
    if corners is None or corners.counts is None:
        if any(element.name == "face" and element.count for element in elements):
            raise MeshError(f"its faces have no list {' or '.join(_CORNERS)}; they have {', '.join(face)}")
        return Content(vertices, np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Content(vertices, whole_numbers(corners.values), corners.counts)


def _text_rows(lines: Lines, first: int, element: _Element) -> tuple[dict[str, _Column], int]:
    rows = lines.rows(first, element.count)
    if len(rows) < element.count:
        raise MeshError(f"cut off: {element.count} rows of {element.name} promised, {len(rows)} follow")
    found: dict[str, _Column] = {}
    numbers = rows.numbers(whole=element.name == "face")
    position = rows.starts()
    end = position + rows.words
    for index, prop in enumerate(element.properties):
        needed = len(element.properties) - index  # a word each, lists too
        counts = None
        short = end - position < needed
        if prop.count_kind and not short.any():
            counts = numbers[position].astype(np.int64)
            short = (counts != numbers[position]) | (counts < 0) | (end - position - counts < needed)
        if short.any():
            raise MeshError(
                f"{rows.at(int(np.argmax(short)))}: the row of {element.name} has too few numbers"
            )
        if counts is None:
            column = numbers[position]
            with np.errstate(over="ignore"):
                found[prop.name] = _Column(column.astype("f4") if prop.kind == "f4" else column)
            position = position + 1
        else:
            found[prop.name] = _Column(numbers[ragged(position + 1, counts)], counts)
            position = position + 1 + counts
    return found, first + element.count


def _binary_rows(data: bytes, begin: int, element: _Element, order: str) -> tuple[dict[str, _Column], int]:
    if not element.count or not element.properties:
        return {}, begin
    try:
        alike = _rows_alike(data, begin, element, order)
        if alike is not None:
            return alike
        lengths, places = _walk(data, begin, element, order, element.count)
    except (struct.error, OverflowError):
        raise MeshError(f"cut off: {element.count} rows of {element.name} promised") from None
    found = {}
    codes = np.frombuffer(data, np.uint8)
    size = 0
    for index, prop in enumerate(element.properties):
        size = np.dtype(prop.kind).itemsize
        each = ragged(places[:, index], lengths[:, index], size)
        values = codes[each[:, None] + np.arange(size)].view(order + prop.kind).reshape(-1)
        found[prop.name] = _Column(values, lengths[:, index] if prop.count_kind else None)
    return found, int(places[-1, -1] + lengths[-1, -1] * size)


def _rows_alike(
    data: bytes, begin: int, element: _Element, order: str
) -> tuple[dict[str, _Column], int] | None:
    """Return rows that are all as long as the first, read at once; None where they are not."""
    lengths = _walk(data, begin, element, order, 1)[0][0].tolist()
    fields: list[tuple] = []
    for index, (prop, length) in enumerate(zip(element.properties, lengths, strict=True)):
        if prop.count_kind:
            fields.append((f"count {index}", order + prop.count_kind))
        fields.append((f"values {index}", order + prop.kind, (length,)))
    kind = np.dtype(fields)
    end = begin + kind.itemsize * element.count
    lists = [index for index, prop in enumerate(element.properties) if prop.count_kind]
    if end > len(data):
        if lists:
            return None
        raise struct.error
    rows = np.frombuffer(data, kind, element.count, begin)
    if any((rows[f"count {index}"] != lengths[index]).any() for index in lists):
        return None
    found = {}
    for index, prop in enumerate(element.properties):
        counts = np.full(element.count, lengths[index]) if index in lists else None
        found[prop.name] = _Column(rows[f"values {index}"].reshape(-1), counts)
    return found, end


def _walk(
    data: bytes, begin: int, element: _Element, order: str, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many values each property has in each row (count, properties), and where they begin."""
    kinds = [
        (
            struct.Struct(order + _STRUCT[prop.count_kind]) if prop.count_kind else None,
            np.dtype(prop.kind).itemsize,
        )
        for prop in element.properties
    ]
    lengths, places, position = [], [], begin
    for _ in range(count):
        for counter, size in kinds:
            length = 1
            if counter:
                (length,) = counter.unpack_from(data, position)
                position += counter.size
            if length < 0:
                raise struct.error
            lengths.append(length)
            places.append(position)
            position += length * size
        if position > len(data):
            raise struct.error
    shape = (count, len(kinds))
    return np.array(lengths, np.int64).reshape(shape), np.array(places, np.int64).reshape(shape)


def points_as_ply(
    points: NDArray[np.floating], colors: NDArray[np.uint8], parts: NDArray[np.integer]
) -> bytes:
    """Return a PLY file of float64 points (N, 3), with colours (N, 3) and ``part`` (N,)."""
    fields = [*((axis, "<f8") for axis in "xyz"), *((color, "u1") for color in COLOR), ("part", "<i4")]
    rows = np.empty(len(points), dtype=fields)
    for column, values in zip(rows.dtype.names or (), [*points.T, *colors.T, parts], strict=True):
        rows[column] = values
    kinds = {"<f8": "double", "u1": "uchar", "<i4": "int"}
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    head += [f"property {kinds[kind]} {name}" for name, kind in fields]
    return "\n".join([*head, "end_header\n"]).encode() + rows.tobytes()
