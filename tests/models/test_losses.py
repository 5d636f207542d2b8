"""Losses against their formulas."""

import math
from itertools import permutations

import pytest
import torch

from pointmcd.models.losses import (
    DISTANCES,
    descriptor_distance,
    earth_mover_distance,
    smoothed_cross_entropy,
    soft_kl,
)


def test_smoothed_cross_entropy_is_the_explicit_sum():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 7, dtype=torch.float64), torch.tensor([0, 6, 3, 3, 1])
    target = torch.full((5, 7), 0.2 / 6, dtype=torch.float64)
    target[torch.arange(5), labels] = 0.8
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smoothed_cross_entropy(logits, labels, 0.2), expected)


def test_without_smoothing_it_is_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 2, 7), torch.randint(7, (5, 2))
    expected = torch.nn.functional.cross_entropy(logits.reshape(10, 7), labels.reshape(10))
    torch.testing.assert_close(smoothed_cross_entropy(logits, labels, 0.0), expected)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_vanish_on_equal_descriptors_only(name):
    torch.manual_seed(0)
    teacher = torch.rand(2, 3, 8, dtype=torch.float64)
    assert descriptor_distance(name)(teacher, teacher).abs() < 1e-12
    student = (teacher + torch.rand_like(teacher)).requires_grad_()
    assert torch.autograd.gradcheck(descriptor_distance(name), (student, teacher))
    assert descriptor_distance(name)(student, teacher) > 1e-3


def test_soft_kl_is_the_explicit_sum():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5, dtype=torch.float64)
    p, q = (teacher / 3).softmax(1), (student / 3).softmax(1)
    torch.testing.assert_close(soft_kl(student, teacher, 3.0), 9 * (p * (p / q).log()).sum(1).mean())


def test_unknown_distance_is_named():
    with pytest.raises(ValueError, match=r"'l3' is not known; choose one of l1"):
        descriptor_distance("l3")


def test_what_is_not_known_counts_for_nothing():
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    labels = torch.tensor([2, -1, 0, -1, 3, 1])
    known = labels >= 0
    loss = smoothed_cross_entropy(logits, labels, 0.2)
    torch.testing.assert_close(loss, smoothed_cross_entropy(logits[known], labels[known], 0.2))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[~known] == 0).all()
    assert (gradient[known].abs().amax(1) > 0).all()
    nothing = smoothed_cross_entropy(logits, torch.full((6,), -1), 0.2)
    assert nothing == 0
    assert (torch.autograd.grad(nothing, logits)[0] == 0).all()


def test_weighted_kl_by_hand():
    """Two rows of two classes, of which the second counts for nothing."""
    student = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    teacher = torch.tensor([[math.log(3.0), 0.0], [0.0, 5.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert soft_kl(student, teacher, weight=torch.tensor([1.0, 0.0])) == pytest.approx(expected, rel=1e-5)
    assert soft_kl(student, teacher, weight=torch.zeros(2)) == 0
    half = 0.5 * soft_kl(student[:1], teacher[:1], 2.0) + 0.5 * soft_kl(student[1:], teacher[1:], 2.0)
    torch.testing.assert_close(soft_kl(student, teacher, 2.0), half)


def test_earth_movers_take_the_best_of_all_assignments():
    torch.manual_seed(0)
    first, second = torch.randn(3, 5, 3).double(), torch.randn(3, 5, 3).double()
    found = [
        min((one - other[list(order)]).norm(dim=1).mean() for order in permutations(range(5)))
        for one, other in zip(first, second, strict=True)
    ]
    torch.testing.assert_close(earth_mover_distance(first, second), torch.stack(found).mean())
    assert torch.autograd.gradcheck(earth_mover_distance, (first.requires_grad_(), second.requires_grad_()))
    same = earth_mover_distance(first, first.detach()[:, torch.randperm(5)])
    same.backward()
    assert same.item() == 0
    assert first.grad.isfinite().all()
