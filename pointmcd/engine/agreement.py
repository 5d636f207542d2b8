"""What a checkpoint says of itself, compared with what a config makes of it."""

import ast
import contextlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.batch import FURTHER_INPUTS, check_inputs
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.models.backbones.pointnet2_seg import SEG_MSG, SEG_SSG
from pointmcd.registry import MODELS

NETWORK = ("backbone", "head")
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
TRAINING_ONLY = {"smoothing", "loss_weight", "dropout", "tnet_reg_weight"}
"""Arguments of a network that make no difference to what a trained one says."""
POINT_SETTINGS = ("normalization", "up")
MOST_TEXT = 2**20
"""Above the length of any config's text; a parser takes hundreds of bytes for each character."""
OLDER_SCALES = {"PointNet2Seg": (SEG_SSG, (32,)), "PointNet2SegMSG": (SEG_MSG, (16, 32, 128))}
"""Backbones whose first level had other numbers of neighbours by default than it has today."""
STATED: dict[str, type] = {
    "network": dict,
    "num_points": int,
    "inputs": list,
    "class_names": list,
    "part_names": list,
    "class_parts": list,
    "points": dict,
    "data_digest": str,
    "teacher": list,
    "began_with": str,
}
"""What a statement holds. It may come from anybody's file: whatever else is in it is left out."""


def statement(config: Config) -> dict[str, Any]:
    """Return what a checkpoint of this training says of itself, all of it plain values.

    Returns:
        ``network``: the arguments of backbone and head, defaults included, where there are any;
        ``num_points`` and ``inputs``, what the network sees of a shape; of the prepared set ``class_names``,
        ``part_names``, ``class_parts``, ``points`` (how it was prepared) and ``data_digest``. A training adds
        what it ``learns_from``.
    """
    stated: dict[str, Any] = {
        "network": network_of(config.model),
        "num_points": points_seen(config),
        "inputs": inputs_seen(config),
    }
    root = config.get("data_root")
    if root is not None and Path(root).is_dir():
        prepared = PreparedSet(root)
        stated |= {
            "class_names": list(prepared.class_names),
            "part_names": prepared.part_names,
            "class_parts": prepared.class_parts,
            "points": prepared.manifest["points"],
            "data_digest": prepared.digest,
        }
    return {key: plain(value) for key, value in stated.items()}


def statement_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says of itself, as ``statement``; less of it in older ones and in students.

    The config that a checkpoint holds as text is read, never run.
    """
    meta = _dict(checkpoint.get("meta"))
    stated: dict[str, Any]
    if isinstance(meta.get("statement"), dict):
        stated = dict(meta["statement"])
    elif "model" in checkpoint and "class_names" in checkpoint:  # an exported student
        stated = {"network": checkpoint["model"], **checkpoint}
    else:
        config, data = _literals(meta.get("cfg", "")), _dict(meta.get("dataset_meta"))
        names = {"class_names": "classes", "part_names": "parts", "class_parts": "class_parts"}
        stated = {name: plain(data[key]) for name, key in names.items() if data.get(key)}
        stated["network"] = with_older_defaults(config.get("model"))
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):  # no such config
            stated["num_points"] = points_seen(Config(config))
            stated["inputs"] = inputs_seen(Config(config))
    stated = {
        name: plain(stated[name])
        for name, kind in STATED.items()
        if isinstance(stated.get(name), kind) and not isinstance(stated[name], bool)
    }
    return stated | ({"network": network_of(stated["network"])} if "network" in stated else {})


def config_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the config that a checkpoint holds as text: read, never run; {} without one."""
    return plain(_literals(_dict(checkpoint.get("meta")).get("cfg", "")))


def check_agreement(config: Config, checkpoint: dict[str, Any], source: str | Path) -> list[str]:
    """Refuse a checkpoint of another network, other classes or parts, or points prepared in another way.

    Args:
        config: A complete config (``pointmcd.engine.load_config``).
        checkpoint: What ``read_checkpoint`` gave.
        source: The file, for messages.

    Returns:
        What differs and may: sentences about another number of points, or another set of the same classes.

    Raises:
        ValueError: They do not agree; the text names both sides.
    """
    ours, theirs = statement(config), statement_of(checkpoint)
    faults = _differences(ours["network"], theirs.get("network", {}))
    for name, what in (("class_names", "classes"), ("part_names", "parts"), ("class_parts", "class_parts")):
        if name in theirs and name in ours and (theirs[name] or []) != (ours[name] or []):
            faults.append((what, shortened(theirs[name]), shortened(ours[name])))
    if (theirs.get("inputs") or []) != ours["inputs"] and "network" in theirs:
        shown = [", ".join(("x, y, z", *map(str, said.get("inputs") or [])))[:80] for said in (theirs, ours)]
        faults.append(("what the network sees", shown[0], shown[1]))
    for name in POINT_SETTINGS:
        there, here = ((said.get("points") or {}).get(name) for said in (theirs, ours))
        if there is not None and here is not None and there != here:
            faults.append((f"points.{name}", there, here))
    if faults:
        lines = "\n".join(f"  {what}: {there} in the checkpoint, {here} here" for what, there, here in faults)
        raise ValueError(
            f"{source} was not trained as this config and {config.get('data_root')} say:\n{lines}"
        )
    notes = []
    if theirs.get("num_points", ours["num_points"]) != ours["num_points"]:
        there, here = theirs["num_points"], ours["num_points"]
        notes.append(f"{source} was trained on {there} points of a shape; here it sees {here}")
    if "data_digest" in theirs and theirs["data_digest"] != ours.get("data_digest"):
        notes.append(f"{source} was trained on another set of the same classes than {config.data_root}")
    return notes


