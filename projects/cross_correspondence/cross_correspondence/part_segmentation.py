"""Part segmentation by transfer: the point network's weights, then a decoder trained with few labels."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.evaluation.fine_tuning import run_config
from pointmcd.models.point_model import PointModel
from pointmcd.registry import MODELS

STARTS = ("scratch", "frozen", "finetuned")


@MODELS.register_module()
class FrozenPointModel(PointModel):
    """A ``PointModel`` whose backbone keeps its weights and batch-norm statistics: the head alone learns."""

    def __init__(self, backbone: dict, head: dict, data_preprocessor: dict | None = None) -> None:
        super().__init__(backbone, head, data_preprocessor)
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "FrozenPointModel":
        """Set the training mode of the head."""
        super().train(mode)
        self.backbone.eval()
        return self


def transfer_config(
    path: Path, options: list[str], backbone: dict[str, Any], checkpoint: Path, start: str, percent: float
) -> Config:
    """Return the config of one training, of as many steps at every share of the labels.

    Args:
        path: Config of a part segmentation (``configs/part_segmentation_*.py``).
        options: Overrides of it, as ``--cfg-options`` takes them.
        backbone: Config of the pre-trained backbone, which takes the place of the config's.
        checkpoint: Of the pre-training.
        start: ``scratch``, from random weights; ``frozen`` and ``finetuned``, from the checkpoint's.
        percent: Of the labelled shapes of each category, above 0, at most 100; one shape at least.

    Raises:
        ValueError: ``start`` is none of the three, or the config's schedule has a fixed length.
    """
    if start not in STARTS:
        raise ValueError(f"start is {start!r}; choose {', '.join(STARTS)}")
    pretrained = None if start == "scratch" else checkpoint
    config = run_config(path, options, percent / 100, pretrained=pretrained, min_share=1.0)
    config.model.backbone = backbone
    config.model.type = "FrozenPointModel" if start == "frozen" else "PointModel"
    return config
