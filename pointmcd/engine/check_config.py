"""Misspelt keys are errors that suggest the nearest name."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from pointmcd import registry
from pointmcd.registry import accepted_arguments

REGISTRIES: list[Registry] = [
    registry.MODELS,
    registry.DATASETS,
    registry.DATA_SAMPLERS,
    registry.TRANSFORMS,
    registry.HOOKS,
    registry.LOG_PROCESSORS,
    registry.METRICS,
    registry.OPTIM_WRAPPERS,
    registry.VISUALIZERS,
    registry.FUNCTIONS,
    *registry.OTHERS,
]
# Keys that MMEngine's builders take out of a component's config before they build it.
BUILDER_KEYS = {"type", "_scope_", "_delete_", "convert_to_iter_based", "priority"}
BUILDER_KEYS |= {"constructor", "paramwise_cfg", "optimizer"}
TOP_LEVEL = set(inspect.signature(Runner.__init__).parameters) - {"self"}
TOP_LEVEL |= {"custom_imports", "data_root"}


def _names(*callables: Any) -> set[str]:
    return {name for call in callables for name in inspect.signature(call).parameters} - {"self"}


def _loader_names() -> set[str]:
    return _names(DataLoader.__init__) | {
        "dataset",
        "sampler",
        "batch_sampler",
        "collate_fn",
        "worker_init_fn",
    }


PLACES = {
    "train_dataloader": _loader_names(),
    "val_dataloader": _loader_names(),
    "test_dataloader": _loader_names(),
    "train_cfg": _names(EpochBasedTrainLoop.__init__, IterBasedTrainLoop.__init__) | {"by_epoch", "type"},
    "val_cfg": _names(ValLoop.__init__) | {"type"},
    "test_cfg": _names(TestLoop.__init__) | {"type"},
}


def check_config(config: Config) -> None:
    """Check the top level, the loaders and loops, and the arguments of every component of a config.

    Raises:
        ValueError: A key or a component is not known; the text names it and suggests the nearest.
    """
    hooks = config.get("custom_hooks")
    if hooks is not None and not (
        isinstance(hooks, list | tuple) and all(isinstance(h, dict) for h in hooks)
    ):
        raise ValueError(f"custom_hooks is {hooks!r}, must be a list, such as [dict(type='EMAHook')]")
    for key, value in config.items():
        if not key.startswith("_") and key not in TOP_LEVEL:
            raise ValueError(_unknown(f"config key {key!r}", key, TOP_LEVEL))
        if key in PLACES and isinstance(value, dict):
            _check_names(key, value, PLACES[key])
    _check_components(config._cfg_dict, "")


def check_override(config: Config, key: str) -> None:
    """Check that an override names something that is there, or that the component it belongs to takes.

    Args:
        config: The config before the override.
        key: Dotted, list positions as numbers: ``param_scheduler.0.eta_min``.

    Raises:
        ValueError: Nothing of that name is there; the text suggests the nearest.
    """
    *parents, last = key.split(".")
    node: Any = config._cfg_dict
    for depth, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[:depth]), key)
    if isinstance(node, list | tuple):
        _child(node, last, ".".join(parents), key)
        return
    known: set[str] = set(node) if isinstance(node, dict) else set()
    if not parents:
        known |= TOP_LEVEL
    elif len(parents) == 1:
        known |= PLACES.get(parents[0], set())
    if last not in known and isinstance(node, dict) and "type" in node:
        accepted = _accepted(node["type"])
        if accepted is None:
            return
        known |= accepted | BUILDER_KEYS
    if last not in known:
        raise ValueError(_unknown(f"--cfg-options {key}: {last!r}", last, known))


def _child(node: Any, part: str, where: str, key: str) -> Any:
    if isinstance(node, list | tuple):
        if part.isdigit() and int(part) < len(node):
            return node[int(part)]
        raise ValueError(
            f"--cfg-options {key}: {where} is a list of {len(node)}, and {part!r} is not an index of it"
        )
    if isinstance(node, dict) and part in node:
        return node[part]
    known = node if isinstance(node, dict) else ()
    raise ValueError(_unknown(f"--cfg-options {key}: {part!r}", part, known))


def _check_components(node: Any, where: str) -> None:
    if isinstance(node, list | tuple):
        for number, child in enumerate(node):
            _check_components(child, f"{where}.{number}")
    if not isinstance(node, dict):
        return
    if "type" in node and where.split(".")[-1] not in PLACES:
        accepted = _accepted(node["type"])
        if accepted is not None:
            _check_names(where, node, accepted | BUILDER_KEYS)
    for key, child in node.items():
        _check_components(child, f"{where}.{key}" if where else str(key))


def _check_names(where: str, node: dict, known: set[str]) -> None:
    for name in node:
        if name not in known:
            component = f" of {node['type']}" if "type" in node else ""
            raise ValueError(_unknown(f"{where}.{name}: argument {name!r}{component}", name, known))


def _accepted(kind: str | type) -> set[str] | None:
    return accepted_arguments(kind if not isinstance(kind, str) else _find(kind))


def _find(kind: str) -> Any:
    for candidates in REGISTRIES:
        component = candidates.get(kind)
        if component is not None:
            return component
    known = {name for candidates in REGISTRIES for name in candidates.module_dict}
    raise ValueError(
        _unknown(f"component type {kind!r}", kind, known)
        + "; register your own by @MODELS.register_module() in a module that custom_imports names"
    )


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(str(entry) for entry in known)
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names) or 'nothing'}"
    return f"{what} is not known; {hint}"
