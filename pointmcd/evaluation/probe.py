"""A linear probe: multinomial logistic regression on frozen features, and logits that saw no answer."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

REGULARISATIONS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Values of C tried by default: inverse strength of the L2 penalty, as scikit-learn defines it."""
FEW = 1e-6  # variance below which a channel says nothing


class Probe(NamedTuple):
    """``softmax(features @ weight + bias)``; classes that it was not shown are as good as impossible."""

    weight: np.ndarray  # (C, K) float64
    bias: np.ndarray  # (K,)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Map (S, C) to (S, K) float64."""
        return np.asarray(features, np.float64) @ self.weight + self.bias


class Standardizer(NamedTuple):
    """Mean and standard deviation of each channel; constant channels become 0."""

    mean: np.ndarray  # (C,)
    std: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standardizer":
        """Fit to features (S, C)."""
        std = features.std(0, dtype=np.float64)
        return cls(features.mean(0, dtype=np.float64), np.where(std > FEW, std, np.inf))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map (..., C) to (..., C) float64."""
        return (features - self.mean) / self.std


def fit_probe(features: np.ndarray, labels: np.ndarray, num_classes: int, regularisation: float) -> Probe:
    """Fit one probe.

    The penalty pulls the weights into the span of the features, so that they are fitted in its coordinates:
    the same probe, and as many unknowns as shapes at most.

    Args:
        features: (S, C), standardised.
        labels: (S,) classes in [0, K).
        num_classes: K.
        regularisation: C, inverse strength of the L2 penalty.

    Raises:
        ValueError: There is but one class.
    """
    return _fit_path(features, labels, num_classes, [regularisation])[0]


def cross_fitted_logits(
    features: np.ndarray,
    labels: np.ndarray,
    numbers: np.ndarray,
    num_classes: int,
    regularisations: Sequence[float],
) -> np.ndarray:
    """Return the logits of each shape by a probe that was trained on the other folds alone.

    Args:
        features: (S, C), standardised.
        labels: (S,) classes in [0, K).
        numbers: (S,) of ``label_choice.fold_numbers``.
        num_classes: K.
        regularisations: R values of C.

    Returns:
        (R, S, K) float64; NaN for shapes in no fold.
    """
    logits = np.full((len(regularisations), len(labels), num_classes), np.nan)
    for fold in range(numbers.max(initial=-1) + 1):
        inside = numbers == fold
        probes = _fit_path(features[~inside], labels[~inside], num_classes, regularisations)
        for number, probe in enumerate(probes):
            logits[number, inside] = probe.logits(features[inside])
    return logits


def choose_regularisation(logits: np.ndarray, labels: np.ndarray, regularisations: Sequence[float]) -> int:
    """Return the place of the value under which unseen shapes are likeliest: the least mean cross-entropy.

    Args:
        logits: (R, S, K) of ``cross_fitted_logits``.
        labels: (S,).
        regularisations: The R values; the one nearest to 0.03 where no shape is in a fold.
    """
    known = ~np.isnan(logits[0, :, 0])
    if not known.any():
        return int(np.argmin(np.abs(np.log(np.asarray(regularisations) / 3e-2))))
    losses = [cross_entropy(one[known], labels[known]) for one in logits]
    return int(np.argmin(losses))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of ``-log softmax(logits)[label]``."""
    top = logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(labels)), labels]).mean())


def _fit_path(
    features: np.ndarray, labels: np.ndarray, num_classes: int, regularisations: Sequence[float]
) -> list[Probe]:
    """Return a probe for each C, the strongest penalty first, each starting where the last ended."""
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError("a probe needs labelled shapes of at least two classes")
    centre = features.mean(0, dtype=np.float64)
    left, scale, basis = np.linalg.svd(features - centre, full_matrices=False)
    kept = scale > scale[0] * 1e-9
    if not kept.any():
        raise ValueError(
            "the features of all labelled shapes are the same: a network sees nothing in images so small or "
            "so plain; give it larger ones (--input-size)"
        )
    inner, basis = (left[:, kept] * scale[kept]).astype(np.float32), basis[kept]
    model = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
    probes: list[Probe | None] = [None] * len(regularisations)
    for place in np.argsort(regularisations):
        model.C = regularisations[place]
        with warnings.catch_warnings():  # few shapes of many classes are what folds of few labels have
            warnings.filterwarnings("ignore", "The number of unique classes")
            model.fit(inner, labels)
        weight, bias = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if len(classes) == 2:  # one row of odds
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        full = np.zeros((basis.shape[1], num_classes))
        full[:, classes] = (weight @ basis).T
        offset = np.full(num_classes, bias.min() - 30)  # of a class that was not shown
        offset[classes] = bias - centre @ full[:, classes]
        probes[place] = Probe(full, offset)
    return probes  # type: ignore[return-value]
