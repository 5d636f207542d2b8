"""The multi-view image teacher of PointMCD."""

import json
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from pointmcd.batch import TeacherRows
from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.models.teachers.trunks import build_trunk, load_trunk, read_state_dict
from pointmcd.registry import MODELS

NORMALIZATIONS: dict[str, tuple[list[float], list[float]]] = {
    "unit": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    "symmetric": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}
"""Mean and standard deviation by which images in 0..1 are normalised; ``unit`` leaves them (official)."""


@MODELS.register_module()
class MultiViewTeacher(BaseModel):
    """Views -> image network -> view descriptors -> max over views -> descriptor; one classifier on both.

    Source: the official ``Teacher_Cls``: global average pooling, Linear (no bias) + batch norm + ReLU, max
    over views, the same again, and one classifier without bias; its loss is label-smoothed cross-entropy of
    the shape's logits plus that of each view's.

    What a view must look like to the network (``trunk``, ``trunk_options`` with its padding,
    ``normalization``) is part of a checkpoint; loading one that disagrees with the config is an error.

    Args:
        num_classes: K; filled in from the prepared data where a config leaves it None.
        trunk: Name of a timm model.
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        pretrained: Take the trunk's weights from timm.
        checkpoint: A ``.safetensors`` or ``.pth`` file to start from: weights of the trunk as timm names
            them, or a whole teacher, as one that teaches online needs.
        channels: D, width of the descriptors.
        normalization: ``unit`` for images in 0..1 (official), ``symmetric`` for -1..1, or ``imagenet``.
        smoothing: Label smoothing of both loss terms.
        data_preprocessor: Config of the preprocessor.
    """

    def __init__(
        self,
        num_classes: int,
        trunk: str = "mobilenetv2_100",
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        channels: int = 512,
        normalization: str = "unit",
        smoothing: float = 0.2,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "PointPreprocessor"}))
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization is {normalization!r}; choose {', '.join(NORMALIZATIONS)}")
        settings = {"trunk": trunk, "trunk_options": trunk_options or {}, "normalization": normalization}
        if pretrained and checkpoint is not None:
            raise ValueError(
                "pretrained takes the trunk's weights from timm, checkpoint from a file; choose one"
            )
        self.register_buffer("saved_settings", encode_settings(settings))
        self.settings = decode_settings(self.saved_settings)  # as a checkpoint gives them back
        self.trunk = build_trunk(trunk, pretrained, **self.settings["trunk_options"])
        self.trunk.to(memory_format=torch.channels_last)  # depthwise convolutions run a third faster on a CPU
        self.view_embed = LinearNormAct(self.trunk.out_channels, channels)
        self.head = ClassificationHead(channels, num_classes, channels, smoothing=smoothing, loss_weight=1.0)
        if checkpoint is not None:
            self._start_from(checkpoint)

    def _start_from(self, checkpoint: str) -> None:
        state = read_state_dict(checkpoint)
        if "view_embed.linear.weight" in state:
            self.load_state_dict(state)
        else:
            load_trunk(self.trunk, state, checkpoint)

    @property
    def out_channels(self) -> int:
        """D, width of the descriptors."""
        return self.view_embed.linear.out_features

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """One pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives a dict of losses, ``predict`` one dict a shape as ``ClassificationHead``,
                ``tensor`` what the teacher says (``TeacherRows``).
            batch: ``views`` (B, v, 3, H, W), uint8 or floats in 0..1; ``label`` (B,) for ``loss``.
        """
        said = self._say(batch["views"])
        if mode == "tensor":
            return said
        if mode == "predict":
            return self.head.predict(said, batch)
        if mode == "loss":
            views = batch["views"].shape[1]
            labels = batch["label"].unsqueeze(1).expand(-1, views)
            view_loss = smoothed_cross_entropy(said["view_logits"], labels, self.head.smoothing)
            return {**self.head.loss(said, batch), "loss_view": view_loss}
        raise ValueError(f"mode is {mode!r}; choose loss, predict or tensor")

    @torch.no_grad()
    def describe(self, batch: dict[str, Any]) -> TeacherRows:
        """What a frozen teacher says of ``batch['views']``; no gradient."""
        return self._say(batch["views"])

    def _say(self, views: Tensor) -> TeacherRows:
        images = self._normalize(views.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
        features = self.trunk(images)
        descriptors = self.view_embed(features.unflatten(0, views.shape[:2]))
        return {
            "view_descriptors": descriptors,
            "view_logits": self.head.classifier(descriptors),
            **self.head({"global_feats": descriptors.amax(1)}),
        }

    def _normalize(self, images: Tensor) -> Tensor:
        dtype = self.view_embed.linear.weight.dtype
        images = images.to(dtype) if images.is_floating_point() else images.to(dtype) / 255
        mean, std = NORMALIZATIONS[self.settings["normalization"]]
        return (images - images.new_tensor(mean).view(3, 1, 1)) / images.new_tensor(std).view(3, 1, 1)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}saved_settings")
        if saved is not None:
            theirs = decode_settings(saved)
            for name, ours in self.settings.items():
                if theirs[name] != ours:
                    raise ValueError(
                        f"the checkpoint's teacher was trained with {name}={theirs[name]!r}, "
                        f"but the config says {name}={ours!r}; make the config agree"
                    )
        super()._load_from_state_dict(state_dict, prefix, *args)


def encode_settings(settings: dict[str, Any]) -> Tensor:
    """JSON as bytes: a buffer goes wherever a state dict goes and needs no pickle."""
    return torch.tensor(list(json.dumps(settings, sort_keys=True).encode()), dtype=torch.uint8)


def decode_settings(saved: Tensor) -> dict[str, Any]:
    return json.loads(bytes(saved.tolist()))
