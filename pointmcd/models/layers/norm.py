"""Batch norm and the linear layer that ends in it, on rows (..., C)."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pointmcd import ops

Result = TypeVar("Result")
PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class BatchNorm(_BatchNorm):
    """Batch norm over all leading dimensions of (..., C), followed by a (leaky) ReLU or nothing.

    Parameters and buffers are those of ``torch.nn.BatchNorm1d``. torch's own kernel sums rows in plain
    float32 on the CPU, which costs up to three digits on the many rows of a grouped cloud;
    ``ops.batch_norm_act`` does not.

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Share of the new batch in the running statistics.

    Attributes:
        sync: Sum the batch statistics over all ranks, gradients included, once ``torch.distributed`` is
            initialised.
    """

    sync: bool = False
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)

    def forward(self, x: Tensor, negative_slope: float = 1.0) -> Tensor:
        """Normalise x (..., C), then scale what is negative (0 is ReLU, 1 nothing)."""
        return self.run(ops.batch_norm_act, x, negative_slope=negative_slope)

    def run(self, op: Callable[..., Result], *inputs: Tensor, **options: Any) -> Result:
        """Call an operation that contains this batch norm, such as ``ops.edge_conv``.

        Args:
            op: Takes ``inputs``, then weight, bias, running mean and running variance, and by keyword
                training, momentum, eps and group.
            inputs: What comes before the norm's tensors.
            options: Further keyword arguments of ``op``.
        """
        group = dist.group.WORLD if self.sync and dist.is_initialized() else None
        return run_norm(self, op, *inputs, group=group, **options)

    def _check_input_dim(self, input: Tensor) -> None:
        """Refuse nothing: any number of leading dimensions will do."""


def run_norm(norm: _BatchNorm, op: Callable[..., Result], *inputs: Tensor, **options: Any) -> Result:
    """Call an operation that contains a batch norm, ours or torch's with parameters and statistics.

    Args:
        norm: The layer, which counts the batch.
        op: As ``BatchNorm.run``, and the others.
        inputs: Likewise.
        options: Likewise.
    """
    if norm.training:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
    return op(
        *inputs,
        norm.weight,
        norm.bias,
        norm.running_mean,
        norm.running_var,
        training=norm.training,
        momentum=norm.momentum,
        eps=norm.eps,
        **options,
    )


def synchronize(norm: _BatchNorm) -> bool:
    """Let a batch norm take its statistics in training over all ranks, gradients included, on any device.

    Of torch's own, ``torch.nn.SyncBatchNorm`` would need CUDA. timm's batch norms, which end in an
    activation, are known too.

    Returns:
        Whether it does; False of one that has no parameters or running statistics, or of an unknown kind.
    """
    if isinstance(norm, BatchNorm):
        norm.sync = True
        return True
    if not is_known_norm(norm):
        return False
    norm.forward = partial(_synchronized, norm)  # type: ignore[method-assign]
    return True


def is_known_norm(norm: _BatchNorm) -> bool:
    """Return whether this is a batch norm of torch or timm with parameters and running statistics."""
    known = type(norm) in PLAIN_NORMS or type(norm).__name__ == "BatchNormAct2d"
    return known and norm.affine and norm.track_running_stats and norm.momentum is not None


def _synchronized(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Return what a batch norm of torch makes of (B, C, ...)."""
    if not norm.training or not dist.is_initialized():
        return type(norm).forward(norm, x)
    rows, group = x.movedim(1, -1), dist.group.WORLD
    y = run_norm(norm, ops.batch_norm_act, rows, negative_slope=1.0, group=group).movedim(-1, 1)
    for name in ("drop", "act"):  # timm's
        y = getattr(norm, name, nn.Identity())(y)
    return y


class LinearNormAct(nn.Module):
    """Linear, batch norm, (leaky) ReLU on rows (..., in): a layer of a shared MLP or a fully connected one.

    Args:
        in_channels: Input width.
        out_channels: Output width.
        bias: Give the linear layer a bias, which batch norm cancels.
        negative_slope: 0 is ReLU, 0.2 the leaky ReLU of DGCNN, 1 no activation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = False, negative_slope: float = 0.0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=bias)
        self.norm = BatchNorm(out_channels)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        y = ops.linear(x, self.linear.weight) if self.linear.bias is None else self.linear(x)
        return self.norm_act(y)

    def norm_act(self, y: Tensor) -> Tensor:
        """Return what follows the linear layer, for one that took another way to y (..., out)."""
        return self.norm(y, self.negative_slope)

    def linear_after(self, before: "LinearNormAct", y: Tensor) -> Tensor:
        """Return ``self.linear(before.norm_act(y))``, of which only y (..., in) is stored."""
        self._without_bias("linear_after")
        slope = before.negative_slope
        return before.norm.run(ops.norm_act_linear, y, self.linear.weight, negative_slope=slope)

    def pool(
        self,
        x: Tensor,
        visibility: Tensor | None = None,
        num_views: int = 0,
        before: "LinearNormAct | None" = None,
    ) -> Tensor:
        """Pool ``self(x)`` by ``ops.visibility_pool``, with the maximum over all last, and never store it.

        Args:
            x: (B, M, in).
            visibility: (B, M) int32 bit masks, or None for the global maximum alone.
            num_views: V.
            before: The layer before this one, where ``x`` is the output of its linear part: its norm and
                activation come first.

        Returns:
            (B, V + 1, out), the maximum over all rows last.

        Raises:
            ValueError: The layer has a bias, which batch norm would cancel.
        """
        self._without_bias("pool")
        first = before and before.norm.run(ops.Norm, negative_slope=before.negative_slope)
        return self.norm.run(
            ops.linear_norm_pool,
            x,
            self.linear.weight,
            visibility=visibility,
            num_views=num_views,
            negative_slope=self.negative_slope,
            before=first,
        )

    def _without_bias(self, what: str) -> None:
        if self.linear.bias is not None:
            raise ValueError(
                f"LinearNormAct.{what} needs a layer without bias, which batch norm would cancel"
            )

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


def pool_edges(edges: Tensor, layers: Sequence[LinearNormAct]) -> Tensor:
    """Take the maximum over k edges of what a shared MLP makes of each; one tensor a layer is stored.

    Args:
        edges: (B, M, k, C) output of the linear part of the first layer.
        layers: Two at least.

    Returns:
        (B, M, O).
    """
    *first, before, last = layers
    y = edges
    for layer, after in pairwise([*first, before]):
        y = after.linear_after(layer, y)
    return last.pool(y.flatten(0, 1), before=before).view(*edges.shape[:2], -1)


def shared_mlp(*widths: int, negative_slope: float = 0.0) -> nn.Sequential:
    """Make ``LinearNormAct`` layers from each width to the next, for rows (..., widths[0])."""
    layers = (LinearNormAct(i, o, negative_slope=negative_slope) for i, o in pairwise(widths))
    return nn.Sequential(*layers)
