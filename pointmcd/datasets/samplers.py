"""In which order a training sees the shapes."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(Sampler[int]):
    """Draw a class, then a shape of it, both uniformly and with replacement, as the official teachers do.

    The draws of an epoch are a function of (seed, epoch), so that a resumed training sees what an
    uninterrupted one does; the processes of a distributed training share them out.

    Args:
        dataset: The shapes and their labels.
        num_samples: Draws of an epoch, of all processes together; None for as many as there are shapes.
        seed: Of the draws; the Runner hands its own.
    """

    def __init__(
        self, dataset: PreparedShapes, num_samples: int | None = None, seed: int | None = None
    ) -> None:
        labels = dataset.labels
        self.shapes_of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.rank, self.world_size = get_dist_info()
        total = len(dataset) if num_samples is None else num_samples
        self.num_samples = -(-total // self.world_size)
        self.seed = seed or 0
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        drawn = generator.random((self.num_samples * self.world_size, 2))
        for which, place in drawn[self.rank :: self.world_size]:
            shapes = self.shapes_of_class[int(which * len(self.shapes_of_class))]
            yield int(shapes[int(place * len(shapes))])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws come next; called by ``DistSamplerSeedHook``."""
        self.epoch = epoch
