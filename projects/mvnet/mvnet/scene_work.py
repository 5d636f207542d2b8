"""Sets that are made scene by scene: an interrupted preparation goes on from the scenes that are done."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pointmcd.datasets.preparation.archive import fingerprint, is_archive
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.files import read_json, write_json
from pointmcd.folders import replace_folder, sole_writer
from projects.mvnet.mvnet.scene_lists import ScenePart, check_scenes

JOB = "job.json"
LEAST = {"num_points": 1, "least_points": 0, "every": 1, "stride": 1, "views": 0, "image_size": 1}
ABOVE_0 = ("radius", "voxel")


@contextmanager
def scene_work(
    source: Path, out: Path, scenes: Mapping[str, Sequence[ScenePart]], job: Mapping[str, Any]
) -> Iterator[Path]:
    """Yield the folder ``OUT.partial``, of which ``set`` becomes ``out`` when the block is done.

    Its files of scenes (`scene_file`) outlive an interrupt, for a call with the same source and job. An
    archive counts by its content, a folder by that of each scene.

    Args:
        source: Folder of the scenes, or an archive of it.
        out: Folder of the set; must not exist yet.
        scenes: The scenes of each split, folders within ``source``.
        job: What the scenes' files depend on, as JSON holds it.

    Raises:
        SourceError: A number is too low, ``out`` is there, the scenes are refused (`check_scenes`), or the
            folder holds another job's work.
    """
    check_numbers(job)
    out = Path(os.path.realpath(out))
    if out.exists():
        raise SourceError(f"{out} exists; it was not touched. Choose another --out, or remove it")
    check_scenes(scenes)
    work = out.with_name(f"{out.name}.partial")
    job = {"source": os.path.realpath(source), **(fingerprint(source) if is_archive(source) else {}), **job}
    with sole_writer(work / "lock", work):
        if (work / JOB).is_file() and read_json(work / JOB) != job:
            raise SourceError(
                f"{work} is unfinished work of a run with other settings or another source, or the archive "
                "was replaced; remove it"
            )
        (work / "scenes").mkdir(exist_ok=True)
        for left in (work / "scenes").glob("*.tmp"):  # of processes that were killed
            left.unlink()
        write_json(work / JOB, job)
        shutil.rmtree(work / "set", ignore_errors=True)
        yield work
        replace_folder(work / "set", out)
        shutil.rmtree(work)


def check_numbers(job: Mapping[str, Any]) -> None:
    """Refuse numbers of which no scene can be made, before the first one is read.

    Raises:
        SourceError: The text names the number.
    """
    for name in LEAST.keys() & job.keys():
        if job[name] < LEAST[name]:
            raise SourceError(f"{name} is {job[name]}, must be at least {LEAST[name]}")
    for name in ABOVE_0:
        if name in job and not 0 < job[name] < math.inf:
            raise SourceError(f"{name} is {job[name]}, must be above 0, in metres")


def scene_file(work: Path, scene: str, folder: Path) -> Path:
    """Return the file for what is made of a scene, which no other scene has, nor this one with other files.

    Args:
        work: What `scene_work` yields.
        scene: The line of a list.
        folder: Of the scene. What lies in it counts by names, sizes and times.

    Raises:
        SourceError: There is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}, which should be a scene")
    beside = folder.parent / "camera-intrinsics.txt"  # of scenes in 7-Scenes' layout
    content = [fingerprint(path) for path in (folder, beside) if path.exists()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return work / "scenes" / f"{quote(scene, safe='')}--{digest[:16]}.npz"
