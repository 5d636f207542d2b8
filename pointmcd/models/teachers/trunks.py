"""Image networks by their names, and their weights."""

import contextlib
import difflib
import socket
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import Tensor, nn

from pointmcd.compat import mend_torchvision
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.teachers.vgg import VGG11Attention


def import_timm() -> ModuleType:
    """Import timm, after ``mend_torchvision``."""
    mend_torchvision()
    import timm

    return timm


class TimmNetwork(nn.Module):
    """What timm's networks have beside what a module has; a type, of which nothing is made.

    Attributes:
        pretrained_cfg: Input size, statistics and classifier that its weights go with.
        head_hidden_size: Width of the pooled features.
        out_channels: C, the same; set by ``build_trunk``.
        feature_info: Of a pyramid (``features_only``): widths and strides of its levels.
        prune_intermediate_layers: Cuts off what lies above some of its stages.
        forward_intermediates: Gives the maps of some of its stages.
    """

    pretrained_cfg: dict[str, Any]
    head_hidden_size: int
    out_channels: int
    feature_info: "FeatureInfo"
    prune_intermediate_layers: Callable[..., Any]
    forward_intermediates: Callable[..., Any]


class FeatureInfo(Protocol):
    """What timm says of a pyramid, one number a level, finest first."""

    def channels(self) -> list[int]:
        """Return the widths of the levels."""

    def reduction(self) -> list[int]:
        """Return the strides of the levels."""


def build_trunk(name: str, pretrained: bool = False, **options: Any) -> TimmNetwork:
    """Return a timm network without classifier: images (B, 3, H, W) to pooled features (B, C).

    Args:
        name: A timm model name, such as ``mobilenetv2_100``.
        pretrained: Take timm's weights (a download).
        options: Further arguments of ``timm.create_model``, such as ``pad_type``.

    Returns:
        The network, with an attribute ``out_channels`` (C).

    Raises:
        ValueError: The name is not known, or the network does not take an option.
    """
    trunk = _create(name, pretrained, num_classes=0, **options)
    trunk.out_channels = trunk.head_hidden_size
    return trunk


def _create(name: str, pretrained: bool, **options: Any) -> TimmNetwork:
    timm = import_timm()
    if ":" not in name and not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{hint}")
    try:
        if not pretrained:
            return timm.create_model(name, pretrained=False, **options)
        with no_waiting_for_the_hub():
            return timm.create_model(name, pretrained=True, **options)
    except TypeError as error:  # an option that the network does not take
        raise ValueError(f"{name} does not take these trunk_options: {error}") from error
    except Exception as error:  # of whatever library makes the connection
        if not pretrained:
            raise
        raise ValueError(
            f"timm's weights of {name} cannot be downloaded ({str(error).partition(chr(10))[0]}); without "
            "a network, give them as a file: --cfg-options model.pretrained=False model.checkpoint=FILE for "
            "the teacher of a config, --weights FILE for a frozen one, checkpoint=FILE for ImageBlocksHook"
        ) from error


@contextlib.contextmanager
def no_waiting_for_the_hub() -> Iterator[None]:
    """Take weights from the cache alone where the hub does not answer; its client would try for a minute."""
    from huggingface_hub import constants

    hub, offline = urlsplit(constants.ENDPOINT), constants.HF_HUB_OFFLINE
    try:
        if not offline and not getproxies():
            socket.create_connection((hub.hostname, hub.port or 443), timeout=3).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def load_trunk(trunk: TimmNetwork, state: dict[str, Tensor], source: str, whole: bool = True) -> None:
    """Load the weights of a timm network, or those in a teacher's checkpoint; a classifier is left out.

    Args:
        trunk: From ``build_trunk``.
        state: Named as timm names it, or as a teacher does whose network is the same.
        source: Where it is from, for the error.
        whole: The weights are of nothing else. Otherwise ``trunk`` was pruned, and what it lacks is left out.

    Raises:
        ValueError: It does not fit.
    """
    prefix = next((p for p in ("trunk.body.", "trunk.") if any(key.startswith(p) for key in state)), "")
    # timm's pyramids rename: dots become underscores, or a prefix comes before all
    own = {key.replace(".", "_"): key for key in trunk.state_dict()}
    weights = {}
    for key, value in state.items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            weights[own.get(name.removeprefix("model.").replace(".", "_"), name)] = value
    classifier = trunk.pretrained_cfg.get("classifier") or ()
    classifiers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    kept = set(own.values())
    weights = {
        key: value
        for key, value in weights.items()
        if key in kept or (whole and key.rpartition(".")[0] not in classifiers)
    }
    try:
        trunk.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).partition("\n")[2].strip()[:200] or str(error)
        raise ValueError(
            f"the weights of {source} do not fit this trunk: are they of another network, or in another "
            f"order than the networks? {first} ..."
        ) from error


