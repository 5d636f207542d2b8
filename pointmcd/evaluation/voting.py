"""Voting: one prediction from the scores of several rescaled copies of a shape."""

import copy

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import is_model_wrapper
from torch import nn
from torch.utils.data import DataLoader

from pointmcd.datasets.transforms import RandomScale, scaled
from pointmcd.models.point_model import PointModel


@torch.inference_mode()
def vote(
    model: nn.Module, loader: DataLoader, metric: BaseMetric, votes: int, seed: int = 0
) -> dict[str, float]:
    """Evaluate with the mean probabilities over randomly scaled copies of each shape.

    Figures of several votes and of one pass do not compare: report both, and say which is which. Factors are
    drawn from the range that the network was trained with (its ``RandomScale``), seeded by the row of the
    split, so that neither batches nor the number of processes change them.

    Args:
        model: A student with a task head, on its own or in a distributed wrapper.
        loader: Batches of the split, this process's share.
        metric: The metric of the task; it is left as it is.
        votes: Copies of each shape, 1 or more.
        seed: Of the factors.

    Returns:
        What the metric says of the votes, in percent.

    Raises:
        ValueError: ``votes`` is less than 1, or the model has no task head or was trained without scaling.
    """
    if votes < 1:
        raise ValueError(f"votes is {votes}, must be at least 1")
    student = model.module if is_model_wrapper(model) else model
    if not isinstance(student, PointModel) or student.head is None:
        raise ValueError("only a student with a task head can vote over copies of its points")
    scale = _training_scale(student)
    metric = copy.deepcopy(metric)
    student.eval()
    for raw in loader:
        batch = student.data_preprocessor(raw, False)
        points = batch["points"]
        factors = np.stack([_factors(scale, votes, (seed, int(row))) for row in batch["index"]], 1)
        mean = torch.zeros(())
        for copies in torch.from_numpy(factors).to(points).unsqueeze(2):
            features = student(mode="tensor", **scaled(batch, copies))
            shares = features["logits"].float().softmax(-1) / votes
            mean = mean.to(shares) + shares
        # the head's own softmax makes these the mean probabilities again
        metric.process(batch, student.head.predict({"logits": mean.log()}, batch))
    return metric.evaluate(len(loader.dataset))  # type: ignore[arg-type]


def _training_scale(model: PointModel) -> RandomScale:
    for transform in model.data_preprocessor.transforms:
        if isinstance(transform, RandomScale):
            return transform
    raise ValueError(
        "the votes are scaled copies, but this network was trained without RandomScale (see "
        "model.data_preprocessor.transforms of its config), so there is no range to draw them from"
    )


def _factors(scale: RandomScale, votes: int, seed: tuple[int, int]) -> np.ndarray:
    """Return (votes, 3), or (votes, 1) where one factor holds for all axes."""
    return np.random.default_rng(seed).uniform(scale.low, scale.high, (votes, scale.width))
