"""The teacher that needs no labels."""

from typing import Any

from torch import Tensor

from pointmcd.batch import Batch, ViewFeatures
from pointmcd.models.teachers.base import PyramidTeacher
from pointmcd.models.teachers.decoders import ImageDecoder
from pointmcd.registry import MODELS


@MODELS.register_module()
class AutoencoderTeacher(PyramidTeacher):
    """View -> image network -> descriptor -> the view again; trained by the mean absolute error of pixels.

    Source: the official ``CNN_Backbone_Pretrainer``, teacher of pre-training without labels, and start of the
    part teacher.

    Args:
        image_size: S, pixels a side of the views; filled in from the prepared data where a config leaves it
            None.
        trunk: As ``PyramidTeacher``, and so all that follow.
        trunk_options: Further arguments of ``timm.create_model``.
        pretrained: Take the trunk's ImageNet weights from timm.
        checkpoint: A file to start from.
        channels: D, width of the descriptors.
        normalization: How views are normalised; what is reconstructed are pixels in 0..1.
        input_size: How views are enlarged; what is reconstructed has the size of the views.
        data_preprocessor: Config of the preprocessor.
    """

    def __init__(
        self,
        image_size: int,
        trunk: str = "vgg11_attention",
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        channels: int = 512,
        normalization: str = "unit",
        input_size: int | None = 0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(
            trunk,
            trunk_options,
            pretrained,
            checkpoint,
            channels,
            normalization,
            input_size,
            data_preprocessor,
        )
        self.decoder = ImageDecoder(channels, image_size)
        self._start()

    def loss(self, features: ViewFeatures, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error of the pixels of ``batch['views']``."""
        return {"loss_reconstruction": self._error(features, batch["views"]).mean()}

    def predict(self, features: ViewFeatures, batch: Batch) -> list[dict[str, Any]]:
        """Return one dict a shape: ``reconstruction_l1``, the mean absolute error of its pixels in 0..1."""
        return [
            {"reconstruction_l1": float(row.mean())} for row in self._error(features, batch["views"]).detach()
        ]

    def reconstruct(self, features: ViewFeatures) -> Tensor:
        """Return the views (B, v, 3, S, S) as decoded from their descriptors; about 0..1, not clipped."""
        descriptors = features["view_descriptors"]
        return self.decoder(descriptors.flatten(0, 1)).unflatten(0, descriptors.shape[:2])

    def _error(self, features: ViewFeatures, views: Tensor) -> Tensor:
        side = self.decoder.image_size
        if views.shape[-2:] != (side, side):
            raise ValueError(
                f"the views are {'x'.join(map(str, views.shape[-2:]))} pixels, but image_size is {side}"
            )
        return (self.reconstruct(features) - self._pixels(views)).abs()
