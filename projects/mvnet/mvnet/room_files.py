"""Scenes that are stored as points, each of which a benchmark counts: ScanNet's meshes and S3DIS' rooms.

ScanNet, as it is downloaded:

    <scene>/<scene>_vh_clean_2.ply              vertices with colours
            <scene>_vh_clean_2.labels.ply       the same vertices; ``label`` is a NYU40 id
            <scene>.txt                         axisAlignment, 16 numbers: lays the room along the axes

S3DIS (Stanford3dDataset_v1.2_Aligned_Version):

    Area_N/<room>/Annotations/<class>_<number>.txt   x y z r g b of the points of one object, metres, z up
"""

from pathlib import Path

import numpy as np

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.geometry import MeshError
from pointmcd.geometry.formats.ply import read_ply_points
from projects.mvnet.mvnet.frames import axis_alignment
from projects.mvnet.mvnet.scenes import SCANNET20, SceneCloud, class_table

S3DIS13 = (
    "ceiling",
    "floor",
    "wall",
    "beam",
    "column",
    "window",
    "door",
    "table",
    "chair",
    "sofa",
    "bookcase",
    "board",
    "clutter",
)
OTHER_NAMES = {"stairs": "clutter"}  # of one room, which the benchmark's classes do not have
CLASS_NAMES = {"frames": tuple(SCANNET20.values()), "mesh": tuple(SCANNET20.values()), "s3dis": S3DIS13}
"""What points may be, by the form in which scenes are stored."""


def read_whole(folder: Path, form: str) -> SceneCloud:
    """Read all points of a scene.

    Args:
        folder: Of the scene.
        form: ``mesh`` or ``s3dis``.

    Raises:
        SourceError: The form is neither, or a file is missing or not laid out as expected.
    """
    if form == "mesh":
        return read_mesh(folder)
    if form == "s3dis":
        return read_room(folder)
    raise SourceError(
        f"scenes in the form of {form} have no points that a benchmark counts; mesh and s3dis have"
    )


def read_mesh(folder: Path) -> SceneCloud:
    """Read the vertices of a scene of ScanNet, along the axes where its text file says how.

    Raises:
        SourceError: There is no mesh, it cannot be read, or its labels are of other vertices.
    """
    path = folder / f"{folder.name}_vh_clean_2.ply"
    points, colors, _ = _vertices(path)
    turn = axis_alignment(folder)
    points = (points @ turn[:3, :3].T + turn[:3, 3]).astype(np.float32)
    classes, labels = None, path.with_name(f"{path.stem}.labels.ply")
    if labels.is_file():
        _, _, ids = _vertices(labels)
        if ids is None or len(ids) != len(points):
            raise SourceError(
                f"{labels} has not one label for each of the {len(points)} vertices of {path.name}"
            )
        table = class_table()
        classes = table[np.clip(ids, 0, len(table) - 1)]
    return SceneCloud(points, classes, colors)


def _vertices(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Read points, colours and labels of the vertices of a PLY file."""
    if not path.is_file():
        raise SourceError(f"{path.parent} has no {path.name}; is it a scene of ScanNet?")
    try:
        columns = read_ply_points(path.read_bytes())
    except MeshError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    points, colors, label = (
        columns.stacked(names) for names in (("x", "y", "z"), ("red", "green", "blue"), ("label",))
    )
    assert points is not None  # or it was refused
    return (
        points.astype(np.float64),
        None if colors is None else colors.astype(np.uint8),
        None if label is None else label[:, 0].astype(np.int64),
    )


def read_room(folder: Path) -> SceneCloud:
    """Read the points of a room of S3DIS, object by object in the order of the files' names.

    Raises:
        SourceError: There is no annotation, one is of no known class, or a line is not six numbers.
    """
    paths = sorted((folder / "Annotations").glob("*.txt"))
    if not paths:
        raise SourceError(f"{folder} has no Annotations/*.txt; is it a room of S3DIS?")
    tables, classes = [], []
    for path in paths:
        name = path.stem.partition("_")[0]
        name = OTHER_NAMES.get(name, name)
        if name not in S3DIS13:
            raise SourceError(f"{path}: there is no class {name!r} among {', '.join(S3DIS13)}")
        try:
            table = np.loadtxt(path, ndmin=2, encoding="latin-1")
        except ValueError as error:
            raise SourceError(
                f"{path} cannot be read: {error}. One file of the download (Area_5/hallway_6, ceiling_1.txt) "
                "has a stray byte in a number; correct it"
            ) from error
        if table.shape[1] != 6 or not np.isfinite(table).all():
            raise SourceError(f"{path} has {table.shape[1]} numbers per line; x y z r g b are needed")
        tables.append(table)
        classes.append(np.full(len(table), S3DIS13.index(name), np.uint16))
    whole = np.concatenate(tables)
    return SceneCloud(
        whole[:, :3].astype(np.float32), np.concatenate(classes), whole[:, 3:].clip(0, 255).astype(np.uint8)
    )


def areas(source: Path) -> dict[str, list[str]]:
    """Return the rooms of each area of S3DIS, ``Area_N/<room>``.

    Raises:
        SourceError: There is no room.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(source.glob("Area_*/*/Annotations")):
        area = path.parent.parent.name
        found.setdefault(area, []).append(f"{area}/{path.parent.name}")
    if not found:
        raise SourceError(f"{source} has no Area_N/<room>/Annotations; is it S3DIS?")
    return found
