"""In which order a training sees the shapes."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.registry import DATA_SAMPLERS

ROUNDING = 1e-9  # 0.9 + 0.1 is 1, but 1 - 0.9 is not 0.1


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


@DATA_SAMPLERS.register_module()
class LabelledShareSampler(Sampler[int]):
    """Mix labelled shapes with any shapes, at a fixed share of each batch.

    Labelled draws and draws of any shape take turns, so that every run of consecutive draws has the share,
    whatever the batch size. Each of the two goes through its shapes in a new random order again and again.
    Where all shapes are labelled, an epoch is one random order of them.

    An epoch has as many draws as there are shapes, labelled or not, unless told otherwise, and so as many
    steps for a baseline that learns from the labelled alone (``share=1``); shapes of further sets
    (``JoinedShapes``) make it no longer. The draws are a function of (seed, epoch); the processes of a
    distributed training share them out.

    Args:
        dataset: The shapes, with ``labelled`` (S,) bool.
        share: Of each batch, in [0, 1], that is drawn from the labelled shapes; the others are any, so that
            labelled ones may be among them.
        further_share: Of each batch that is drawn from the further sets of ``JoinedShapes``; the any are then
            those of the first set. None: any are of all sets alike.
        num_samples: Draws of an epoch, of all processes together; None for as many as there are shapes (of
            the first set).
        seed: Of the draws; the Runner hands its own.

    Raises:
        ValueError: A share is not in [0, 1], or both are more than 1, or no shape is labelled, or there are
            no further sets.
    """

    def __init__(
        self,
        dataset: PreparedShapes,
        share: float = 0.5,
        num_samples: int | None = None,
        seed: int | None = None,
        further_share: float | None = None,
    ) -> None:
        self.labelled = np.flatnonzero(dataset.labelled)
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}, must be 0 to 1")
        if share > 0 and not len(self.labelled):
            raise ValueError("no shape of the dataset is labelled; give share=0")
        self.any, self.further = np.arange(len(dataset)), np.empty(0, np.int64)
        self.further_share = further_share or 0.0
        if further_share is not None:
            if not 0 <= further_share <= 1 - share + ROUNDING:
                raise ValueError(f"further_share is {further_share}, must be 0 to 1 - share ({1 - share:g})")
            is_further = getattr(dataset, "is_further", np.zeros(len(dataset), bool))
            self.any, self.further = np.flatnonzero(~is_further), np.flatnonzero(is_further)
            if further_share and not len(self.further):
                raise ValueError("further_share needs further sets: give the dataset the type JoinedShapes")
        self.share = share if len(self.labelled) < len(dataset) else 0.0
        self.rank, self.world_size = get_dist_info()
        total = getattr(dataset, "epoch_size", len(dataset)) if num_samples is None else num_samples
        self.num_samples = -(-total // self.world_size)
        self.seed = seed or 0
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        takes_labelled = _turns(self.num_samples, self.share)
        takes_further = np.zeros(self.num_samples, bool)
        rest = int((~takes_labelled).sum())
        takes_further[~takes_labelled] = _turns(
            rest, min(self.further_share / max(1 - self.share, ROUNDING), 1.0)
        )
        takes_any = ~takes_labelled & ~takes_further
        drawn = np.empty(self.num_samples, np.int64)
        streams = (takes_labelled, self.labelled), (takes_any, self.any), (takes_further, self.further)
        for stream, (taken, shapes) in enumerate(streams):
            number = int(taken.sum())
            order = self._order(shapes, number * self.world_size, stream)
            drawn[taken] = order[self.rank :: self.world_size]
        return iter(drawn.tolist())

    def _order(self, shapes: np.ndarray, number: int, stream: int) -> np.ndarray:
        """Return so many draws: one random order of the shapes after the other."""
        generator = np.random.default_rng((self.seed, self.epoch, stream))
        rounds = -(-number // max(len(shapes), 1))
        orders = [generator.permutation(shapes) for _ in range(rounds)]
        return np.concatenate([np.empty(0, np.int64), *orders])[:number]

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws come next; called by ``DistSamplerSeedHook``."""
        self.epoch = epoch


def _turns(count: int, share: float) -> np.ndarray:
    """Return (count,) bool, evenly spread: whose turn it is of two, of which one has that share."""
    return np.diff(np.floor(np.arange(count + 1) * share + ROUNDING)) > 0
