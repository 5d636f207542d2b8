"""What dependencies lack beside today's torch, mended in one place."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from pointmcd.config_files import find_base

_torchvision_schemas: list[torch.library.Library] = []  # a schema lives as long as its library object


def read_config(path: Path) -> Config:
    """Read a config file; its ``_base_`` may be the name of one that comes with pointmcd.

    MMEngine looks for bases in the folder of the config alone.
    """
    as_mmengine = Config._get_cfg_path

    def get_cfg_path(base: str, config: str) -> tuple[str, str | None]:
        return as_mmengine(base, config) if "::" in base else (str(find_base(base, Path(config))), None)

    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        return Config.fromfile(str(path))
    finally:
        Config._get_cfg_path = staticmethod(as_mmengine)


def to_plain(value: Any) -> Any:
    """Replace what ``torch.load(weights_only=True)`` refuses: numpy values and ``HistoryBuffer``.

    Functions are left out of dicts: a scheduler's state lists some of its own, which it has again once built.
    """
    if isinstance(value, HistoryBuffer):
        history, counts = value.data
        return {
            "history_buffer": [float(x) for x in history],
            "counts": [float(x) for x in counts],
            "max_length": int(value.max_length),
        }
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: to_plain(child) for key, child in value.items() if not callable(child)}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(child) for child in value)
    return value


def from_plain(value: Any) -> Any:
    """Return the inverse of ``to_plain`` for ``HistoryBuffer``."""
    if isinstance(value, dict):
        if "history_buffer" in value:
            return HistoryBuffer(value["history_buffer"], value["counts"], value["max_length"])
        return {key: from_plain(child) for key, child in value.items()}
    return value


@contextmanager
def torchvision_unopened() -> Iterator[None]:
    """Let MMEngine ask torchvision for its version without importing it, which takes a second."""
    stand_in = None
    if "torchvision" not in sys.modules and find_spec("torchvision") is not None:
        stand_in = ModuleType("torchvision")
        stand_in.__version__ = version("torchvision")  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in
    try:
        yield
    finally:
        if stand_in is not None and sys.modules.get("torchvision") is stand_in:
            del sys.modules["torchvision"]


def mend_torchvision() -> None:
    """Make ``import torchvision`` work where its own operators do not load (a CUDA build beside a CPU torch).

    torchvision registers fake kernels for ``nms`` and ``qnms`` when it is imported and fails if the operators
    are not there. timm and parts of MMEngine import it but use neither, so that declaring the two is enough.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _torchvision_schemas.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        import torchvision  # noqa: F401
