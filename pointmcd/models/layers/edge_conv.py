"""EdgeConv (Wang et al., Dynamic Graph CNN, section 3.1)."""

from torch import Tensor

from pointmcd import ops
from pointmcd.models.layers.norm import LinearNormAct


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
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, O)."""
        neighbors = ops.knn(x, self.k)
        return self.norm.run(
            ops.edge_conv, x, neighbors, self.linear.weight, negative_slope=self.negative_slope
        )

    def extra_repr(self) -> str:
        return f"k={self.k}, {super().extra_repr()}"
