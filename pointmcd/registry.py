"""The registries of pointmcd, each a child of MMEngine's root registry of the same kind (scope ``pointmcd``).

Components are imported when a registry is first searched, not when the package is.
"""

from mmengine import registry as _root
from mmengine.registry import Registry


def _child(root: Registry, *locations: str) -> Registry:
    return Registry(root.name, parent=root, scope="pointmcd", locations=list(locations))


MODELS = _child(_root.MODELS, "pointmcd.models")
DATASETS = _child(_root.DATASETS, "pointmcd.datasets")
DATA_SAMPLERS = _child(_root.DATA_SAMPLERS, "pointmcd.datasets.samplers")
TRANSFORMS = _child(_root.TRANSFORMS, "pointmcd.datasets.transforms")
FUNCTIONS = _child(_root.FUNCTIONS, "pointmcd.datasets.prepared_shapes")
HOOKS = _child(_root.HOOKS, "pointmcd.engine.hooks")
METRICS = _child(_root.METRICS, "pointmcd.evaluation")
OPTIM_WRAPPERS = _child(_root.OPTIM_WRAPPERS, "pointmcd.compat")

# MMEngine warns whenever it searches a registry that lacks a child in the current scope: give each of the
# others an empty one.
OTHERS = [
    _child(root)
    for root in vars(_root).values()
    if isinstance(root, Registry) and "pointmcd" not in root.children
]
