"""What all image teachers share: how a view must look to the network, and where its weights come from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from pointmcd.batch import Batch, TeacherRows, ViewFeatures
from pointmcd.checkpoint import read_state_dict
from pointmcd.models.teachers.normalization import (
    NORMALIZATIONS,
    OF_TIMM,
    in_unit_range,
    seen_by,
    statistics,
    trained_size,
)
from pointmcd.models.teachers.training_layers import quicken_training
from pointmcd.models.teachers.trunks import TimmPyramid, build_pyramid
from pointmcd.models.teachers.vgg import VGG11Attention
from pointmcd.registry import MODELS

MOST_BYTES = 2**16
"""Above the length of any teacher's settings as text."""
MOST_PIXELS = 2**12
"""Above the side of any image that a network is shown."""
UNSAVED: dict[str, Any] = {"input_size": 0}
"""What settings mean that do not say it."""


class ImageTeacher(BaseModel):
    """An image network that describes views.

    What a view must look like to the network (``trunk``, ``trunk_options`` with its padding,
    ``normalization``, ``input_size``) is part of a checkpoint; loading one that disagrees with the config is
    an error. Only what the config leaves to timm does the checkpoint decide.

    A subclass gives ``features``, ``loss``, ``predict`` and ``_load_timm``, and calls ``_start`` last.

    Args:
        build: Makes the trunk of a name, ``pretrained`` or not, and further options.
        trunk: Its name.
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        pretrained: Take the trunk's weights from timm.
        checkpoint: A ``.safetensors`` or ``.pth`` file to start from.
        normalization: One of ``NORMALIZATIONS``, or ``timm`` for what the checkpoint was trained with, and
            else for the statistics that timm says of the trunk.
        input_size: Side in pixels that smaller views are enlarged to, or 0 to take views as they are. None
            leaves it to the checkpoint, and else takes the size of timm's weights.
        data_preprocessor: Config of the preprocessor.
    """

    trunk: nn.Module
    saved_settings: Tensor

    def __init__(
        self,
        build: Callable[..., nn.Module],
        trunk: str,
        trunk_options: dict[str, Any] | None,
        pretrained: bool,
        checkpoint: str | None,
        normalization: str,
        input_size: int | None,
        data_preprocessor: dict | None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "PointPreprocessor"}))
        if pretrained and checkpoint is not None:
            raise ValueError(
                "pretrained takes the trunk's weights from timm, checkpoint from a file; choose one"
            )
        self.checkpoint = checkpoint
        self.trunk = build(trunk, pretrained, **(trunk_options or {}))
        quicken_training(self.trunk)
        self._follows_checkpoint = normalization == OF_TIMM
        self._statistics = statistics(normalization, self.trunk)
        saved: Any = normalization
        if saved == OF_TIMM:  # a checkpoint says what that is, which may change with timm
            names = [name for name, known in NORMALIZATIONS.items() if known == self._statistics]
            saved = names[0] if names else self._statistics
        self._size_follows_checkpoint = input_size is None
        self._input_size = trained_size(self.trunk) if input_size is None else input_size
        settings = {"trunk": trunk, "trunk_options": trunk_options or {}, "normalization": saved}
        if self._input_size:  # earlier versions saved none
            settings["input_size"] = self._input_size
        self.register_buffer("saved_settings", encode_settings(settings))
        self.settings = decode_settings(self.saved_settings)  # as a checkpoint gives them back

    def _start(self) -> None:
        """Load what ``checkpoint`` names: this teacher, the trunk of another kind, or a timm network."""
        self.to(memory_format=torch.channels_last)  # depthwise convolutions run a third faster on a CPU
        if self.checkpoint is None:
            return
        if not Path(self.checkpoint).is_file():
            raise FileNotFoundError(
                f"there is no {self.checkpoint} to start from: train it first, or name another file "
                "(model.checkpoint=FILE)"
            )
        state = read_state_dict(self.checkpoint)
        if "saved_settings" not in state:
            self._load_timm(state, self.checkpoint)
            return
        self._check_settings(state["saved_settings"])
        module, prefix = (self, "") if state.keys() == self.state_dict().keys() else (self.trunk, "trunk.")
        weights = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{self.checkpoint} does not fit this teacher: {error}") from error

    def _load_timm(self, state: dict[str, Tensor], source: str) -> None:
        """Load weights of the trunk as timm names them; ``source`` is for the error."""
        raise NotImplementedError

    def forward(self, mode: str = "tensor", **batch: Unpack[Batch]) -> Any:
        """Run one pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives a dict of losses, ``predict`` one dict a shape, ``tensor`` the features.
            batch: ``views`` (B, v, 3, H, W), uint8 or floats in 0..1, and what ``loss`` and ``predict`` ask
                for.
        """
        if mode not in ("loss", "predict", "tensor"):
            raise ValueError(f"mode is {mode!r}; choose loss, predict or tensor")
        features = self.features(batch["views"])
        return features if mode == "tensor" else getattr(self, mode)(features, batch)

    @torch.no_grad()
    def describe(self, batch: Batch) -> TeacherRows:
        """Return what a frozen teacher says of ``batch['views']`` (B, V, 3, H, W); no gradient."""
        return teacher_rows(self.features(batch["views"]))

    def features(self, views: Tensor) -> ViewFeatures:
        """Return the teacher's rows of views (B, v, 3, H, W), and what loss and predictions need."""
        raise NotImplementedError

    def loss(self, features: ViewFeatures, batch: Batch) -> dict[str, Tensor]:
        """Return the losses that the teacher is trained by."""
        raise NotImplementedError

    def predict(self, features: ViewFeatures, batch: Batch) -> list[dict[str, Any]]:
        """Return what the teacher's metric counts, one dict a shape."""
        raise NotImplementedError

    def _run_trunk(self, views: Tensor) -> Any:
        """Return what the trunk makes of views (B, v, 3, H, W), as B * v normalised images."""
        images = seen_by(self.trunk, views.flatten(0, 1), *self._statistics, self._input_size, True)
        return self.trunk(images)

    def _pixels(self, views: Tensor) -> Tensor:
        """Return views (..., 3, H, W), bytes or floats in 0..1, as floats in 0..1 of the weights' type."""
        return in_unit_range(views, next(self.parameters()).dtype)

    def _check_settings(self, saved: Tensor) -> None:
        theirs = UNSAVED | decode_settings(saved)
        name = theirs.get("normalization")
        if self._follows_checkpoint and isinstance(name, str) and name in NORMALIZATIONS:
            self.settings["normalization"], self._statistics = name, NORMALIZATIONS[name]
        size = theirs["input_size"]
        if self._size_follows_checkpoint and type(size) is int and 0 <= size <= MOST_PIXELS:
            self.settings["input_size"] = self._input_size = size
        self.saved_settings = encode_settings(self.settings).to(self.saved_settings.device)
        for name, ours in (UNSAVED | self.settings).items():
            if theirs.get(name) != ours:
                raise ValueError(
                    f"the checkpoint's teacher was trained with {name}={theirs.get(name)!r}, "
                    f"but the config says {name}={ours!r}; make the config agree"
                )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}saved_settings")
        if saved is not None:
            self._check_settings(saved)  # which may be a text of another length
            self.saved_settings = torch.empty_like(saved, device=self.saved_settings.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


class PyramidTeacher(ImageTeacher):
    """A teacher whose descriptor of a view is the average of the coarsest level of a feature pyramid.

    Source: the official ``CNN_Backbone``, encoder of the teachers for part segmentation and unsupervised
    pre-training. The level is non-negative, and so are the descriptors, as the student's are.

    Args:
        trunk: ``vgg11_attention`` (official) or the name of a timm network with a feature pyramid.
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        pretrained: Take the trunk's ImageNet weights from timm.
        checkpoint: A file to start from: weights of the trunk as timm names them, a checkpoint of this
            teacher, or one of another whose trunk is the same.
        channels: D, width of the descriptors; 512 for ``vgg11_attention``.
        normalization: ``unit`` for images in 0..1 (official), ``symmetric`` for -1..1, ``imagenet``, or
            ``timm``, as ``ImageTeacher``; timm knows nothing of ``vgg11_attention``.
        input_size: As ``ImageTeacher``.
        data_preprocessor: Config of the preprocessor.
    """

    trunk: TimmPyramid | VGG11Attention

    def __init__(
        self,
        trunk: str,
        trunk_options: dict[str, Any] | None,
        pretrained: bool,
        checkpoint: str | None,
        channels: int,
        normalization: str,
        input_size: int | None,
        data_preprocessor: dict | None,
    ) -> None:
        def build(name: str, pretrained: bool, **options: Any) -> nn.Module:
            return build_pyramid(name, channels, pretrained, **options)

        super().__init__(
            build, trunk, trunk_options, pretrained, checkpoint, normalization, input_size, data_preprocessor
        )

    @property
    def out_channels(self) -> int:
        """D, width of the descriptors."""
        return self.trunk.channels[-1]

    def _load_timm(self, state: dict[str, Tensor], source: str) -> None:
        self.trunk.load_timm(state, source)

    def features(self, views: Tensor) -> ViewFeatures:
        """Return the teacher's rows of views (B, v, 3, H, W), and the ``levels`` of the B * v images."""
        levels = self._run_trunk(views)
        descriptors = levels[-1].mean((-2, -1)).unflatten(0, views.shape[:2])
        return {"levels": levels, "view_descriptors": descriptors, "descriptor": descriptors.amax(1)}


def teacher_rows(features: ViewFeatures) -> TeacherRows:
    """Return those of a teacher's features that students learn from."""
    rows = {name: value for name, value in features.items() if name in TeacherRows.__annotations__}
    return cast(TeacherRows, rows)


def encode_settings(settings: dict[str, Any]) -> Tensor:
    """Return JSON as bytes: a buffer goes wherever a state dict goes and needs no pickle."""
    return torch.tensor(list(json.dumps(settings, sort_keys=True).encode()), dtype=torch.uint8)


def decode_settings(saved: Tensor) -> dict[str, Any]:
    """Return the inverse of ``encode_settings``, of anybody's buffer; nothing is built of it.

    Raises:
        ValueError: It holds no settings.
    """
    try:
        if saved.dtype != torch.uint8 or saved.ndim != 1 or len(saved) > MOST_BYTES:
            raise ValueError(f"a tensor {tuple(saved.shape)} of {saved.dtype} is not text")
        settings = json.loads(bytes(saved.tolist()))
        if not isinstance(settings, dict):
            raise ValueError("it is not a dict")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the checkpoint's saved_settings of its teacher are damaged: {error}") from error
    return settings
