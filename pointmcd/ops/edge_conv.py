"""EdgeConv with one linear layer, rewritten so that nothing is stored per edge (exact)."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_count, check_index, check_rows, wide
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.norm import Group, Norm, affine_act, affine_act_sums, check_norm, positive_norm, through_act
from pointmcd.ops.products import product, rounds_inputs, without_autocast
from pointmcd.ops.rows import as_rows, bag_max, check_range, chunks, flat_rows, has_odd


def edge_conv(
    x: Tensor,
    neighbors: Tensor,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.2,
    group: Group = None,
) -> Tensor:
    """Return max over the neighbours j of ``leaky_relu(norm(W [x_i, x_j - x_i]))`` (DGCNN, 2019, equation 8).

    With W = [W1, W2] an edge's value is ``P_i + Q_j``, ``P = (W1 - W2) x`` and ``Q = W2 x``, so one linear
    layer on the points replaces that on the edges. Normalisation and activation grow with their argument (for
    a negative scale they fall: its sign is moved into W), so the maximum is taken before them. Statistics run
    over the edges.

    Args:
        x: (B, N, C) floating point; half precision is computed in float32.
        neighbors: (B, N, k) int64 in [0, N), k >= 1; an index may occur twice and then counts twice.
        weight: (O, 2C), acting on [x_i, x_j - x_i].
        norm_weight: (O,) scale of the batch norm; may be negative. The remaining arguments as in
            ``batch_norm_act``.

    Returns:
        (B, N, O), dtype of ``x``. Of neighbours with equal values one takes the gradient. NaN where the point
        or one of its neighbours has a NaN (in training everywhere, as the statistics are).

    Raises:
        IndexError: A neighbour is out of range; on CUDA the device reports it, later.
        ValueError: A shape, dtype or device does not fit, ``negative_slope`` is negative, or ``training``
            with fewer than two edges.
    """
    check_rows("x", x, ("B", "N", "C"))
    check_index("neighbors", neighbors, (*x.shape[:2], "k"))
    check_count("the number of neighbors", neighbors.shape[2])
    channels = x.shape[2]
    check_rows("weight", weight, ("O", 2 * channels))
    others = {"x": x, "neighbors": neighbors, "weight": weight}
    check_norm(len(weight), norm_weight, norm_bias, running_mean, running_var, others)
    first, second = weight[:, :channels], weight[:, channels:]
    options = (running_mean, running_var, training, momentum, eps, negative_slope, group)
    norm, sign = positive_norm(norm_weight, norm_bias, *options)
    # In half precision P + Q would lose most of what tells an edge's ends apart.
    real = wide(x.dtype)
    rounds = rounds_inputs(x)
    with without_autocast(x):
        both = (torch.cat([first - second, second]) * sign.repeat(2)[:, None]).to(real)
        rows = x.to(real)
        # Far from the origin any precision would lose it. Without the points' mean that cannot happen, and of
        # the mean only W1's part is left in an edge.
        center = rows.detach().sum((0, 1)) / max(rows.shape[0] * rows.shape[1], 1)
        center = center.where(center.isfinite(), 0)  # a NaN is its own point's alone
        constant = (first.to(real) @ center) * sign
        bias = torch.cat([constant, torch.zeros_like(constant)])
        args = (rows, center, both, bias, norm.weight, norm_bias, neighbors, norm, sign, rounds)
        return _EdgeConv.apply(*args).to(x.dtype)


class _EdgeConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        center: Tensor,
        both: Tensor,
        bias: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        neighbors: Tensor,
        norm: Norm,
        sign: Tensor,
        rounds: bool,
    ) -> Tensor:
        pq = product(as_rows(x - center), both.T, rounds).add_(bias).view(*x.shape[:2], len(both))
        extremum, argmax, sums = edge_max(pq, neighbors)
        mean, inv, count = norm.signed_statistics(sums, neighbors.numel(), sign)
        scale, shift = norm.affine(mean, inv, pq.dtype)
        ctx.norm, ctx.count, ctx.rounds = norm, count, rounds
        # x is kept by others too; less its mean it would be one tensor more
        ctx.save_for_backward(x, center, both, pq, neighbors, extremum, argmax, scale, shift, mean, inv)
        return affine_act(as_rows(extremum), scale, shift, norm.negative_slope).view(extremum.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with without_autocast(grad):
            x, center, both, pq, neighbors, extremum, argmax, scale, shift, mean, inv = ctx.saved_tensors
            norm, grad = ctx.norm, grad.contiguous()  # once: a slice of what ``cat`` was given
            sums = affine_act_sums(as_rows(grad), as_rows(extremum), scale, shift, norm.negative_slope)
            g = norm.gradients(sums, mean, inv, ctx.count)
            affine = torch.stack([scale, shift, g.slope.to(scale.dtype), g.offset.to(scale.dtype)])
            dpq = edge_max_backward(grad, pq, neighbors, extremum, argmax, affine, norm.negative_slope)
            dpq = as_rows(dpq)
            dx = product(dpq, both, ctx.rounds).view(x.shape) if ctx.needs_input_grad[0] else None
            dboth, dbias = product(dpq.T, as_rows(x - center), ctx.rounds), dpq.sum(0)
            dweight, dshift = g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype)
            return dx, None, dboth, dbias, dweight, dshift, None, None, None, None


def _fake_edge_max(pq: Tensor, neighbors: Tensor) -> tuple[Tensor, ...]:
    batch, points, both = pq.shape
    shape = (batch, points, both // 2)
    return (
        pq.new_empty(shape),
        pq.new_empty(shape, dtype=torch.int32),
        pq.new_empty(2, both // 2, dtype=torch.float64),
    )


def _flat(neighbors: Tensor) -> tuple[Tensor, Tensor]:
    """Return neighbours as rows of the flattened (B * N) points, and where each point's begin."""
    _, points, k = neighbors.shape
    starts = torch.arange(0, neighbors.numel(), max(k, 1), device=neighbors.device)
    return flat_rows(neighbors, points).flatten(), starts


