"""What a student says of many files: where they are found, and tables of the results."""

import csv
import glob
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from pointmcd.apis.batches import Outcome, Rejected, Task
from pointmcd.apis.files import NO_SHAPES, is_companion, is_shape, load_shape, visible_files
from pointmcd.apis.student import Student
from pointmcd.datasets.preparation.archive import is_archive, unpack
from pointmcd.datasets.preparation.sources import Shape, SourceError
from pointmcd.datasets.preparation.sources.walk import say_passed_over
from pointmcd.evaluation.part_segmentation import predict_parts
from pointmcd.files import check_writable, file_sha256, write_json, written_aside
from pointmcd.geometry import CloudColumns, MeshError, normalize, to_z_up
from pointmcd.geometry.formats.ply import points_as_ply


def find_tasks(
    inputs: Sequence[str],
    student: Student,
    columns: CloudColumns,
    category: str | None,
    unpacked: Path,
    limited: bool = True,
    outputs: Sequence[Path] = (),
) -> list[Task]:
    """Find the shapes that files, folders, globs and archives are or hold, each once.

    What is not there, or cannot be unpacked, is a task that is rejected when it is loaded. Files of folders
    and archives that are no shapes are passed over, which is said; so are archives within archives.

    Args:
        inputs: Paths and globs.
        student: What they are for.
        columns: Of clouds.
        category: Of all shapes, where the student segments; None takes it from the folders about a file.
        unpacked: Empty folder that takes what archives hold.
        limited: As ``unpack``.
        outputs: Files that will be written.

    Raises:
        ValueError: One of ``outputs`` is a file that is read.
    """
    tasks: list[Task] = []
    others: list[str] = []
    seen: set[Path] = set()
    for one in _given(inputs):
        for name, place, file in _expand(str(one), "", one, unpacked, limited, others):
            if isinstance(file, str):
                tasks.append(Task(name, partial(_refuse, file)))
                continue
            if file.resolve() in seen:  # within a folder that is given, too
                continue
            seen.add(file.resolve())
            label = _label(student, category, Path(name))
            load = partial(_load, student, columns, label, file, name)
            tasks.append(Task(name, load, Path(name).stem, label, place))
    for path in outputs:
        check_writable(path, *seen)
    say_passed_over(others)
    return tasks


def _given(inputs: Sequence[str]) -> Iterator[Path]:
    """Yield the paths that are given, and those that globs match, each once."""
    seen: set[Path] = set()
    for text in inputs:
        path = Path(text)
        matches = [] if path.exists() else [Path(found) for found in sorted(glob.glob(text, recursive=True))]
        for one in matches or [path]:
            if one.resolve() not in seen:
                seen.add(one.resolve())
                yield one


def _expand(
    name: str, place: str, path: Path, unpacked: Path, limited: bool, others: list[str]
) -> Iterator[tuple[str, str, Path | str]]:
    """Yield the shapes that a path is or holds: name and place, as in ``Task``, and the file or its fault.

    Args:
        name: What messages call the path.
        place: Its path within the input; empty for the input itself.
        path: File, folder or archive.
        unpacked: As ``find_tasks``.
        limited: As ``unpack``.
        others: Takes the names of files that are passed over.
    """
    folder = path
    try:
        if is_archive(path):
            folder = Path(tempfile.mkdtemp(dir=unpacked), "files")
            unpack(path, folder, limited)
        elif not path.is_dir():
            missing = "is neither a file nor a folder" if path.exists() else "there is no file of that name"
            yield name, place or path.name, path if path.is_file() else missing
            return
        inner = visible_files(folder)
    except (SourceError, OSError) as error:
        yield name, place, _reason(error, name, path)
        return
    # an archive within an archive could hold itself
    taken = [one for one in inner if is_shape(one) or (folder == path and is_archive(folder / one))]
    others += [str(Path(name, one)) for one in inner if one not in taken and not is_companion(one)]
    if not taken:
        yield name, place, NO_SHAPES
    for one in taken:
        yield from _expand(
            str(Path(name, one)), str(Path(place, one)), folder / one, unpacked, limited, others
        )


