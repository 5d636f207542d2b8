"""What a checkpoint says of the training that made it, compared with the config that it is used with.

MMEngine stores the complete config in a checkpoint as text, and what the dataset says of itself. That text is
Python, and a checkpoint may be anybody's: it is read here as data and never run.
"""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.registry import MODELS

TRAINING_ONLY = {"dropout", "smoothing", "loss_weight", "tnet_reg_weight"}
"""Arguments of backbones and heads that a trained network does not depend on."""
READ = ("model", "train_dataloader", "test_dataloader")


@dataclass(frozen=True)
class Provenance:
    """What is known of the training of a checkpoint; empty where the checkpoint does not say.

    Attributes:
        config: ``model``, ``train_dataloader`` and ``test_dataloader`` of the training's complete config.
        data: Names of the training set's ``classes`` and ``parts``, its ``class_parts``, and ``points``, how
            its points were prepared.
    """

    config: Config = field(default_factory=Config)
    data: Mapping[str, Any] = field(default_factory=dict)


def provenance(saved: Mapping[str, Any]) -> Provenance:
    """Read what a checkpoint says of its training.

    Args:
        saved: What ``read_checkpoint`` gives.
    """
    meta = saved.get("meta")
    if not isinstance(meta, dict):
        return Provenance()
    text, data = meta.get("cfg"), meta.get("dataset_meta")
    return Provenance(
        Config(_assignments(text) if isinstance(text, str) else {}), data if isinstance(data, dict) else {}
    )


def check_provenance(saved: Mapping[str, Any], config: Config) -> Provenance:
    """Refuse a config whose network or data are not those that a student's checkpoint was trained with.

    Another number of points and another set of the same classes are no reason.

    Args:
        saved: What ``read_checkpoint`` gives.
        config: A complete config, of a model with a backbone.

    Returns:
        What the checkpoint says, which may be nothing: then nothing is compared.

    Raises:
        ValueError: The network, the classes, the parts or what is up differ; the text names both sides.
    """
    MODELS.import_from_location()
    trained = provenance(saved)
    theirs, ours = trained.config.get("model", {}), config.model
    if isinstance(theirs.get("backbone"), dict):
        for part in ("backbone", "head"):
            _check_part(part, theirs.get(part), ours.get(part))
    if config.get("data_root") is None or not trained.data:
        return trained
    prepared = PreparedSet(config.data_root)
    here: dict[str, Any] = {}
    if ours.get("head") is not None:
        here = {"classes": prepared.class_names}
        if getattr(MODELS.get(ours.head.type), "dense", False):
            here |= {"parts": prepared.part_names, "class_parts": prepared.class_parts}
    for name, value in here.items():
        _compare(name.replace("_", " "), trained.data.get(name, value), value)
    points = trained.data.get("points")
    for name in ("normalization", "up"):
        value = prepared.manifest["points"].get(name)
        _compare(f"points.{name}", points.get(name) if isinstance(points, dict) else value, value)
    return trained


def _check_part(part: str, theirs: Any, ours: Any) -> None:
    """Compare the arguments of a backbone or a head, each with its defaults filled in."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        _compare(f"model.{part}", _type(theirs), _type(ours))
        return
    theirs, ours = _complete(theirs), _complete(ours)
    for name in ("type", *sorted((theirs.keys() | ours.keys()) - TRAINING_ONLY - {"type"})):
        _compare(f"model.{part}.{name}", theirs.get(name), ours.get(name))


def _type(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _complete(part: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a component with the defaults of its class, lists for tuples."""
    found = MODELS.module_dict.get(part.get("type")) if isinstance(part.get("type"), str) else None
    parameters = {} if found is None else inspect.signature(found).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    return {name: _lists(value) for name, value in {**defaults, **part}.items()}


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lists(child) for key, child in value.items()}
    return [_lists(child) for child in value] if isinstance(value, list | tuple) else value


def _compare(what: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise ValueError(f"{what}: {_shown(theirs)} in the checkpoint's training, {_shown(ours)} here")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _assignments(text: str) -> dict[str, Any]:
    """What a config's text assigns to the names in ``READ``; a value that is not plain is left out."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in READ:
                try:
                    found[name] = _plain(statement.value)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def _plain(node: ast.expr) -> Any:
    """A literal, or ``dict(name=literal, ...)``, at any depth."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("not a plain dict")
        return {str(keyword.arg): _plain(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, (_plain(value) for value in node.values), strict=True))
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(child) for child in node.elts]
    return ast.literal_eval(node)
