"""Part segmentation by transfer: the point network's weights, then a decoder trained with few labels."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.engine import build_runner, load_config
from pointmcd.engine.pretrained import load_backbone
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
    path: Path, overrides: list[str], backbone: dict[str, Any], start: str, fraction: float, work_dir: Path
) -> Config:
    """The config of one training.

    Args:
        path: Config of a part segmentation (``configs/part_segmentation_*.py``).
        overrides: Of that config, as ``--cfg-options`` takes them.
        backbone: Config of the pre-trained backbone, which takes the place of the config's.
        start: ``scratch``, from random weights; ``frozen`` and ``finetuned``, from the pre-trained ones.
        fraction: Share of the labelled shapes of each category, in (0, 1].
        work_dir: Logs and checkpoints.
    """
    if start not in STARTS:
        raise ValueError(f"start is {start!r}; choose {', '.join(STARTS)}")
    config = load_config(path, overrides)
    config.model.backbone = backbone
    config.model.type = "FrozenPointModel" if start == "frozen" else "PointModel"
    config.train_dataloader.dataset.label_fraction = fraction
    config.work_dir = str(work_dir)
    config.experiment_name = f"{path.stem}_{start}_{fraction:g}"
    config.log_level = "WARNING"
    return config


def transfer(config: Config, checkpoint: Path | None) -> dict[str, float]:
    """Train a part segmentation and test its last state.

    Args:
        config: From ``transfer_config``.
        checkpoint: File that holds the backbone's weights as ``backbone.*``, or None for random ones.

    Returns:
        The metrics of ``PartSegmentationMetric``, in percent.
    """
    runner = build_runner(config)
    if checkpoint is not None:
        load_backbone(runner.model.backbone, checkpoint)
    runner.train()
    return runner.test()
