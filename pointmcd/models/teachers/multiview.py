"""The multi-view image teacher of PointMCD."""

from typing import Any

from torch import Tensor

from pointmcd.batch import Batch, ViewFeatures
from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.models.teachers.base import ImageTeacher
from pointmcd.models.teachers.trunks import TimmNetwork, build_trunk, load_trunk
from pointmcd.registry import MODELS


@MODELS.register_module()
class MultiViewTeacher(ImageTeacher):
    """Views -> image network -> view descriptors -> max over views -> descriptor; one classifier on both.

    Source: the official ``Teacher_Cls``: global average pooling, Linear (no bias) + batch norm + ReLU, max
    over views, the same again, and one classifier without bias; its loss is label-smoothed cross-entropy of
    the shape's logits plus that of each view's.

    Args:
        num_classes: K; filled in from the prepared data where a config leaves it None.
        trunk: Name of a timm model.
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        pretrained: Take the trunk's weights from timm.
        checkpoint: A ``.safetensors`` or ``.pth`` file to start from: weights of the trunk as timm names
            them, or a whole teacher, as one that teaches online needs.
        channels: D, width of the descriptors.
        normalization: ``unit`` for images in 0..1 (official), ``symmetric`` for -1..1, ``imagenet``, or
            ``timm``, as ``ImageTeacher``.
        input_size: Side in pixels that smaller views are enlarged to, as ``ImageTeacher``; 0 (official) takes
            views as they are, None asks timm.
        smoothing: Label smoothing of both loss terms.
        data_preprocessor: Config of the preprocessor.
    """

    trunk: TimmNetwork

    def __init__(
        self,
        num_classes: int,
        trunk: str = "mobilenetv2_100",
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        channels: int = 512,
        normalization: str = "unit",
        input_size: int | None = 0,
        smoothing: float = 0.2,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(
            build_trunk,
            trunk,
            trunk_options,
            pretrained,
            checkpoint,
            normalization,
            input_size,
            data_preprocessor,
        )
        self.view_embed = LinearNormAct(self.trunk.out_channels, channels)
        self.head = ClassificationHead(channels, num_classes, channels, smoothing=smoothing, loss_weight=1.0)
        self._start()

    @property
    def out_channels(self) -> int:
        """D, width of the descriptors."""
        return self.view_embed.linear.out_features

    def _load_timm(self, state: dict[str, Tensor], source: str) -> None:
        load_trunk(self.trunk, state, source)

    def features(self, views: Tensor) -> ViewFeatures:
        """Return the teacher's rows of views (B, v, 3, H, W)."""
        descriptors = self.view_embed(self._run_trunk(views).unflatten(0, views.shape[:2]))
        return {
            "view_descriptors": descriptors,
            "view_logits": self.head.classifier(descriptors),
            **self.head({"global_feats": descriptors.amax(1)}),
        }

    def loss(self, features: ViewFeatures, batch: Batch) -> dict[str, Tensor]:
        """Return cross-entropy of the shape's logits and of each view's against ``batch['label']`` (B,)."""
        view_logits = features["view_logits"]
        labels = batch["label"].unsqueeze(1).expand(-1, view_logits.shape[1])
        view_loss = smoothed_cross_entropy(view_logits, labels, self.head.smoothing)
        return {**self.head.loss(features, batch), "loss_view": view_loss}

    def predict(self, features: ViewFeatures, batch: Batch) -> list[dict[str, Any]]:
        """Return one dict a shape, as ``ClassificationHead``."""
        return self.head.predict(features, batch)
