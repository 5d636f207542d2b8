"""What the file of an exported student may hold, checked to the bottom before anything is built of it.

Such files are handed on. What one of them says is data: it can name a backbone and a head that are known
here, and give them plain arguments; it can neither import, call, read nor fetch anything.
"""

import inspect
import reprlib
import types
import typing
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from pointmcd.batch import FURTHER_INPUTS
from pointmcd.checkpoint import check_tensors
from pointmcd.datasets.preparation.shape import PointSettings
from pointmcd.datasets.text_vectors import SHA256
from pointmcd.engine.agreement import with_older_defaults
from pointmcd.models import PointModel
from pointmcd.models.backbones import PointBackbone
from pointmcd.registry import MODELS, accepted_arguments

FORMAT = "pointmcd student 1"
ROTATIONS = ("none", "part", "z", "so3")
"""How shapes were turned in training, as ``export_student`` says; older files do not say."""
MOST = 100_000
"""Above any width, count of points or number of classes of a student."""
MOST_VALUES = 1000
"""Above the number of arguments of any student, lists counted by what is in them."""
MOST_PAIRS = 2**22
"""Above the neighbours of all points together: with it, a pass over a cloud stays below a few GB."""
MOST_SEARCHED = 16_384
"""Above the points among which a network looks for neighbours, whose distances may lie in memory at once."""
MOST_COMPARED = 2**39
"""Above the pairs of points that such a network compares, times the width of the features: under a minute."""
MOST_LETTERS = 200
"""Above the length of any class's or part's name."""


def check_student(exported: Mapping[str, Any]) -> None:
    """Check all that ``Student`` reads of a file, without building anything that takes memory.

    Args:
        exported: What ``export_student`` writes.

    Raises:
        ValueError: Something is missing, unknown, of the wrong type or shape, too large or not finite; the
            text says what.
    """
    for key in ("model", "state_dict", "class_names", "num_points", "points"):
        if key not in exported:
            raise ValueError(f"it has no {key}")
    model = with_older_defaults(exported["model"])
    if not isinstance(model, dict) or model.keys() != {"type", "backbone", "head"}:
        raise ValueError("its model does not consist of a backbone and a head")
    if model["type"] != "PointModel":
        raise ValueError(f"its model is of type {_quoted(model['type'])}; a student is a PointModel")
    _check_plain(model, "model", 0, [0])
    _check_part(model["backbone"], "backbone")
    if model["head"] is not None:
        _check_part(model["head"], "head")
    _check_points(exported)
    outline = _outline(model)
    _check_names(exported, outline.dense)
    _check_neighbors(outline, exported["num_points"])
    check_weights(outline, exported["state_dict"])


def build_student(exported: Mapping[str, Any]) -> PointModel:
    """Return the network of a file, in eval mode.

    Raises:
        ValueError: As ``check_student``.
    """
    check_student(exported)
    model = with_older_defaults(exported["model"])
    built = PointModel(model["backbone"], model["head"])
    built.load_state_dict(exported["state_dict"])
    return built.eval()


def check_weights(model: nn.Module, state: Any) -> None:
    """Check that a state dict has the very tensors of a model, all finite and all there.

    Args:
        model: On any device, the meta device too.
        state: What a file gives for its ``state_dict``.

    Raises:
        ValueError: A tensor is missing, unexpected, of another shape or type, not finite, or larger than what
            the file holds of it.
    """
    check_tensors(state)
    expected = model.state_dict()
    both = [key for key in expected if key in state]
    faults = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [str(key) for key in state if key not in expected],
        "of another shape": [key for key in both if state[key].shape != expected[key].shape],
        "of another type": [key for key in both if state[key].dtype != expected[key].dtype],
    }
    if any(faults.values()):
        raise ValueError(
            "its weights do not fit its model: "
            + "; ".join(f"{what}: {_listed(keys)}" for what, keys in faults.items() if keys)
        )


def _check_plain(value: Any, where: str, depth: int, count: list[int]) -> None:
    """Allow only dicts, lists, text, moderate numbers, True, False and None, and not too many of them."""
    count[0] += 1
    if count[0] > MOST_VALUES or depth > 8:
        raise ValueError("its model has more arguments than any student")
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where} has an argument whose name is not text: {_quoted(key)}")
            _check_plain(child, f"{where}.{key}"[:200], depth + 1, count)
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            _check_plain(child, f"{where}.{number}"[:200], depth + 1, count)
    elif type(value) in (int, float):
        if not abs(value) <= MOST:  # nor NaN
            raise ValueError(f"{where} is {_quoted(value)}; a student's values are at most {MOST}")
    elif value is not None and type(value) not in (str, bool):
        raise ValueError(f"{where} is of type {type(value).__name__}, which no argument of a student may be")


