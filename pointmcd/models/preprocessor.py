"""What happens to a batch between the dataset and the network: device, then augmentation."""

from mmengine.model import BaseDataPreprocessor

from pointmcd.batch import Batch
from pointmcd.datasets.transforms import OF_POINTS, PER_POINT
from pointmcd.registry import MODELS, TRANSFORMS


@MODELS.register_module()
class PointPreprocessor(BaseDataPreprocessor):
    """Move a batch to the model's device and, in training, augment it there as a whole.

    Args:
        transforms: Configs of the transforms of ``pointmcd.datasets.transforms``, applied in this order
            when training.
    """

    def __init__(self, transforms: list[dict] | None = None) -> None:
        super().__init__()
        self.transforms = [TRANSFORMS.build(config) for config in transforms or []]

    def forward(self, data: Batch, training: bool = False) -> Batch:
        """Return the batch on the device; a new dict, augmented where ``training``."""
        batch: Batch = {**self.cast_data(data)}
        if training:
            for transform in self.transforms:
                batch = transform(batch)
                _check(batch, type(transform).__name__)
        return batch


def _check(batch: Batch, whose: str) -> None:
    """Refuse what a transform returns where it is no batch, or its arrays are of other points."""
    if not isinstance(batch, dict) or "points" not in batch:
        what = "a dict without points" if isinstance(batch, dict) else f"a {type(batch).__name__}"
        raise ValueError(f"the transform {whose} returns {what}, needs the batch")
    size = batch["points"].shape[:2]
    teacher = batch.get("teacher", {})
    found = {name: batch.get(name) for name in PER_POINT} | {name: teacher.get(name) for name in OF_POINTS}
    for name, values in found.items():
        if values is not None and values.shape[:2] != size:
            raise ValueError(
                f"the transform {whose} leaves {size[1]} points of a shape, but {values.shape[1]} rows of "
                f"{name}: whatever drops or adds points does the same to all that belongs to them"
            )
