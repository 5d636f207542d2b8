"""EdgeConv (Wang et al., Dynamic Graph CNN, section 3.1)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.models.layers.norm import LinearNormAct, pool_edges, shared_mlp


class EdgeConv(LinearNormAct):
    """``max_j act(norm(linear([x_i, x_j - x_i])))`` over the k nearest neighbours j of i in feature space.

    Args:
        in_channels: C; the linear layer takes 2 C.
        out_channels: O.
        k: Neighbours of a point, the point itself included; a cloud of fewer points is an error.
        negative_slope: Of the leaky ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, k: int, negative_slope: float = 0.2) -> None:
        super().__init__(2 * in_channels, out_channels, negative_slope=negative_slope)
        self.out_channels = out_channels
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, O)."""
        neighbors = ops.knn(x, self.k)
        return self.norm.run(
            ops.edge_conv, x, neighbors, self.linear.weight, negative_slope=self.negative_slope
        )

    def extra_repr(self) -> str:
        return f"k={self.k}, {super().extra_repr()}"


class EdgeMLP(nn.Module):
    """``max_j mlp([x_i, x_j - x_i])`` over the k nearest neighbours j of i: EdgeConv of two or more layers.

    The first linear layer, [W1, W2] on [x_i, x_j - x_i], is ``W2 x_j - (W2 - W1) x_i``: it is applied to the
    N points, not to their N k edges. Nor is the output of the last one stored for every edge.

    Args:
        in_channels: C; the MLP takes 2 C.
        channels: Widths of the MLP, at least two; its last one is O.
        k: As ``EdgeConv``.
        negative_slope: Of the leaky ReLU after each layer.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], k: int, negative_slope: float = 0.2
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"an MLP on edges needs at least two layers, not channels={channels}")
        self.out_channels = channels[-1]
        self.k = k
        self.first = LinearNormAct(2 * in_channels, channels[0], negative_slope=negative_slope)
        self.middle = shared_mlp(*channels[:-1], negative_slope=negative_slope)
        self.last = LinearNormAct(channels[-2], channels[-1], negative_slope=negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, O)."""
        own, offset = self.first.linear.weight.chunk(2, 1)
        # in half precision the difference would lose most of what tells an edge's ends apart
        with ops.without_autocast(x):
            x = x.to(offset.dtype)
            edges = ops.group(F.linear(x, offset), F.linear(x, offset - own), ops.knn(x, self.k))
        return pool_edges(edges, [self.first, *self.middle, self.last])

    def extra_repr(self) -> str:
        return f"k={self.k}"
