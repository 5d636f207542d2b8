"""The manifest of a prepared set: its keys, its digest, and what makes it again where it is missing."""

import re
import reprlib
from pathlib import Path
from typing import Any

from pointmcd.folders import DamagedError, digest_of

FORMAT_VERSION, SHARDED_VERSION = 1, 2
"""Of a set in one piece, which a shard is too, and of one that is made of shards."""
MANIFEST = "manifest.json"
SHARDS = "shards"
UPS = ("x", "y", "z")
NORMALIZATIONS = ("bounding_box",)
OF_SCENES = re.compile(r"ball of [0-9.e+-]+ m|metres")
"""What is said in place of a normalization of crops of scenes and of whole ones (projects/mvnet)."""
VISIBILITIES = ("ray", "depth", "hpr", "none")
UNHASHED = ("digest", "request", "rejected", "made_with", "manifest_sha256")
"""Manifest keys outside the digest: the same shapes from a folder and from an archive are the same set."""

OF_ONE_SHARD = ("format_version", "splits", "files", "copies", "shard", "shards")
"""Manifest keys in which the shards of a set, and the set, differ."""


class PreparedSetError(ValueError):
    """A prepared set is missing, damaged or of another format."""


def manifest_digest(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of what the shapes are, in hexadecimal."""
    return digest_of(manifest, UNHASHED)


def shard_name(number: int) -> str:
    """Return the folder of one shard, within ``SHARDS``: ``0003``."""
    return f"{number:04d}"


def is_in_one_piece(root: Path) -> bool:
    """Return whether a folder holds shapes of its own, and not only shards; its manifest may be damaged."""
    return next(root.glob("*/labels.npy"), None) is not None


def how_to_make_shard(
    manifest: dict[str, Any], number: int | str, count: int, root: Path, again: bool = True
) -> str:
    """Return the command that makes one shard.

    Args:
        manifest: Of the set or of another of its shards, which says how that was made.
        number: From 1.
        count: How many shards there are.
        root: Of the whole set.
        again: Replace what is there.
    """
    made_with = manifest.get("made_with")
    typed = made_with.get("command") if isinstance(made_with, dict) else None
    command = typed or f"pointmcd prepare SOURCE --out {root}"
    return f"{command} --shard {number}/{count}" + (" --overwrite" if again else "")


def how_to_merge(root: Path) -> str:
    """Return the command that makes one set of the shards that are there."""
    return f"pointmcd prepare --merge {root}"


def differing_keys(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the keys, of those that all shards of a set share, that differ."""
    keys = (one.keys() | other.keys()) - {*UNHASHED, *OF_ONE_SHARD}
    return sorted(key for key in keys if one.get(key) != other.get(key))


def check_values(manifest: dict[str, Any], path: Path) -> None:
    """Refuse names that are none, sizes below 1 and settings that are not known; the digest tells damage, and
    not who wrote the file.
    """
    classes, parts, of_classes = (manifest.get(key) for key in ("class_names", "part_names", "class_parts"))
    points = manifest["points"]
    faults = {
        "class_names": not _are_names(classes) or len({*(classes or ())}) < len(classes or ()),
        "part_names": parts is not None and not _are_names(parts),
        "class_parts": of_classes is not None and not _are_parts(of_classes, classes, parts),
        "copies": manifest.get("copies") is not None and not _are_copies(manifest),
        "num_views": type(manifest["num_views"]) is not int or manifest["num_views"] < 0,
        "points": type(points["num_points"]) is not int
        or points["num_points"] < 1
        or points.get("up", "z") not in UPS
        or not _is_normalization(points.get("normalization", NORMALIZATIONS[0])),
        "visibility": manifest["visibility"] not in VISIBILITIES,
        "views": manifest["views"] is not None
        and (type(manifest["views"]["size"]) is not int or manifest["views"]["size"] < 1),
        "shards": not _are_shards(manifest),
    }
    if wrong := [key for key, is_wrong in faults.items() if is_wrong]:
        raise DamagedError(
            f"{path} is damaged: its {wrong[0]} cannot be {reprlib.repr(manifest.get(wrong[0]))}"
        )


def _is_normalization(value: Any) -> bool:
    return value in NORMALIZATIONS or (isinstance(value, str) and OF_SCENES.fullmatch(value) is not None)


def _are_shards(manifest: dict[str, Any]) -> bool:
    shards = manifest.get("shards")
    if manifest["format_version"] != SHARDED_VERSION:
        return shards is None
    if not isinstance(shards, list) or not shards:
        return False
    return all(isinstance(one, dict) and isinstance(one.get("digest"), str) for one in shards)


def _are_copies(manifest: dict[str, Any]) -> bool:
    of, splits = manifest["copies"]["of"], manifest["splits"]
    known = isinstance(of, list) and len(of) == splits["copies"] and of == sorted(of)
    return known and all(type(row) is int and 0 <= row < splits["train"] for row in of)


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _are_parts(values: Any, classes: Any, parts: Any) -> bool:
    """Return whether the parts of each class are among the known parts."""
    return (
        isinstance(values, list)
        and len(values) == len(classes or ())
        and all(isinstance(numbers, list) for numbers in values)
        and all(
            type(number) is int and 0 <= number < len(parts or ()) for numbers in values for number in numbers
        )
    )


def how_to_prepare(root: Path) -> str:
    """Return what makes a set that is not there."""
    # Sources know their sets; whoever reads one that is there loads none of them.
    from pointmcd.datasets.preparation.sources import source_class, source_names

    for name in source_names():
        if (words := source_class(name).how_to_prepare.get(root.name)) is not None:
            return f"{words} --out {root}"
    return (
        f"From your meshes: pointmcd prepare mesh-folder --source path/to/meshes "
        f"--out {root}\n"
        f"From your point clouds: pointmcd prepare cloud-folder --source path/to/clouds "
        f"--out {root}\n"
        f"From built-in shapes: pointmcd prepare builtin --out {root}"
    )
