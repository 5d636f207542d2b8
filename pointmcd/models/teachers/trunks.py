"""Image networks by their timm names."""

import difflib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_torchvision_schemas: list[torch.library.Library] = []  # a schema lives as long as its library object


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


def import_timm() -> ModuleType:
    """timm, after ``mend_torchvision``."""
    mend_torchvision()
    import timm

    return timm


def build_trunk(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
    """A timm network without its classifier: images (B, 3, H, W) to features (B, C), pooled as timm does.

    Args:
        name: A timm model name, such as ``mobilenetv2_100``.
        pretrained: Take timm's weights (a download).
        options: Further arguments of ``timm.create_model``, such as ``pad_type``.

    Returns:
        The network, with an attribute ``out_channels`` (C).

    Raises:
        ValueError: The name is not known.
    """
    timm = import_timm()
    if ":" not in name and not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{hint}")
    trunk = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    trunk.out_channels = trunk.head_hidden_size
    return trunk


def load_trunk(trunk: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a timm state dict, of which a classifier is left out.

    Args:
        trunk: From ``build_trunk``.
        state: Named as timm names it.
        source: Where it is from, for the error.

    Raises:
        ValueError: It does not fit.
    """
    classifier = trunk.pretrained_cfg.get("classifier") or ()
    classifiers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    state = {key: value for key, value in state.items() if key.rpartition(".")[0] not in classifiers}
    try:
        trunk.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the weights of {source} do not fit this trunk: {error}") from error


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a torch file with a state dict."""
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return saved.get("state_dict", saved)
