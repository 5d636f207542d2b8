"""What happens to a batch between the dataset and the network: device, then augmentation."""

from mmengine.model import BaseDataPreprocessor

from pointmcd.batch import Batch
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
        return batch