def _check_part(part: Any, where: str) -> None:
    """Check a backbone or a head and the parts in it: registered classes, with arguments that they take."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise ValueError(f"its {where} is not described by a type and arguments")
    kind = part["type"]
    MODELS.import_from_location()
    # the registry's own table and not its search, which also imports what a dotted name says
    found = MODELS.module_dict.get(kind)
    if found is None:
        raise ValueError(
            f"its {where} is of type {_quoted(kind)}, which is not part of pointmcd; if it is "
            "yours, name the module that registers it: --imports my_module, or in Python "
            "load_student(path, imports=['my_module'])"
        )
    if not _is_part(found, where):
        raise ValueError(f"its {where} is of type {_quoted(kind)}, which is not a {where}")
    accepted = accepted_arguments(found)
    hints = _hints(found)
    for name, value in part.items():
        if name == "type":
            continue
        if (accepted is not None and name not in accepted) or name.startswith("_"):
            raise ValueError(f"its {where}, {kind}, takes no argument {_quoted(name)}")
        if not _fits(value, hints.get(name, Any)):
            raise ValueError(f"{name} of its {where}, {kind}, cannot be {_quoted(value)}")
        _check_inner(value, f"{where}.{name}")


def _check_inner(value: Any, where: str) -> None:
    """Hold what an argument would have built to the same."""
    if isinstance(value, dict):
        if "type" in value or "_scope_" in value:
            _check_part(value, where)
        else:
            for key, child in value.items():
                _check_inner(child, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            _check_inner(child, f"{where}.{number}")


def _is_part(found: Any, where: str) -> bool:
    """Return whether a registered class is a backbone, or a head that predicts and is not a whole model."""
    if not inspect.isclass(found) or not issubclass(found, nn.Module) or issubclass(found, BaseModel):
        return False
    backbone, head = issubclass(found, PointBackbone), hasattr(found, "predict")
    return {"backbone": backbone, "head": head}.get(where, backbone or head)


def _hints(component: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(component.__init__)
    except (NameError, TypeError):  # a class of others may have annotations that are none
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a plain value is of an annotated type, as far as the annotation is a plain one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if hint is type(None):
        return value is None
    if hint in (int, float, str, bool):
        return type(value) is hint or (hint is float and type(value) is int)
    base = origin or hint
    if base in (Sequence, list, tuple):
        kinds = [one for one in inner if one is not Ellipsis] or [Any]
        return isinstance(value, list | tuple) and all(any(_fits(v, k) for k in kinds) for v in value)
    if base in (dict, Mapping):
        return isinstance(value, dict)
    return True


def _outline(model: dict[str, Any]) -> PointModel:
    """Return the network without memory behind its weights, so that any width can be compared for free."""
    kinds = {part["type"] for part in (model["backbone"], model["head"]) if part is not None}
    own = all(MODELS.module_dict[kind].__module__.startswith("pointmcd.") for kind in kinds)
    reason: Exception | None = None
    # others' parts may read a number while they are built, which the meta device has none of
    for device in ("meta",) if own else ("meta", "cpu"):
        try:
            with torch.device(device):
                return PointModel(model["backbone"], model["head"])
        except Exception as error:  # whatever a constructor says of arguments that it cannot use
            reason = error
    raise ValueError(f"its model cannot be built: {reason}") from reason


def _check_neighbors(outline: nn.Module, num_points: int) -> None:
    compared = 0
    for module in outline.modules():
        k = getattr(module, "k", 0)
        if not isinstance(k, int) or isinstance(k, bool) or not k:
            continue
        if not 0 <= k * num_points <= MOST_PAIRS:
            raise ValueError(
                f"its model takes {k} neighbours of {num_points} points, more than any student may"
            )
        if num_points > MOST_SEARCHED:
            raise ValueError(
                f"its model looks for neighbours among {num_points} points; at most {MOST_SEARCHED} "
                "are allowed"
            )
        widths = [parameter.shape[-1] for parameter in module.parameters() if parameter.ndim > 1]
        compared += num_points**2 * max(widths, default=1)
    if compared > MOST_COMPARED:
        raise ValueError(
            f"its model looks for neighbours among {num_points} points in more or wider layers than any "
            "student may have"
        )


def _check_points(exported: Mapping[str, Any]) -> None:
    points = exported["points"]
    names = {field.name for field in fields(PointSettings)}
    if not isinstance(points, dict) or not names >= points.keys():
        raise ValueError(
            f"its settings of points are not those of a prepared set ({', '.join(sorted(names))})"
        )
    hints = typing.get_type_hints(PointSettings)
    for name, value in points.items():
        if not _fits(value, hints[name]) or (type(value) is int and abs(value) >= 2**63):
            raise ValueError(f"{name} of its points cannot be {_quoted(value)}")
    settings = PointSettings(**points)  # says what is wrong with a value
    if settings.num_points > MOST:
        raise ValueError(f"it prepares {settings.num_points} points per shape; at most {MOST} are allowed")
    rotation = exported.get("rotation", ROTATIONS[0])
    if type(rotation) is not str or rotation not in ROTATIONS:
        raise ValueError(f"its rotation is {_quoted(rotation)}, must be one of {', '.join(ROTATIONS)}")
    space = exported.get("aligned_to")
    if space is not None and not (isinstance(space, str) and SHA256.fullmatch(space)):
        raise ValueError(f"its aligned_to is {_quoted(space)}, which is not a SHA-256")
    inputs, channels = exported.get("inputs", []), exported["model"]["backbone"].get("in_channels", 3)
    if not isinstance(inputs, list) or inputs != [kind for kind in FURTHER_INPUTS if kind in inputs]:
        raise ValueError(f"its inputs cannot be {_quoted(inputs)}; choose from {', '.join(FURTHER_INPUTS)}")
    if channels != 3 + 3 * len(inputs):
        raise ValueError(
            f"its backbone takes {_quoted(channels)} values of a point, x, y, z and {_quoted(inputs)}"
            f" are {3 + 3 * len(inputs)}"
        )
    seen = exported["num_points"]
    if type(seen) is not int or not 1 <= seen <= settings.num_points:
        raise ValueError(f"num_points is {_quoted(seen)}, but {settings.num_points} are prepared per shape")


def _check_names(exported: Mapping[str, Any], dense: bool) -> None:
    head = exported["model"]["head"] or {}
    classes = _texts(exported["class_names"], "class_names", head.get("num_classes"))
    if not dense:
        return
    parts = _texts(exported.get("part_names"), "part_names", head.get("num_parts"))
    of_class = exported.get("class_parts")
    if not isinstance(of_class, list) or len(of_class) != len(classes):
        raise ValueError("its class_parts are not a list with the parts of each class")
    for name, numbers in zip(classes, of_class, strict=True):
        if not isinstance(numbers, list) or not 0 < len(numbers) <= len(parts):
            raise ValueError(f"its class_parts give {_quoted(name)} no list of parts")
        if not all(type(number) is int and 0 <= number < len(parts) for number in numbers):
            raise ValueError(f"its class_parts give {_quoted(name)} other numbers than 0 to {len(parts) - 1}")


def _texts(names: Any, what: str, count: int | None) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {what} are not a list of names")
    if len(names) > MOST:
        raise ValueError(f"it has {len(names)} {what}; at most {MOST} are allowed")
    if count is not None and count != len(names):
        raise ValueError(f"it has {len(names)} {what}, but its head is made for {count}")
    if strange := [name for name in names if not _is_name(name)]:
        raise ValueError(f"its {what} hold {_quoted(strange[0])}, which is not a name")
    if len(set(names)) < len(names):
        twice = next(name for name, number in Counter(names).items() if number > 1)
        raise ValueError(f"its {what} hold {_quoted(twice)} more than once")
    return names


def _is_name(name: str) -> bool:
    """Return some letters, and none that a terminal would obey or a file could not hold."""
    return 0 < len(name.strip()) <= len(name) <= MOST_LETTERS and not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name
    )


def _quoted(value: Any) -> str:
    """Return a value as Python writes it, cut short however large it is."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "an integer of more than 30 digits"
    return reprlib.repr(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(str(name)[:100] for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
