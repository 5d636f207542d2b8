"""OFF: https://segeval.cs.princeton.edu/public/off_format.html, and what tools and data sets make of it."""

import re

import numpy as np

from pointmcd.geometry.formats.content import Content, MeshError, ragged
from pointmcd.geometry.formats.text import Lines, plain_text, split_lines, whole_numbers

# The keyword may be missing, in small letters, and may run into the counts (``OFF490 518 0``), as in some
# files of ModelNet40.
_HEADER = re.compile(rb"\A\s*((?:ST)?C?N?4?N?OFF)?", re.IGNORECASE)
_BINARY = re.compile(rb"\A\s*\w*OFF[ \t]+BINARY", re.IGNORECASE)
_COMMENT = re.compile(rb"#[^\n]*")
_NUMBER = re.compile(rb"\s*[-+.]?\d")
# Numbers that the letters of the keyword add to a vertex: texture coordinates, a colour, a normal.
_EXTRA = {b"ST": 2, b"C": 4, b"N": 3}


def read_off(data: bytes) -> Content:
    """Read text OFF: ``#`` comments, colours and normals behind the coordinates, polygons.

    A line holds a vertex or a face, of which what follows the expected numbers is not read. Where there are
    fewer lines than that, white space of any kind separates the numbers, and they must come out even. Words
    may follow the last face; numbers there mean that the counts are wrong.
    """
    if _BINARY.match(data[:100]):
        raise MeshError("OFF BINARY is not supported; save it as text")
    text = _COMMENT.sub(b"", plain_text(data))
    header = _HEADER.match(text)
    keyword, begin = (header[1] or b"", header.end()) if header else (b"", 0)
    if b"4" in keyword or keyword.endswith(b"nOFF"):
        raise MeshError(f"{keyword.decode()} is not supported: its vertices do not have three dimensions")
    lines = split_lines(text[begin:], text.count(b"\n", 0, begin) + 1)
    num_vertices, num_faces = _counts(lines)
    vertex_lines = lines.rows(1, num_vertices)
    if len(lines) - 1 < num_vertices + num_faces or (vertex_lines.words < 3).any():
        found = _any_white_space(lines, num_vertices, num_faces, keyword)
        if found is not None:
            return found
        if len(lines) - 1 < num_vertices + num_faces:
            raise MeshError(
                f"{num_vertices} vertices and {num_faces} faces promised, {len(lines) - 1} lines follow"
            )
        row = int(np.argmax(vertex_lines.words < 3))
        raise MeshError(f"{vertex_lines.at(row)}: a vertex of fewer than three coordinates")
    if len(lines) - 1 > num_vertices + num_faces:  # text may follow, but numbers are of the mesh
        more = lines.rows(1 + num_vertices + num_faces, 1)
        if _NUMBER.match(lines.text, int(more.begin[0])):
            raise MeshError(
                f"{num_vertices} vertices and {num_faces} faces promised, but numbers follow in {more.at(0)}"
            )
    vertices = vertex_lines.numbers()[vertex_lines.starts()[:, None] + np.arange(3)]
    face_lines = lines.rows(1 + num_vertices, num_faces)
    numbers, starts = face_lines.numbers(whole=True), face_lines.starts()
    counts = whole_numbers(numbers[starts])
    short = (counts < 0) | (face_lines.words - 1 < counts)
    if short.any():
        row = int(np.argmax(short))
        raise MeshError(f"{face_lines.at(row)}: a face has fewer vertices than it promises")
    return Content(vertices, whole_numbers(numbers[ragged(starts + 1, counts)]), counts)


def _counts(lines: Lines) -> tuple[int, int]:
    words = lines.text[lines.begin[0] : lines.end[0]].split()[:2] if len(lines) else []
    try:
        vertices, faces = map(int, words)
    except ValueError:
        raise MeshError("no vertex and face counts") from None
    if min(vertices, faces) < 0:
        raise MeshError(f"{vertices} vertices and {faces} faces promised")
    return vertices, faces


def _any_white_space(lines: Lines, num_vertices: int, num_faces: int, keyword: bytes) -> Content | None:
    """Return the same of numbers that lines do not separate, or None where they do not come out even."""
    total = int(lines.words.sum())
    if 3 * num_vertices + num_faces > total:
        return None
    numbers = lines.numbers()
    begin = 2 if lines.words[0] == 2 else 3  # the number of edges may be left out
    wide = 3 + sum(
        count for letters, count in _EXTRA.items() if letters in keyword.upper().removesuffix(b"OFF")
    )
    for width in {3, wide}:
        position = begin + width * num_vertices
        starts, counts = [], []
        for _ in range(num_faces):
            if position >= total or not 0 <= numbers[position] <= total:
                break
            starts.append(position + 1)
            counts.append(int(numbers[position]))
            position += 1 + counts[-1]
        if position == total and len(counts) == num_faces:
            vertices = numbers[begin : begin + width * num_vertices].reshape(num_vertices, width)[:, :3]
            corners = numbers[ragged(np.array(starts, dtype=np.int64), np.array(counts, dtype=np.int64))]
            return Content(vertices, whole_numbers(corners), np.array(counts, dtype=np.int64))
    return None
