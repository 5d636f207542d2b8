"""Linear layer, batch norm, ReLU and visibility pooling in one, for features that nothing but the pooling reads."""

import torch
from torch import Tensor

from ._checks import check_index, check_rows, computable
from .batch_norm_act import Group, Norm, affine_act, affine_act_sums, check_norm
from .dispatch import kernel
from .edge_conv import sign_of
from .visibility_pool import _pool, add_global_view, check_views


def linear_norm_pool(
    x: Tensor,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    visibility: Tensor | None,
    num_views: int,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    group: Group = None,
) -> Tensor:
    """``visibility_pool(relu(norm(x @ weight.T)), visibility, num_views, with_global=True)``, pooled before the norm.

    Norm and ReLU grow with their argument (a negative scale has its sign moved into ``weight``), so that
    pooling the linear layer's output and normalising what is left is exact. Its statistics come from the mean
    and covariance of ``x``. The gradient at that output is a few entries plus ``slope * y + offset`` in every
    row, which needs no pass over (B, M, O) either; neither the output nor its activation is kept.

    Args:
        x: (B, M, I) floating point, M >= 1.
        weight: (O, I).
        norm_weight: (O,) scale of the batch norm; may be negative. Other arguments of the norm as in
            ``batch_norm_act``.
        visibility: (B, M) int32 bit masks, or None, which goes with ``num_views = 0``: the global maximum
            alone.
        num_views: V, at most 31.

    Returns:
        (B, V + 1, O), the maximum over all points last; dtype of ``x``. A view that sees no point gives
        zeros.

    Raises:
        ValueError: A shape, dtype or number of views does not fit, or ``training`` with fewer than two rows.
    """
    check_rows("x", x, ("B", "M", "I"))
    check_rows("weight", weight, ("O", x.shape[2]))
    check_norm(len(weight), norm_weight, norm_bias, running_mean, running_var)
    check_views(num_views + 1)
    if x.shape[1] == 0:
        raise ValueError(f"x must hold at least one point, got shape {tuple(x.shape)}")
    if visibility is None:
        if num_views:
            raise ValueError(f"visibility is None, but num_views is {num_views}")
        visibility = torch.zeros(x.shape[:2], dtype=torch.int32, device=x.device)
    check_index("visibility", visibility, tuple(x.shape[:2]), torch.int32)
    sign = sign_of(norm_weight.detach())
    norm = Norm(norm_weight * sign, norm_bias, running_mean, running_var, training, momentum, eps, 0.0, group)
    signed = (weight * sign[:, None]).to(x.dtype)
    masks = add_global_view(visibility, num_views)
    with torch.autocast(x.device.type, enabled=False):  # types are chosen here, and stay as they are inside
        return _LinearNormPool.apply(
            computable(x), computable(signed), norm.weight, norm_bias, masks, num_views + 1, norm, sign
        ).to(x.dtype)


class _LinearNormPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, norm_weight, norm_bias, masks, views, norm, sign):
        pooled, source = _pool(x @ weight.T, masks, views, 0)
        mean_x, gram, sums = None, None, None
        if norm.training:
            mean_x, gram = covariance(x)
            mean_y = weight.double() @ mean_x.double() * sign
            squares = (weight @ gram * weight).sum(1).double()
            count = x.shape[0] * x.shape[1]
            sums = torch.stack([mean_y * count, squares + mean_y * mean_y * count])
        mean, inv, count = norm.statistics(sums, x.shape[0] * x.shape[1])
        mean = mean * sign
        scale, shift = norm.affine(mean, inv, x.dtype)
        ctx.norm, ctx.count = norm, count
        ctx.save_for_backward(x, weight, pooled, source, scale, shift, mean, inv, mean_x, gram)
        out = affine_act(pooled.view(-1, len(weight)), scale, shift, 0.0).view(pooled.shape)
        return out.masked_fill_(source < 0, 0)

    @staticmethod
    def backward(ctx, grad):
        x, weight, pooled, source, scale, shift, mean, inv, mean_x, gram = ctx.saved_tensors
        norm = ctx.norm
        grad = grad.masked_fill(source < 0, 0)
        rows, pooled_rows = grad.view(-1, len(weight)), pooled.view(-1, len(weight))
        sums = affine_act_sums(rows, pooled_rows, scale, shift, 0.0)
        g = norm.gradients(sums, mean, inv, ctx.count)
        at_max = torch.where(torch.addcmul(shift, pooled, scale) > 0, grad * scale, 0)
        dx, dw = pool_scatter(at_max, source, x, weight)
        if norm.training:
            # every row has slope * (y - mean_y) + offset more; y = W (x - mean_x) + W mean_x keeps its digits
            slope = g.slope.to(x.dtype)
            offset = (g.offset + g.slope * (weight.double() @ mean_x.double())).to(x.dtype)
            gram_weight = weight.T @ (slope[:, None] * weight)
            dx = dx.view(-1, x.shape[2])
            dx += offset @ weight - gram_weight @ mean_x
            dx.addmm_(x.view(-1, x.shape[2]), gram_weight)
            count = x.shape[0] * x.shape[1]
            dw = dw.addmm_(slope[:, None] * weight, gram).addr_(offset, mean_x, alpha=count)
        return dx.view(x.shape), dw, g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), *[None] * 4


def covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (I,) of x (B, M, I) over all rows, and the sum of the outer products of the rows less it, (I, I)."""
    mean = x.mean((0, 1), dtype=torch.float64).to(x.dtype)
    gram = x.new_zeros(x.shape[2], x.shape[2])
    for cloud in x:  # one cloud less its mean stays in cache
        centered = cloud - mean
        gram.addmm_(centered.T, centered)
    return mean, gram


@kernel(
    "pool_scatter(Tensor grad, Tensor source, Tensor x, Tensor weight) -> (Tensor, Tensor)",
    lambda grad, source, x, weight: (
        torch.empty_like(x, memory_format=torch.contiguous_format),
        torch.empty_like(weight, memory_format=torch.contiguous_format),
    ),
)
def pool_scatter(grad: Tensor, source: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x (B, M, I) and weight (O, I) where y = x @ weight.T has the gradient ``grad`` (B, V, O) at ``source``.

    ``source`` (B, V, O) int32 names the point of each entry; entries of -1 count nothing.
    """
    (batch, points, features), channels = x.shape, len(weight)
    if grad.numel() == 0:
        return torch.zeros_like(x), torch.zeros_like(weight)
    grad = grad.masked_fill(source < 0, 0)
    base = points * torch.arange(batch, device=x.device)[:, None, None]
    rows = (source.clamp_min(0) + base).view(-1, channels)
    bag = torch.nn.functional.embedding_bag
    by_channel = grad.view(-1, channels).T.contiguous()
    dw = bag(rows.T.contiguous(), x.reshape(-1, features), mode="sum", per_sample_weights=by_channel)
    order = torch.argsort(rows.flatten(), stable=True)
    counts = torch.bincount(rows.flatten(), minlength=batch * points)
    dx = bag(
        order % channels,
        weight,
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=grad.flatten()[order],
    )
    return dx.view(x.shape), dw