def _halves(pq: Tensor) -> list[Tensor]:
    """Return P and Q, each dense: over strided rows embedding_bag takes twice as long."""
    return [half.contiguous() for half in as_rows(pq).chunk(2, 1)]


@kernel("edge_max(Tensor pq, Tensor neighbors) -> (Tensor, Tensor, Tensor)", _fake_edge_max)
def edge_max(pq: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take the maximum over the neighbours j of y_ij = P_i + Q_j for pq = [P, Q] (B, N, 2O).

    Returns:
        The maxima (B, N, O); the neighbour that gave each, (B, N, O) int32 in [0, N); and the sums over all
        edges of y and of y * y, (2, O) float64.
    """
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    shape = (batch, points, channels)
    if batch * points * channels == 0:
        empty = pq.new_zeros(shape)
        return empty, empty.int(), pq.new_zeros(2, channels, dtype=torch.float64)
    check_range("neighbors", neighbors, points)
    p, q = _halves(pq)
    members, starts = _flat(neighbors)
    q_max, argmax = _max_of_members(q, members, starts, k)
    q_sum = torch.ops.aten._embedding_bag(q, members, starts, False, 0)[0]
    degree = torch.bincount(members, minlength=len(p)).double()
    sums = pq.new_zeros(2, channels, dtype=torch.float64)
    for part in chunks(p):
        own, sent, received = p[part].double(), q[part].double(), q_sum[part].double()
        edges = torch.add(received, own, alpha=k)
        sums[0] += edges.sum(0)
        sums[1] += edges.add_(received).mul_(own).sum(0) + degree[part] @ (sent * sent)
    return (p + q_max).view(shape), (argmax.view(shape) % points).int(), sums


_ROW = 2**28  # so small a number in a float64's last bits does not change the float32 that it rounds to


def _max_of_members(q: Tensor, members: Tensor, starts: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the maximum over each point's k rows of q (R, O), and the row that gave it."""
    if q.is_cuda or q.dtype != torch.float32 or len(q) > _ROW or has_odd(q):
        return bag_max(q, members, starts)
    # embedding_bag's maximum is scalar code, amax is not: float64 has room for the row below the value's bits
    keys = q.double()
    keys.view(torch.int64).bitwise_or_(torch.arange(len(q))[:, None])
    best = torch.empty_like(keys)
    step = max(1, 2**16 // (k * q.shape[1]))
    buffer = keys.new_empty(step * k, q.shape[1])
    for first in range(0, len(q), step):
        rows = members[first * k : (first + step) * k]
        gathered = torch.index_select(keys, 0, rows, out=buffer[: len(rows)])
        torch.amax(gathered.view(-1, k, q.shape[1]), 1, out=best[first : first + step])
    return best.float(), best.view(torch.int64).bitwise_and_(_ROW - 1)


@kernel(
    "edge_max_backward(Tensor grad, Tensor pq, Tensor neighbors, Tensor extremum, Tensor argmax, "
    "Tensor affine, float negative_slope) -> Tensor",
    lambda grad, pq, *_: torch.empty_like(pq, memory_format=torch.contiguous_format),
)
def edge_max_backward(
    grad: Tensor,
    pq: Tensor,
    neighbors: Tensor,
    extremum: Tensor,
    argmax: Tensor,
    affine: Tensor,
    negative_slope: float,
) -> Tensor:
    """Return the gradient at pq (B, N, 2O) of ``leaky_relu(scale * edge_max(pq) + shift)`` over edges.

    ``affine`` is [scale, shift, slope, offset] (4, O): every edge's gradient is ``slope * y + offset``, and
    that of the edge that gave the maximum has ``scale * g`` more.
    """
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    if batch * points * channels == 0:
        return torch.zeros_like(pq)
    scale, shift, slope, offset = affine
    g = (through_act(grad, extremum, scale, shift, negative_slope) * scale).contiguous()
    p, q = _halves(pq)
    members, starts = _flat(neighbors)
    q_sum = torch.ops.aten._embedding_bag(q, members, starts, False, 0)[0]
    # the graph turned round: who has point j as neighbour
    ordered, edges = torch.sort(members.int() if len(p) < 2**31 else members, stable=True)
    bounds = torch.searchsorted(ordered, torch.arange(len(p) + 1, dtype=ordered.dtype, device=p.device))
    p_sum = torch.ops.aten._embedding_bag(p, edges // k, bounds[:-1], False, 0)[0]
    degree = bounds.diff().to(q.dtype)
    g_sum = torch.zeros_like(g).scatter_add_(1, argmax.long(), g).view(-1, channels)
    dpq = torch.empty_like(pq, memory_format=torch.contiguous_format)
    dp, dq = dpq.view(-1, 2 * channels).split(channels, 1)
    torch.addcmul(offset * k, q_sum.add_(p, alpha=k), slope, out=dp).add_(g.view(-1, channels))
    torch.addcmul(g_sum, p_sum.addcmul_(q, degree[:, None]), slope, out=dq).addr_(degree, offset)
    return dpq