def check_backbone(backbone: dict[str, Any], checkpoint: dict[str, Any], source: str | Path) -> None:
    """Refuse a checkpoint whose backbone has other arguments, such as another ``k``.

    Raises:
        ValueError: The text names both sides.
    """
    theirs = statement_of(checkpoint).get("network", {})
    faults = _differences(network_of({"backbone": backbone}), theirs)
    if faults:
        lines = "\n".join(f"  {what}: {there} in the checkpoint, {here} here" for what, there, here in faults)
        raise ValueError(f"{source} does not hold the backbone of this config:\n{lines}")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def plain(value: Any) -> Any:
    """Return dicts and lists for what is like them, such as a ``ConfigDict``; text for the rest."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def points_seen(config: Config) -> int:
    """Return N, how many points of a shape the network of a config looks at."""
    loader = config.get("test_dataloader")
    if loader is not None:
        return loader.dataset.num_points
    for transform in config.model.get("data_preprocessor", {}).get("transforms") or []:
        if transform["type"] == "RandomSubset":
            return transform["num_points"]
    return config.train_dataloader.dataset.num_points


def inputs_seen(config: Config) -> list[str]:
    """Return what a config's network sees of a point beside x, y, z, of ``batch.FURTHER_INPUTS``.

    Raises:
        ValueError: Its ``in_channels`` does not fit what a dataset loads.
    """
    backbone = config.model.get("backbone")
    channels = backbone.get("in_channels", 3) if isinstance(backbone, dict) else 3
    if not isinstance(channels, int) or channels == 3:
        return []
    found = {}
    for place in LOADERS:
        dataset = (config.get(place) or {}).get("dataset")
        if dataset is not None:
            found[place] = [kind for kind in FURTHER_INPUTS if dataset.get(kind)]
            check_inputs(channels, found[place], f"{place}.dataset")
    if len({tuple(kinds) for kinds in found.values()}) > 1:
        shown = ", ".join(f"{place} {' and '.join(kinds)}" for place, kinds in found.items())
        raise ValueError(f"the datasets load different inputs for the network: {shown}")
    return next(iter(found.values()), [])


def with_older_defaults(model: Any) -> Any:
    """Return the model of a file that states no defaults, where they were others when it was made."""
    backbone = _dict(_dict(model).get("backbone"))
    kind = backbone.get("type")
    if not isinstance(kind, str) or kind not in OLDER_SCALES or "scales" in backbone:
        return model
    scales, neighbors = OLDER_SCALES[kind]
    first, *others = plain(scales)
    before = [{**scale, "k": k} for scale, k in zip(first, neighbors, strict=True)]
    return {**model, "backbone": {**backbone, "scales": [before, *others]}}


def network_of(model: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model's backbone and head, with all defaults that are plain values."""
    MODELS.import_from_location()
    network = {}
    for part in NETWORK:
        given = model.get(part)
        if isinstance(given, dict) and "type" in given:
            kind = given["type"]
            # not the registry's search, which imports what a dotted name says: this may be of anybody's file
            component = MODELS.module_dict.get(kind) if isinstance(kind, str) else kind
            parameters = inspect.signature(component).parameters.values() if callable(component) else ()
            defaults = {p.name: p.default for p in parameters if isinstance(p.default, PLAIN)}
            name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
            network[part] = plain({**defaults, **given, "type": name})
    return network


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, theirs, ours) of each argument that differs in a part that both have."""
    found = []
    for part in ours.keys() & theirs.keys():
        here, there = ours[part], theirs[part]
        names = sorted((here.keys() | there.keys()) - TRAINING_ONLY)
        if here.get("type") != there.get("type"):
            names = ["type"]
        found += [
            (f"model.{part}.{name}", there.get(name), here.get(name))
            for name in names
            if here.get(name) != there.get(name)
        ]
    return found


def shortened(names: Any) -> str:
    """Return names in words, the first few of many."""
    if isinstance(names, Sequence) and len(names) > 5:
        return f"{len(names)} ({', '.join(map(str, names[:5]))} ...)"
    return str(names)


def _literals(text: str) -> dict[str, Any]:
    """Return the assignments in a config's text of literals and calls of ``dict``; others are left out."""
    found: dict[str, Any] = {}
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        return found
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, TypeError, MemoryError):
        return found
    for line in body:
        if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = literal(line.value)
            except (ValueError, RecursionError, TypeError, MemoryError):
                continue
    return found


def literal(node: ast.expr) -> Any:
    """Return the value of an expression of literals and calls of ``dict``; nothing is called.

    Raises:
        ValueError: It is none.
    """
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise ValueError("only dict(...) may be called here")
        return {str(word.arg): literal(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): literal(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.List | ast.Tuple):
        return [literal(child) for child in node.elts]
    return ast.literal_eval(node)
