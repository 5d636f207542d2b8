"""Losses against their formulas."""

import pytest
import torch

from pointmcd.models.losses import DISTANCES, descriptor_distance, smoothed_cross_entropy, soft_kl


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