def _reason(error: Exception, name: str, file: Path) -> str:
    """Return what is wrong: without the name, which stands before it, or where an archive was unpacked."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    text = text.replace(str(file), name)
    return text.removeprefix(f"{name}: ").removeprefix(f"{name} ") or "unreadable"


def _label(student: Student, category: str | None, path: Path) -> int | None:
    """Return the category of a shape, where the student segments and it is known."""
    if not student.part_names:
        return None
    if category is None:
        names = [part for part in reversed(path.parts[:-1]) if part in student.class_names]
        category = names[0] if names else student.class_names[0] if len(student.class_names) == 1 else None
    return None if category is None else student.class_names.index(category)


def _load(student: Student, columns: CloudColumns, label: int | None, file: Path, name: str) -> Shape:
    if student.part_names and label is None:
        known = ", ".join(student.class_names)
        raise MeshError(
            f"its category is unknown: give --category, or put it in a folder named after it ({known})"
        )
    try:
        return load_shape(file, student.inputs, columns)
    except MeshError as error:
        raise MeshError(_reason(error, name, file)) from None


def _refuse(reason: str) -> Shape:
    raise MeshError(reason)


class Report:
    """The results of shapes, as they come.

    Args:
        student: Who says it.
        source: The student's file.
        top: Classes of each shape.
        parts: Folder for the parts of each shape, or None.
        embeddings: Keep the pooled features.

    Attributes:
        rows: A dict for each usable shape, in their order.
        rejected: ``file`` and ``reason`` of each other one.
    """

    def __init__(
        self,
        student: Student,
        source: Path,
        top: int = 5,
        parts: Path | None = None,
        embeddings: bool = False,
    ) -> None:
        self.student, self.source, self.top, self.folder = student, source, top, parts
        self.rows: list[dict[str, Any]] = []
        self.rejected: list[dict[str, str]] = []
        self._embeddings: list[np.ndarray] | None = [] if embeddings else None
        self._written: set[Path] = set()

    def check(self, category: str | None) -> None:
        """Refuse to ask a student for what it cannot say.

        Raises:
            ValueError: It has no head and no embeddings are wanted, parts or a category are wanted of one
                that knows none, or the category is not known.
        """
        if self.student.task == "embed" and self._embeddings is None:
            what = "has no head" if self.student.model.head is None else "knows no names without --text"
            raise ValueError(f"{self.source} {what}: it embeds shapes; give --embeddings FILE.npy")
        if not self.student.part_names and (self.folder is not None or category is not None):
            raise ValueError(f"{self.source} does not segment parts: leave out --parts and --category")
        if category is not None:
            self.student.label_of(category)

    def add(self, found: Outcome | Rejected) -> None:
        """Take in the next shape."""
        if isinstance(found, Rejected):
            self.rejected.append({"file": found.task.name, "reason": found.reason})
            return
        row: dict[str, Any] = {"file": found.task.name}
        if self._embeddings is not None:
            self._embeddings.append(found.embedding)
        if self.student.part_names:
            row |= self._segment(found)
        elif found.logits is not None:
            ranked = self.student.ranked(found.logits, self.top)
            row["classes"] = [{"class": name, "probability": share} for name, share in ranked]
        self.rows.append(row)

    def line(self) -> str:
        """Return the last shape that was taken in, in a line."""
        row = self.rows[-1]
        if "parts" in row:
            said = ", ".join(f"{name} {100 * share:.1f} %" for name, share in row["parts"].items())
            return f"{row['file']}: {row['category']}: {said}"
        classes = row.get("classes", [])
        return f"{row['file']}: " + (
            ", ".join(f"{one['class']} {100 * one['probability']:.1f} %" for one in classes) or "embedded"
        )

    def write_csv(self, path: Path) -> None:
        """Write a row a shape, rejected ones last: ``file``, what was said, and ``rejected``, the reason."""
        if self.student.part_names:
            names = ["category", *self.student.part_names]
            rows = [
                [row["category"], *(row["parts"].get(part, "") for part in names[1:])] for row in self.rows
            ]
        else:
            count = max(len(row.get("classes", ())) for row in self.rows)
            names = [f"{kind}_{rank}" for rank in range(1, count + 1) for kind in ("class", "probability")]
            rows = [[value for one in row.get("classes", ()) for value in one.values()] for row in self.rows]
        with written_aside(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", *names, "rejected"])
            writer.writerows([row["file"], *values, ""] for row, values in zip(self.rows, rows, strict=True))
            writer.writerows([one["file"], *[""] * len(names), one["reason"]] for one in self.rejected)

    def write_json(self, path: Path) -> None:
        """Write ``student``, ``shapes`` and ``rejected``."""
        about = {"file": str(self.source), "classes": self.student.class_names}
        if self.source.is_file():
            about["sha256"] = file_sha256(self.source)
        write_json(path, {"student": about, "shapes": self.rows, "rejected": self.rejected})

    def write_embeddings(self, path: Path) -> None:
        """Write (S, C) float32, and the names of the S shapes beside it."""
        with written_aside(path) as temporary, open(temporary, "wb") as file:
            np.save(file, np.stack(self._embeddings or []))
        write_json(path.with_suffix(".names.json"), [row["file"] for row in self.rows])

    def _segment(self, found: Outcome) -> dict[str, Any]:
        """Return the category, the share of each part, and the files where they were written."""
        label = found.task.label
        assert label is not None and found.logits is not None  # noqa: PT018 - it was rejected otherwise
        own = self.student.class_parts[label]
        parts, points = predict_parts(found.logits, own), found.points[:, :3]
        points, nearest = in_own_coordinates(found.shape, points, self.student.settings.up)
        parts = parts if nearest is None else parts[nearest]
        names = [self.student.part_names[part] for part in own]
        shares = {name: float((parts == part).mean()) for name, part in zip(names, own, strict=True)}
        row: dict[str, Any] = {"category": self.student.class_names[label], "parts": shares}
        if self.folder is not None:
            stem = self._place(Path(found.task.place))
            row["files"] = [
                str(write_parts(stem, suffix, points, parts, own, names)) for suffix in ("ply", "csv")
            ]
        return row

    def _place(self, inner: Path) -> Path:
        """Return where the parts of a shape are written, without suffix: a place of its own."""
        assert self.folder is not None
        place, number = self.folder / inner.with_suffix(""), 1
        while place in self._written:
            number += 1
            place = self.folder / inner.with_name(f"{inner.stem}-{number}")
        self._written.add(place)
        return place


def in_own_coordinates(shape: Shape, points: np.ndarray, up: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return points to show the parts of a shape on, in its own coordinates.

    Args:
        shape: As it was read.
        points: (N, 3) that the network saw, in the unit ball.
        up: The axis that points up in the shape's coordinates.

    Returns:
        Of a cloud all of its points (M, 3), and (M,) the row of ``points`` that is nearest to each; of a mesh
        ``points`` moved back (N, 3), and None.
    """
    if shape.points is not None:
        whole = normalize(to_z_up(shape.points, up))[0]
        return np.asarray(shape.points, np.float64), KDTree(points).query(whole)[1]
    assert shape.mesh is not None
    up = shape.mesh.metadata.get("up") or up
    _, center, scale = normalize(to_z_up(shape.mesh.vertices, up))
    turn = to_z_up(np.eye(3), up)
    return (points * scale + center) @ turn.T, None


def write_parts(
    stem: Path, suffix: str, points: np.ndarray, parts: np.ndarray, own: Sequence[int], names: Sequence[str]
) -> Path:
    """Write the parts of a shape's points, as ``STEM.parts.ply`` (coloured) or ``STEM.parts.csv``.

    Args:
        stem: Path without its suffix.
        suffix: ``ply`` or ``csv``.
        points: (M, 3).
        parts: (M,) of ``own``.
        own: The parts that the shape can have, which get the colours of ``visualization``.
        names: Of ``own``.
    """
    from pointmcd.visualization.parts import part_colors

    path = stem.with_name(f"{stem.name}.parts.{suffix}")
    with written_aside(path) as temporary:
        if suffix == "ply":
            colors = np.rint(255 * part_colors(parts, own)).astype(np.uint8)
            temporary.write_bytes(points_as_ply(points, colors, parts))
        else:
            named = dict(zip(own, names, strict=True))
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["x", "y", "z", "part", "name"])
                rows = zip(points.tolist(), parts.tolist(), strict=True)
                writer.writerows([*point, part, named[part]] for point, part in rows)
    return path
