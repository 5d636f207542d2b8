"""Makes one set of shards: checks that they belong together and lack nothing, and writes its manifest."""

import re
from pathlib import Path
from typing import Any

from pointmcd.datasets.manifest import (
    MANIFEST,
    OF_ONE_SHARD,
    SHARDED_VERSION,
    SHARDS,
    UNHASHED,
    differing_keys,
    how_to_make_shard,
    is_in_one_piece,
    shard_name,
)
from pointmcd.datasets.preparation.job import Result
from pointmcd.datasets.preparation.request import PreparationError, differences
from pointmcd.datasets.preparation.shards import Shard
from pointmcd.datasets.preparation.sources.copies import SPLIT as COPIES
from pointmcd.datasets.preparation.writer import write_manifest
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import read_json
from pointmcd.folders import sole_writer

NAMES_SHOWN = 8


def merge(root: Path) -> Result:
    """Make one set of the shards in ``root``.

    Raises:
        PreparationError: Shards are missing, or they are not those of one set; the message has the command.
        PreparedSetError: A shard is damaged.
        BusyError: Another process merges them.
    """
    found = {int(p.name): p for p in (root / SHARDS).glob("*") if re.fullmatch(r"\d{4,}", p.name)}
    found = {number: folder for number, folder in sorted(found.items()) if (folder / MANIFEST).is_file()}
    if not found:
        raise PreparationError(
            f"{root} holds no finished shards to merge. Each is made by a command of its own:\n"
            f"pointmcd prepare SOURCE --out {root} --shard 1/8"
        )
    if is_in_one_piece(root):
        raise PreparationError(f"{root} is a set in one piece; its folder {SHARDS} does not belong to it")
    with sole_writer(root / SHARDS / "lock", root):
        known = _first_known(root, list(found.values()))
        count = known["shard"]["count"]
        if missing := sorted({*range(1, count + 1)} - found.keys()):
            shown = ", ".join(map(shard_name, missing[:NAMES_SHOWN])) + ", ..." * (len(missing) > NAMES_SHOWN)
            raise PreparationError(
                f"{len(missing)} of the {count} shards of {root} are missing or not finished: {shown}.\n"
                f"The first is made by: {how_to_make_shard(known, missing[0], count, root, again=False)}"
            )
        if max(found) > count:
            raise PreparationError(
                f"{found[max(found)]} is not one of the {count} shards of {root}; remove it"
            )
        shards: list[PreparedSet] = []
        arrays: dict[str, list[str]] = {}  # of each split, as the first shard of which it is has them
        for number, folder in found.items():
            again = f"Make that shard again: {how_to_make_shard(known, number, count, root)}"
            shards.append(PreparedSet(folder, again))
            if fault := _fault(shards[-1].manifest, shards[0].manifest, number, arrays):
                raise PreparationError(f"{folder} {fault}\n{again}")
        _check_names(shards)
        header = _header([shard.manifest for shard in shards])
        digest = write_manifest(root, header, {}, SHARDED_VERSION)
    return Result(digest, header["splits"], header["rejected"])


def _first_known(root: Path, folders: list[Path]) -> dict[str, Any]:
    """Return the manifest of the first shard that has one; of a damaged one the others know the command."""
    for folder in folders:
        try:
            manifest = read_json(folder / MANIFEST)
            if isinstance(manifest["shard"]["count"], int):
                return manifest
        except (ValueError, KeyError, TypeError):
            continue
    raise PreparationError(
        f"{folders[0]} is not a shard: it was prepared without --shard, or is damaged.\n"
        f"Shards are made by: pointmcd prepare SOURCE --out {root} --shard 1/8"
    )


def _fault(
    manifest: dict[str, Any], first: dict[str, Any], number: int, arrays: dict[str, list[str]]
) -> str | None:
    """Return why a shard cannot be merged with those before it, or None; ``arrays`` gains its splits."""
    about, of_first = manifest.get("shard"), first.get("shard") or {}
    if not isinstance(about, dict):
        return "is not a shard: it was prepared without --shard"
    if about.get("number") != number:
        return f"is number {about.get('number')} of the shards, by its manifest"
    if lines := differences(_common(manifest), _common(first)):
        return f"is a shard of another request than {shard_name(1)}:\n{lines}"
    if about != of_first | {"number": number}:
        return f"is of another source than {shard_name(1)}, or one of another number of shards"
    if keys := differing_keys(manifest, first):
        return f"differs from {shard_name(1)} in {', '.join(keys)}"
    for split in manifest["splits"]:
        if arrays.setdefault(split, _files(manifest, split)) != _files(manifest, split):
            return f"has other arrays in {split} than the shards before it"
    for split, total in of_first["source_shapes"].items():
        rejected = sum(one["split"] == split for one in manifest["rejected"])
        there = manifest["splits"].get(split, 0) + rejected
        own = len(Shard(number, of_first["count"]).rows(total))
        if there != own:
            return f"holds {there} shapes of {split}, rejected ones included, instead of {own}"
    return None


def _common(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for, but for the shard's number and the times of its own files."""
    own = ("shard", "own_times")
    return {key: value for key, value in manifest["request"].items() if key not in own}


def _files(manifest: dict[str, Any], split: str) -> list[str]:
    return sorted(file for file in manifest["files"] if file.startswith(f"{split}/"))


def _check_names(shards: list[PreparedSet]) -> None:
    """Refuse a shape that is there twice."""
    seen: dict[tuple[str, str], Path] = {}
    for shard in shards:
        for split in shard.splits:
            for name in shard.split(split).names:
                if other := seen.get((split, name)):
                    raise PreparationError(f"{other} and {shard.root} both hold {split}/{name}")
                seen[split, name] = shard.root


def _header(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the manifest of the whole says."""
    first = manifests[0]
    order = list(first["shard"]["source_shapes"])
    if "train" in order and any(COPIES in one["splits"] for one in manifests):
        order.insert(order.index("train") + 1, COPIES)
    splits = {split: sum(one["splits"].get(split, 0) for one in manifests) for split in order}
    if lost := [split for split, count in splits.items() if not count]:
        raise PreparationError(f"no usable shape in the split {', '.join(lost)}; the shards have the reasons")
    header = {key: value for key, value in first.items() if key not in (*OF_ONE_SHARD, *UNHASHED)}
    header["splits"] = splits
    if COPIES in splits:
        of, before = [], 0
        for one in manifests:
            of += [before + row for row in (one.get("copies") or {"of": []})["of"]]
            before += one["splits"].get("train", 0)
        header["copies"] = {"of": of}
    return header | {
        "shards": [{"digest": one["digest"], "splits": one["splits"]} for one in manifests],
        "rejected": [one for manifest in manifests for one in manifest["rejected"]],
        "request": _common(first) | {"shards": len(manifests)},
        "made_with": first["made_with"],
    }
