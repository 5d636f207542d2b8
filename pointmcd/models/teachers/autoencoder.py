"""The teacher that needs no labels."""

from typing import Any

from torch import Tensor

from pointmcd.models.teachers.base import PyramidTeacher
from pointmcd.models.teachers.decoders import ImageDecoder
from pointmcd.registry import MODELS


@MODELS.register_module()
class AutoencoderTeacher(PyramidTeacher):
    """View -> image network -> descriptor -> the view again; trained by the mean absolute error of pixels.

    Source: the official ``CNN_Backbone_Pretrainer``, teacher of unsupervised pre-training, and start of the
    teacher for part segmentation.

    Args:
        image_size: S, pixels a side of the views, divisible by 32; filled in from the prepared data where a
            config leaves it None.
        trunk: As ``PyramidTeacher``, and so all that follow.
        trunk_options: Further arguments of ``timm.create_model``.
        pretrained: Take the trunk's ImageNet weights from timm.
        checkpoint: A file to start from.
        channels: D, width of the descriptors.
        normalization: How views are normalised; what is reconstructed are pixels in 0..1.
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
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(
            trunk, trunk_options, pretrained, checkpoint, channels, normalization, data_preprocessor
        )
        self.decoder = ImageDecoder(channels, image_size)
        self._start()

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """One pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives a dict of losses; ``predict`` one dict a shape with ``index``, where known,
                and ``reconstruction_l1``, the mean absolute error over the pixels of its views (in 0..1);
                ``tensor`` what the teacher says (``TeacherRows``).
            batch: ``views`` (B, v, 3, S, S), uint8 or floats in 0..1.
        """
        views = batch["views"]
        if mode == "tensor":
            return self._say(views)
        if mode not in ("loss", "predict"):
            raise ValueError(f"mode is {mode!r}; choose loss, predict or tensor")
        error = (self.reconstruct(views) - self._pixels(views)).abs()
        if mode == "loss":
            return {"loss_reconstruction": error.mean()}
        rows = [{"reconstruction_l1": float(value)} for value in error.flatten(1).mean(1)]
        for row, index in zip(rows, batch.get("index", ()), strict=False):
            row["index"] = int(index)
        return rows

    def reconstruct(self, views: Tensor) -> Tensor:
        """Views (B, v, 3, S, S) as the decoder sees them from their descriptors; about 0..1, not clipped.

        Raises:
            ValueError: They are of another size than the decoder was built for.
        """
        side = 32 * self.decoder.side
        if views.shape[-2:] != (side, side):
            raise ValueError(
                f"the views are {tuple(views.shape[-2:])}, the autoencoder's image_size is {side}"
            )
        descriptors = self._say(views)["view_descriptors"].flatten(0, 1)
        return self.decoder(descriptors).unflatten(0, views.shape[:2])
