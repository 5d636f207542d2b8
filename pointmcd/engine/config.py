"""The only way into a config: read, override, check, complete.

MMEngine merges ``--cfg-options`` after the file was read, accepts any key there, and cannot know class and
view counts before the data is opened. ``load_config`` does all of that, and what it returns is complete:
it can be printed, stored in a checkpoint and run again by a plain Runner.
"""

import ast
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from pointmcd.compat import read_config
from pointmcd.config_files import find_config
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine.agreement import inputs_seen, literal
from pointmcd.engine.check_config import check_config, check_override
from pointmcd.engine.schedules import fill_lengths

FROM_MANIFEST = ("num_classes", "num_views", "num_parts", "class_parts", "image_size")
NAMES = {"data_root", "work_dir", "load_from", "checkpoint", "teacher", "name", "split", "trunk"}
"""Keys whose values are text even where they look like a number, as the folder 2024 does, or dicts."""
COUNTS = {"batch_size": 1, "num_workers": 0, "max_epochs": 1, "max_iters": 1, "val_interval": 1, "seed": 0}
"""Keys that are whole numbers, with the least they may be."""
LACKING = {"num_parts": "parts", "class_parts": "parts", "image_size": "views"}


def load_config(path: str | Path, overrides: dict[str, Any] | list[str] | None = None) -> Config:
    """Read a config file, apply overrides, check every key and fill in what the prepared data knows.

    Wherever the config says None under ``data_root``, the top-level ``data_root`` is filled in; under
    ``num_classes``, ``num_views``, ``num_parts``, ``class_parts`` (the parts of each class) or
    ``image_size`` (side of its views), what that prepared set says; under a scheduler's ``T_max``,
    ``total_steps`` or ``total_iters``, the number of epochs, or of iterations where the training is counted
    in them; under a cached teacher's ``name``, the teacher whose rows the training set reads; under a head's
    ``teacher_channels``, the width of what that teacher says. ``val_cfg=None`` leaves out the validation, and
    ``test_cfg=None`` the test, whatever their loaders are.

    Args:
        path: A config file, or the name of one that comes with pointmcd. So are the ``_base_`` files, which
            MMEngine merges: files as seen from the config's folder, or names.
        overrides: ``{"a.b": value}`` or ``["a.b=value"]``, values in Python's notation.

    Returns:
        The complete config.

    Raises:
        FileNotFoundError: There is no such config, or no prepared set at its ``data_root``.
        ValueError: A module of ``custom_imports`` cannot be imported, a key is not known (with the nearest
            that is), a count disagrees with the manifest, the prepared set has no parts or views where the
            config needs them, or two settings of one thing disagree (the teacher, a schedule's length).
    """
    path = find_config(path)
    try:
        config = read_config(path)
        dict(config.items())  # MMEngine puts off the imports of some
    except ImportError as error:
        reason: BaseException = error
        while reason.__context__ is not None:  # MMEngine's own words are a list of folders
            reason = reason.__context__
        raise ValueError(
            f"{path}: {reason}; the folders of modules in custom_imports must be on PYTHONPATH"
        ) from error
    except OSError:
        raise
    except Exception as error:  # a config is code, and may raise what it likes
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    for key, value in _parsed(overrides).items():
        check_override(config, key)
        try:
            config.merge_from_dict({key: value})
        except TypeError as error:  # a dict in place of None, say
            raise ValueError(
                f"--cfg-options {key}: {value!r} cannot be merged with what is there; to replace it, give "
                "dict(_delete_=True, ...)"
            ) from error
    if not isinstance(config.get("model"), dict):
        raise ValueError(f"{path} has no model: it is not a training config")
    for split in ("val", "test"):
        if config.get(f"{split}_cfg", {}) is None:  # an evaluation is left out whole, as MMEngine wants it
            config[f"{split}_dataloader"] = config[f"{split}_evaluator"] = None
    check_config(config)
    _check_numbers(config._cfg_dict, "")
    inputs_seen(config)  # which refuses a network that its datasets do not feed
    fill_lengths(config)
    _fill_teacher(config)
    if config.get("data_root") is not None:
        config.data_root = str(config.data_root)
        _fill(config._cfg_dict, "data_root", config.data_root)
        _fill_counts(config, PreparedSet(config.data_root))
        _fill_teacher_channels(config)
    return config


