"""The only way into a config: read, override, check, complete.

MMEngine merges ``--cfg-options`` after the file was read, accepts any key there, and cannot know class and
view counts before the data is opened. ``load_config`` does all of that, and what it returns is complete:
it can be printed, stored in a checkpoint and run again by a plain Runner.
"""

import ast
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine.check_config import check_config, check_override

FROM_MANIFEST = ("num_classes", "num_views", "num_parts", "class_parts", "image_size")
LACKING = {"num_parts": "parts", "class_parts": "parts", "image_size": "views"}


def load_config(path: str | Path, overrides: dict[str, Any] | list[str] | None = None) -> Config:
    """Read a config file, apply overrides, check every key and fill in what the prepared data knows.

    Wherever the config says None under ``data_root``, the top-level ``data_root`` is filled in; under
    ``num_classes``, ``num_views``, ``num_parts``, ``class_parts`` (the parts of each class) or
    ``image_size`` (side of its views), what that prepared set says; under a scheduler's ``T_max``, the number
    of epochs, or of iterations where the training is counted in them.

    Args:
        path: A config file; ``_base_`` files are merged by MMEngine.
        overrides: ``{"a.b": value}`` or ``["a.b=value"]``, values in Python's notation.

    Returns:
        The complete config.

    Raises:
        FileNotFoundError: There is no such config, or no prepared set at its ``data_root``.
        ValueError: A module of ``custom_imports`` cannot be imported, a key is not known (with the nearest
            that is), a count disagrees with the manifest, or the prepared set has no parts or views where
            the config needs them.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no config {path}; configs/ holds those that come with pointmcd")
    try:
        config = Config.fromfile(str(path))
    except ImportError as error:
        reason: BaseException = error
        while reason.__context__ is not None:  # MMEngine's own words are a list of folders
            reason = reason.__context__
        raise ValueError(
            f"{path}: {reason}; the folders of modules in custom_imports must be on PYTHONPATH"
        ) from error
    for key, value in _parsed(overrides).items():
        check_override(config, key)
        config.merge_from_dict({key: value})
    check_config(config)
    _fill_schedule(config)
    if config.get("data_root") is not None:
        _fill(config._cfg_dict, "data_root", str(config.data_root))
        _fill_counts(config, PreparedSet(config.data_root))
    return config


def _parsed(overrides: dict[str, Any] | list[str] | None) -> dict[str, Any]:
    if isinstance(overrides, dict):
        return overrides
    pairs = {}
    for override in overrides or []:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ValueError(f"--cfg-options takes key=value, not {override!r}")
        pairs[key] = _value(text)
    return pairs


def _value(text: str) -> Any:
    """``1e-3``, ``[1, 2]``, ``None`` and ``'x'`` as Python reads them, ``true`` and ``false`` too, else
    the text.
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


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


def _fill_schedule(config: Config) -> None:
    """A cosine lasts as long as the training where the config does not say otherwise."""
    schedulers = config.get("param_scheduler") or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if "T_max" in scheduler and scheduler["T_max"] is None:
            length = config.train_cfg
            scheduler["T_max"] = length.get("max_epochs") or length.max_iters


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
