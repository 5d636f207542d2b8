"""A sampler: ``train_dataloader.sampler.type=RepeatedSampler``."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Dataset, Sampler

from pointmcd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RepeatedSampler(Sampler[int]):
    """Show each shape several times an epoch, in a random order.

    Args:
        dataset: The shapes.
        times: How often, at least 1.
        seed: Of the order; the Runner hands its own.
    """

    def __init__(self, dataset: Dataset, times: int = 2, seed: int | None = None) -> None:
        self.shapes = np.arange(len(dataset)).repeat(times)  # type: ignore[arg-type]
        self.rank, self.world_size = get_dist_info()  # each process takes its share
        self.seed, self.epoch = seed or 0, 0

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.shapes)
        return iter(order[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        return len(self.shapes[self.rank :: self.world_size])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next, so that a resumed training goes on with it."""
        self.epoch = epoch
