"""Crops of scenes as a prepared set, with the frames that see them where these are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.images import KINDS
from pointmcd.datasets.preparation.archive import is_archive, unpack
from pointmcd.datasets.preparation.shape import PointSettings, Settings
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.progress import track
from projects.mvnet.mvnet.array_files import read_arrays, write_arrays
from projects.mvnet.mvnet.frames import posed_frames
from projects.mvnet.mvnet.room_files import CLASS_NAMES, read_whole
from projects.mvnet.mvnet.scene_lists import ScenePart
from projects.mvnet.mvnet.scene_views import FARTHEST, NEAR, SceneViews
from projects.mvnet.mvnet.scene_work import scene_file, scene_work
from projects.mvnet.mvnet.scenes import UNLABELLED, VOXEL, SceneCloud, crops, read_scene


def prepare_scenes(
    source: Path,
    out: Path,
    scenes: Mapping[str, Sequence[str]],
    num_points: int = 4096,
    radius: float = 1.5,
    views: int = 0,
    image_size: int = 96,
    form: str = "frames",
    **reading: Any,
) -> dict[str, int]:
    """Write the crops of posed RGB-D scenes as a prepared set; after an interrupt the same call goes on.

    Args:
        source: Folder of the scenes, or an archive of it.
        out: Folder of the set; must not exist yet.
        scenes: The scenes of each split (``train``, ``test``): ``NAME``, or ``NAME FIRST LAST`` for the
            frames of these numbers alone.
        num_points: P of each crop.
        radius: Of a crop, in metres.
        views: Frames that are kept of each crop, with their cameras, as views of it; crops that fewer frames
            see are left out. 0 keeps none.
        image_size: Side of the views in pixels.
        form: What a scene is: ``frames``, or points as `room_files` reads them, ``mesh`` or ``s3dis``, which
            have no views.
        reading: Arguments of `read_scene`; of points ``voxel`` alone counts.

    Returns:
        The number of crops of each split.

    Raises:
        SourceError: A scene cannot be used, ``out`` is there, or a split would have no crop.
    """
    request = {"num_points": num_points, "radius": radius, **reading}
    if views:
        request |= {"views": views, "image_size": image_size}
    if form != "frames":
        if views or form not in CLASS_NAMES:
            raise SourceError(f"{form} with {views} views: mesh and s3dis have no views, only frames may")
        request |= {"form": form}
    parts = {split: [ScenePart.parse(line) for line in lines] for split, lines in scenes.items()}
    with scene_work(source, out, parts, request) as work:
        if is_archive(source):
            if not (work / "source").is_dir():
                unpack(source, work / "source")
            source = work / "source"
        files = {}
        for part in track([part for split in parts.values() for part in split], "scenes"):
            files[part] = scene_file(work, str(part), source / part.name)
            if not files[part].is_file():
                _write_crops(files[part], list(_encoded(source / part.name, part, request)))
        counts = {
            split: _assemble(work / "set" / split, {part: files[part] for part in chosen})
            for split, chosen in parts.items()
        }
        seal(work / "set", _header(scenes, counts, request, (work / "set")))
    return counts


def _header(
    scenes: Mapping[str, Sequence[str]], counts: dict[str, int], request: dict[str, Any], root: Path
) -> dict[str, Any]:
    """Return what the manifest says beyond the files."""
    radius = request["radius"]
    settings = Settings(PointSettings(request["num_points"]), None, None, visibility="none").to_dict()
    settings["points"]["normalization"] = f"ball of {radius} m"
    if "views" in request:
        settings["num_views"] = request["views"]
        settings["views"] = {"size": request["image_size"]}
        settings["depths"] = {"near": NEAR / radius, "far": FARTHEST / radius}
    names = CLASS_NAMES[request.get("form", "frames")]
    labelled = all((root / split / "parts.npy").is_file() for split in counts)
    return {
        "source": "posed-scenes",
        "class_names": ["scene"],
        "part_names": [*names, UNLABELLED] if labelled else None,
        "class_parts": [list(range(len(names)))] if labelled else None,
        "splits": counts,
        **settings,
        "rejected": [],
        "request": {"scenes": {split: list(names) for split, names in scenes.items()}, **request},
        "made_with": {name: version(name) for name in ("pointmcd", "numpy", "torch")},
    }


def _read(folder: Path, part: ScenePart, request: dict[str, Any]) -> SceneCloud:
    """Read a scene as the request has it."""
    if "form" in request:
        return read_whole(folder, request["form"]).thinned(request.get("voxel", VOXEL))
    reading = {name: request[name] for name in ("every", "stride", "voxel") if name in request}
    return read_scene(folder, first=part.first, last=part.last, **reading)


def _encoded(folder: Path, part: ScenePart, request: dict[str, Any]) -> Iterator[EncodedShape]:
    """Cut a scene into crops, with their views."""
    cloud = _read(folder, part, request)
    seen, radius = None, request["radius"]
    if "views" in request:
        frames = posed_frames(folder, request.get("every", 1), part.first, part.last)
        seen = SceneViews.of(frames, request["image_size"])
    for crop in crops(cloud, request["num_points"], radius, folder.name):
        images: dict[str, list[bytes]] = {}
        arrays = crop.arrays(cloud)
        if seen is not None:
            chosen = seen.of_ball(crop.center, radius, request["views"])
            if chosen is None:
                continue
            arrays["cameras"], images = chosen
        yield EncodedShape(arrays, images)


def _write_crops(path: Path, found: Sequence[EncodedShape]) -> None:
    """Write the crops of one scene as one file, which is there when it is whole."""
    arrays: dict[str, Any] = {"count": np.array(len(found))}
    for key in found[0].arrays if found else ():
        arrays[key] = np.stack([piece.arrays[key] for piece in found])
    for kind in found[0].images if found else ():
        encoded = [image for piece in found for image in piece.images[kind]]
        arrays[f"{kind}_bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"{kind}_sizes"] = np.array([len(image) for image in encoded])
    write_arrays(path, arrays)


def _read_crops(path: Path) -> Iterator[EncodedShape]:
    """Read what `_write_crops` wrote."""
    stored = read_arrays(path)
    count = int(stored.pop("count"))
    images = {}
    for kind in [kind for kind in KINDS if f"{kind}_bytes" in stored]:
        ends = stored.pop(f"{kind}_sizes").cumsum()
        images[kind] = [part.tobytes() for part in np.split(stored.pop(f"{kind}_bytes"), ends[:-1])]
    for row in range(count):
        yield EncodedShape(
            {key: array[row] for key, array in stored.items()},
            {
                kind: encoded[row * len(encoded) // count : (row + 1) * len(encoded) // count]
                for kind, encoded in images.items()
            },
        )


def _assemble(folder: Path, files: Mapping[ScenePart, Path]) -> int:
    """Write a split of the set from the scenes' files; return the number of its crops."""
    titles = []
    for part, path in files.items():
        count = int(read_arrays(path, "count")["count"])
        titles += [f"{str(part).replace(' ', '_')}/{number:04d}" for number in range(count)]
    if not titles:
        raise SourceError(f"{folder.name} has no crop that enough frames see; ask for fewer with --views")
    writer = SplitWriter(folder, titles, [0] * len(titles))
    for path in files.values():
        for piece in _read_crops(path):
            writer.add(piece)
    writer.close()
    return len(titles)
