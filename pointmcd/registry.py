"""The registries of pointmcd, each a child of MMEngine's root registry of the same kind (scope ``pointmcd``),
and that of the sources that ``pointmcd prepare`` prepares.

Components are imported when a registry is first searched, not when the package is.
"""

import inspect
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from mmengine import registry as _root
from mmengine.registry import Registry


def _child(root: Registry, *locations: str) -> Registry:
    return Registry(root.name, parent=root, scope="pointmcd", locations=list(locations))


MODELS = _child(_root.MODELS, "pointmcd.models")
DATASETS = _child(_root.DATASETS, "pointmcd.datasets.prepared_shapes", "pointmcd.datasets.joined_shapes")
DATA_SAMPLERS = _child(_root.DATA_SAMPLERS, "pointmcd.datasets.samplers")
TRANSFORMS = _child(_root.TRANSFORMS, "pointmcd.datasets.transforms")
FUNCTIONS = _child(_root.FUNCTIONS, "pointmcd.datasets.prepared_shapes")
HOOKS = _child(_root.HOOKS, "pointmcd.engine.hooks", "pointmcd.engine.console")
LOG_PROCESSORS = _child(_root.LOG_PROCESSORS, "pointmcd.engine.console")
METRICS = _child(_root.METRICS, "pointmcd.evaluation.metrics")
OPTIM_WRAPPERS = _child(_root.OPTIM_WRAPPERS, "pointmcd.compat")
VISUALIZERS = _child(_root.VISUALIZERS, "pointmcd.engine.visualizer")

SOURCE_MODULES = [
    f"pointmcd.datasets.preparation.sources.{name}"
    for name in (
        "mesh_folder",
        "cloud_folder",
        "file_list",
        "modelnet40",
        "shapenet_part",
        "shapenet_core",
        "scanobjectnn",
        "builtin",
    )
]
SOURCES = Registry("source", scope="pointmcd", locations=SOURCE_MODULES)

# MMEngine warns whenever it searches a registry that lacks a child in the current scope: give each of the
# others an empty one.
OTHERS = [
    _child(root)
    for root in vars(_root).values()
    if isinstance(root, Registry) and "pointmcd" not in root.children
]


def import_modules(names: Iterable[str]) -> None:
    """Import modules that register components of one's own.

    Raises:
        ValueError: One cannot be imported.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise ValueError(
                f"the module {name} cannot be imported: {error}; its folder must be on PYTHONPATH"
            ) from error


def accepted_arguments(component: Any) -> set[str] | None:
    """Return the names of the arguments of a class or function, or None where it takes any."""
    if not inspect.isclass(component):
        parameters = inspect.signature(component).parameters.values()
        names = {parameter.name for parameter in parameters}
        return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else names
    names = set()
    for base in component.__mro__:
        if "__init__" not in vars(base):
            continue
        if base.__module__ == "torch.nn.modules.module":  # a Module takes any, to refuse each
            return names - {"self"}
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return names - {"self"}
    return None