def build_pyramid(
    name: str, channels: int, pretrained: bool = False, **options: Any
) -> "TimmPyramid | VGG11Attention":
    """Return a network that gives features at several resolutions: images (B, 3, H, W) to a list of levels.

    Args:
        name: ``vgg11_attention``, or a timm name as ``build_trunk`` takes it.
        channels: D, width of the coarsest level.
        pretrained: Take timm's ImageNet weights (a download).
        options: Further arguments of ``timm.create_model``.

    Returns:
        The network. Its levels come finest first, each (B, C, h, w), and the coarsest is non-negative; it
        has the attributes ``channels`` and ``strides``, one number a level, and ``load_timm``.

    Raises:
        ValueError: The name is not known, or the network does not take the options or the width.
    """
    if name != "vgg11_attention":
        return TimmPyramid(name, channels, pretrained, **options)
    if channels != VGG11Attention.channels[-1] or options:
        raise ValueError(
            f"vgg11_attention has {VGG11Attention.channels[-1]} channels and takes no options, "
            f"not channels={channels} and trunk_options={options}"
        )
    pyramid = VGG11Attention()
    if pretrained:
        pyramid.load_timm(build_trunk("vgg11_bn", pretrained=True).state_dict(), "timm's vgg11_bn")
    return pyramid


class TimmPyramid(nn.Module):
    """The feature pyramid of a timm network, its coarsest level embedded in non-negative channels.

    A network's last block may end without an activation; Linear (no bias) + batch norm + ReLU on each cell
    makes of it what a student can match, as ``MultiViewTeacher`` does after pooling.

    Args: As ``build_pyramid``.

    Attributes:
        channels: Width of each level, finest first.
        strides: How many pixels of the image a cell of each level is wide.
        pretrained_cfg: As ``TimmNetwork``.
    """

    def __init__(self, name: str, channels: int, pretrained: bool = False, **options: Any) -> None:
        super().__init__()
        self._whole = name, options
        self.body = _create(name, pretrained, features_only=True, **options)
        self.channels = (*self.body.feature_info.channels()[:-1], channels)
        self.strides = tuple(self.body.feature_info.reduction())
        self.pretrained_cfg = self.body.pretrained_cfg
        self.embed = LinearNormAct(self.body.feature_info.channels()[-1], channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to levels (B, C, H / stride, W / stride)."""
        levels = self.body(images)
        if getattr(self.body, "output_fmt", "NCHW") == "NHWC":  # networks of rows, such as Swin
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        *fine, coarsest = levels
        return [*fine, self.embed(coarsest.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)]

    def load_timm(self, state: dict[str, Tensor], source: str) -> None:
        """Load the weights of the whole network as timm names them; what is above the pyramid is left out.

        Args:
            state: The weights.
            source: Where they are from, for the error.

        Raises:
            ValueError: They do not fit.
        """
        trunk, options = self._whole
        whole = build_trunk(trunk, **options)
        load_trunk(whole, state, source)
        # timm's pyramids rename: dots become underscores, or a prefix comes before all
        weights = {key.replace(".", "_"): value for key, value in whole.state_dict().items()}
        names = {key: key.removeprefix("model.").replace(".", "_") for key in self.body.state_dict()}
        if missing := [key for key, name in names.items() if name not in weights]:
            raise ValueError(
                f"timm renames {missing[0]} in the pyramid of {trunk}; use pretrained=True, not a checkpoint"
            )
        self.body.load_state_dict({key: weights[name] for key, name in names.items()})
