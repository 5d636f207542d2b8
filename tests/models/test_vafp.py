"""VAFP against its formula."""

import pytest
import torch

from pointmcd.models.layers import LinearNormAct
from pointmcd.models.necks import VAFP


def formula(feats, visible):
    """G[b, v] = max_n(V[b, n, v] * E[b, n]), the multiplication first."""
    return (visible.unsqueeze(-1) * feats.unsqueeze(2)).amax(1)


def masks_of(visible):
    bits = 2 ** torch.arange(visible.shape[2])
    return (visible.long() * bits).sum(2).to(torch.int32)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(3)
    feats = torch.rand(2, 30, 8, dtype=torch.float64, generator=generator)
    visible = torch.rand(2, 30, 5, generator=generator) < 0.4
    visible[0, :, 1] = False  # a view that sees nothing
    visible[1, :, 2] = True  # a view that sees everything
    visible[1, 7] = False  # a point that no view sees
    return feats, visible


def test_is_the_formula(case):
    feats, visible = case
    pooled = VAFP(5)(feats, masks_of(visible))
    assert torch.equal(pooled, formula(feats, visible))
    assert not pooled[0, 1].any()


def test_global_maximum_is_one_more_view(case):
    feats, visible = case
    pooled = VAFP(5)(feats, masks_of(visible), with_global=True)
    assert torch.equal(pooled[:, :-1], formula(feats, visible))
    assert torch.equal(pooled[:, -1], feats.amax(1))


def test_point_index_says_whose_masks_count(case):
    feats, visible = case
    index = torch.tensor([[3, 3, 9], [7, 0, 29]])
    kept = feats.gather(1, index.unsqueeze(-1).expand(-1, -1, 8))
    rows = visible.gather(1, index.unsqueeze(-1).expand(-1, -1, 5))
    assert torch.equal(VAFP(5)(kept, masks_of(visible), index), formula(kept, rows))


def test_joint_permutation_changes_nothing(case):
    feats, visible = case
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    first = VAFP(5)(feats, masks_of(visible))
    assert torch.equal(first, VAFP(5)(feats[:, order], masks_of(visible[:, order])))


def test_gradient(case):
    feats, visible = case
    feats = feats[:, :6].clone().requires_grad_()
    masks = masks_of(visible[:, :6])
    assert torch.autograd.gradcheck(lambda x: VAFP(5)(x, masks, with_global=True), feats)


@pytest.mark.parametrize("training", [True, False])
def test_pooling_before_the_batch_norm_is_the_same(case, training):
    feats, visible = case
    torch.manual_seed(1)
    fusion = LinearNormAct(8, 6).double().train(training)
    with torch.no_grad():
        fusion.norm.weight[::2].neg_()
        fusion.norm.running_mean.normal_()
    masks = masks_of(visible)
    state = {key: value.clone() for key, value in fusion.state_dict().items()}
    dense = VAFP(5)(fusion(feats), masks, with_global=True)
    updated = {key: value.clone() for key, value in fusion.state_dict().items()}
    fusion.load_state_dict(state)
    pooled = VAFP(5).pool_hidden(feats, fusion, masks)
    torch.testing.assert_close(pooled, dense, rtol=1e-10, atol=1e-12)
    for key, value in fusion.state_dict().items():
        torch.testing.assert_close(value, updated[key])


def test_views_must_fit_the_mask():
    with pytest.raises(ValueError, match="num_views is 32"):
        VAFP(32)