def _parsed(overrides: dict[str, Any] | list[str] | None) -> dict[str, Any]:
    if isinstance(overrides, dict):
        return overrides
    pairs = {}
    for override in overrides or []:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ValueError(f"--cfg-options takes key=value, not {override!r}")
        is_name = key.rpartition(".")[2] in NAMES and text != "None" and not text.startswith(("dict(", "{"))
        pairs[key] = text if is_name else _value(text)
    return pairs


def _value(text: str) -> Any:
    """Return a value in Python's notation (``1e-3``, ``dict(a=1)``; ``true`` too), else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return literal(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError) as error:
        if text.lstrip().startswith(("[", "(", "{", "dict(")):
            raise ValueError(f"--cfg-options: {text!r} is not a value in Python's notation") from error
        return text


def _check_numbers(node: Any, where: str) -> None:
    """Refuse counts that are none, and text for a learning rate, whoever would stumble over them."""
    if isinstance(node, list | tuple):
        for number, child in enumerate(node):
            _check_numbers(child, f"{where}.{number}")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        place = f"{where}.{key}" if where else str(key)
        if value is not None and key in COUNTS and (type(value) is not int or value < COUNTS[key]):
            raise ValueError(f"{place} is {value!r}, must be a whole number, at least {COUNTS[key]}")
        if key == "lr" and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            raise ValueError(f"{place} is {value!r}, must be a number, at least 0")
        _check_numbers(value, place)


def _fill(node: Any, name: str, value: Any) -> None:
    """Put ``value`` wherever ``name`` is None, at any depth."""
    if isinstance(node, dict):
        if name in node and node[name] is None:
            node[name] = value
        for child in node.values():
            _fill(child, name, value)
    elif isinstance(node, list | tuple):
        for child in node:
            _fill(child, name, value)


def _fill_teacher(config: Config) -> None:
    """Take the teacher whose rows the training set reads as the cached one."""
    teacher = (config.get("model") or {}).get("teacher")
    if not isinstance(teacher, dict) or teacher.get("type") != "CachedTeacher":
        return
    read = (config.get("train_dataloader") or {}).get("dataset", {}).get("teacher")
    if teacher.get("name") is None:
        teacher["name"] = read
    elif read is not None and teacher["name"] != read:
        raise ValueError(
            f"model.teacher.name is {teacher['name']!r}, but train_dataloader.dataset.teacher is {read!r}: "
            "the losses would come from one and the reported figures from the other; give only the dataset's"
        )


def _fill_teacher_channels(config: Config) -> None:
    """Give a head that lies in the cached teacher's space its width."""
    head = config.model.get("head")
    if isinstance(head, dict) and head.get("teacher_channels", 0) is None:
        head["teacher_channels"] = TeacherCache(config.data_root, config.model.teacher["name"]).channels


def _fill_counts(config: Config, prepared: PreparedSet) -> None:
    parts = prepared.part_names
    counts = {
        "num_classes": len(prepared.class_names),
        "num_views": prepared.num_views,
        "num_parts": len(parts) if parts else None,
        "class_parts": prepared.class_parts,
        "image_size": prepared.image_size,
    }
    for name in FROM_MANIFEST:
        if counts[name] is not None:
            _fill(config._cfg_dict, name, counts[name])
    for where, node in walk(config._cfg_dict):
        for name in FROM_MANIFEST:
            if name in node and node[name] is None:
                raise ValueError(
                    f"{where}.{name} comes from the prepared data, but {config.data_root} has none: it was "
                    f"prepared without {LACKING[name]}"
                )
            if name in node and node[name] != counts[name]:
                raise ValueError(
                    f"{where}.{name} is {node[name]}, but {config.data_root}/manifest.json says "
                    f"{counts[name]}; leave it None to take the manifest's"
                )


def walk(node: Any, where: str = "") -> Any:
    """Yield ``(dotted name, dict)`` for every dict of a config, outermost first."""
    if isinstance(node, ConfigDict | dict):
        yield where, node
        for key, child in node.items():
            yield from walk(child, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list | tuple):
        for number, child in enumerate(node):
            yield from walk(child, f"{where}.{number}")
