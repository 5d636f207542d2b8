"""Posed RGB-D scenes with boxes, each fused to one cloud, as the set that ``scene_set.py`` reads."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointmcd.datasets.preparation.shape import CANDIDATES, PointSettings, Settings, shape_seed
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.ops import farthest_point_sample
from pointmcd.progress import track
from projects.mvnet.mvnet.array_files import read_arrays, write_arrays
from projects.mvnet.mvnet.boxes import SceneBoxes, read_boxes
from projects.mvnet.mvnet.detection.scene_set import BOXES
from projects.mvnet.mvnet.detection.suppression import points_inside
from projects.mvnet.mvnet.scene_lists import ScenePart
from projects.mvnet.mvnet.scene_work import scene_file, scene_work
from projects.mvnet.mvnet.scenes import SCANNET20, read_scene


def prepare_scenes_with_boxes(
    source: Path,
    out: Path,
    scenes: Mapping[str, Sequence[str]],
    num_points: int = 4096,
    least_points: int = 10,
    class_names: Sequence[str] = tuple(SCANNET20.values()),
    **reading: Any,
) -> dict[str, tuple[int, int, int]]:
    """Write posed RGB-D scenes with their boxes as a prepared set; after an interrupt the same call goes on.

    Args:
        source: Folder of the scenes, in a layout of ``frames.py``, each with a ``boxes.npz``.
        out: Folder of the set; must not exist yet.
        scenes: Folders, within ``source``, of the scenes of each split (``train``, ``test``).
        num_points: P of each scene, in farthest-point order, drawn from twice as many.
        least_points: A box that fewer points of the whole cloud lie in is left out: nobody saw the object.
        class_names: Of the boxes.
        reading: Arguments of ``read_scene``.

    Returns:
        For each split the number of its scenes, of their boxes, and of those left out.

    Raises:
        SourceError: A scene cannot be used, or ``out`` is there.
    """
    request = {"num_points": num_points, "least_points": least_points, **reading}
    if empty := [split for split, names in scenes.items() if not names]:
        raise SourceError(f"{empty[0]} lists no scene")
    parts = {split: [ScenePart(name) for name in names] for split, names in scenes.items()}
    with scene_work(source, out, parts, {"classes": list(class_names), **request}) as work:
        files = {}
        for name in track([name for names in scenes.values() for name in names], "scenes"):
            files[name] = scene_file(work, name, source / name)
            if not files[name].is_file():
                arrays = _encoded(source / name, num_points, least_points, len(class_names), reading)
                write_arrays(files[name], arrays)
        counts = {
            split: _assemble(work / "set" / split, {name: files[name] for name in names})
            for split, names in scenes.items()
        }
        settings = Settings(PointSettings(num_points), None, None, visibility="none").to_dict()
        settings["points"]["normalization"] = "metres"
        seal(
            work / "set",
            {
                "source": "posed-scenes-with-boxes",
                "class_names": ["scene"],
                "part_names": None,
                "box_classes": list(class_names),
                "splits": {split: len(names) for split, names in scenes.items()},
                **settings,
                "rejected": [],
                "request": request,
                "made_with": {name: version(name) for name in ("pointmcd", "numpy", "torch")},
            },
        )
    return counts


def _encoded(
    scene: Path, num_points: int, least_points: int, num_classes: int, reading: dict[str, Any]
) -> dict[str, Any]:
    """Return the points of a scene, the boxes that hold some, and how many do not."""
    points, boxes = read_scene(scene, **reading).points, _read_boxes(scene, num_classes)
    seen = points_inside(points, boxes.boxes) >= least_points
    return {
        "points": spread_points(points, num_points, scene.name),
        "boxes": boxes.boxes[seen],
        "classes": boxes.classes[seen],
        "unseen": (~seen).sum(),
    }


def _assemble(folder: Path, files: Mapping[str, Path]) -> tuple[int, int, int]:
    """Write a split from the scenes' files; return the number of scenes, of boxes and of those left out."""
    boxes, classes, unseen = [], [], 0
    writer = SplitWriter(folder, list(files), [0] * len(files))
    for path in files.values():
        stored = read_arrays(path)
        writer.add(EncodedShape({"points": stored["points"]}))
        boxes.append(stored["boxes"])
        classes.append(stored["classes"])
        unseen += int(stored["unseen"])
    writer.close()
    arrays: dict[str, Any] = {
        "boxes": np.concatenate(boxes),
        "classes": np.concatenate(classes),
        "scene": np.repeat(np.arange(len(files)), [len(one) for one in classes]),
    }
    write_arrays(folder / BOXES, arrays)
    return len(files), len(arrays["boxes"]), unseen


def _read_boxes(scene: Path, num_classes: int) -> SceneBoxes:
    path = scene / BOXES
    if not path.is_file():
        raise SourceError(f"{scene} has no {BOXES}: detection needs the boxes of its objects (read_boxes.py)")
    try:
        found = read_boxes(path).aligned()
    except ValueError as error:
        raise SourceError(str(error)) from None
    if len(found.classes) and not 0 <= found.classes.min() <= found.classes.max() < num_classes:
        raise SourceError(f"{path}: there are {num_classes} classes, so {found.classes} cannot be right")
    return found


def spread_points(points: np.ndarray, count: int, name: str) -> np.ndarray:
    """Return ``count`` of the points (P, 3) of a scene in farthest-point order, repeated where it has fewer.

    Args:
        points: float32.
        count: How many.
        name: Of the scene; seeds the drawing of the candidates, twice ``count``.
    """
    if len(points) > CANDIDATES * count:
        draws = np.random.default_rng(shape_seed(name, 0))
        points = points[np.sort(draws.choice(len(points), CANDIDATES * count, replace=False))]
    order = farthest_point_sample(torch.from_numpy(points)[None], min(count, len(points)))[0].numpy()
    return points[np.resize(order, count)]
