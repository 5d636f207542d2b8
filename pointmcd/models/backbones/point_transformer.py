"""A plain transformer on patches of points, as in Point-BERT (Yu et al., CVPR 2022; arXiv 2111.14819).

Not the Point Transformer of Zhao et al. (ICCV 2021), whose attention is local.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import PointFeatures
from pointmcd.checkpoint import load_weights
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import FeaturePropagation, LinearNormAct
from pointmcd.models.teachers.trunks import import_timm
from pointmcd.registry import MODELS

SIZES = {"tiny": (192, 3), "small": (384, 6)}
"""Width and heads, those of image ViTs of the same names; ``small`` is Point-BERT's."""


class PatchEmbedding(nn.Module):
    """A mini-PointNet: the points of a patch, seen from its centre, to one vector (Point-BERT, section 3.1).

    Args:
        in_channels: Values of a point.
        channels: Of the vector.
    """

    def __init__(self, in_channels: int, channels: int = 256) -> None:
        super().__init__()
        self.first = LinearNormAct(in_channels, 128, bias=True)
        self.second = nn.Linear(128, 256)
        self.third = LinearNormAct(512, 512, bias=True)
        self.last = nn.Linear(512, channels)

    def forward(self, patches: Tensor) -> Tensor:
        """Map (B, G, k, in) to (B, G, channels)."""
        x = self.second(self.first(patches))
        of_patch, of_point = self.third.linear.weight.chunk(2, 1)
        patch = F.linear(x.amax(2, keepdim=True), of_patch, self.third.linear.bias)
        return self.last(self.third.norm_act(F.linear(x, of_point) + patch)).amax(2)


@MODELS.register_module()
class PointTransformer(PointBackbone):
    """Patches around well spread centres, embedded by a mini-PointNet, through the blocks of a ViT.

    The defaults are Point-BERT's network. Its point features are those of the centres: a centre's token
    beside the class token, so that their maximum is what the official head reads, through one more layer.
    Attention has biases, unlike Point-BERT's: blocks of an image ViT fit (``ImageBlocksHook``).

    Args:
        in_channels: Values of a point; centres and patches are chosen by x, y, z.
        size: ``tiny`` or ``small``.
        depth: Blocks.
        num_patches: G, at most N and 4096.
        patch_size: Points of a patch, at most N.
        drop_path: Probability of leaving out the last block of a shape; it falls linearly to 0 at the first.
        out_channels: C.
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: str = "small",
        depth: int = 12,
        num_patches: int = 64,
        patch_size: int = 32,
        drop_path: float = 0.1,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels)
        if size not in SIZES:
            raise ValueError(f"size is {size!r}; choose {' or '.join(SIZES)}")
        if depth < 1:
            raise ValueError(f"depth is {depth}, must be at least 1")
        if not 1 <= num_patches <= 4096:
            raise ValueError(
                f"num_patches is {num_patches}, must be 1 to 4096, as each patch attends to all others"
            )
        width, heads = SIZES[size]
        self.num_patches, self.k = num_patches, patch_size
        self.embedding = PatchEmbedding(in_channels)
        self.lift = nn.Linear(256, width)
        self.position = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.class_position = nn.Parameter(torch.randn(1, 1, width))
        import_timm()
        from timm.models.vision_transformer import Block

        shares = [drop_path * level / max(depth - 1, 1) for level in range(depth)]
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True, drop_path=share) for share in shares)
        self.norm = nn.LayerNorm(width)
        self.after = [depth - 1]  # blocks whose tokens are kept
        self.fusion = LinearNormAct(2 * width, out_channels)
        self.local_channels = width

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        if points.shape[1] < max(self.num_patches, self.k):
            raise ValueError(
                f"{self.num_patches} patches of {self.k} points need at least "
                f"{max(self.num_patches, self.k)} points, not {points.shape[1]}; "
                "lower num_patches and patch_size of the backbone or raise num_points of the dataset"
            )
        xyz = points[..., :3]
        index = ops.farthest_point_sample(xyz.detach(), self.num_patches)
        rows = index.unsqueeze(-1)
        centers = xyz.gather(1, rows.expand(-1, -1, 3))
        near = ops.knn(xyz, self.k, centers)
        origin = F.pad(centers, (0, self.in_channels - 3))  # what follows x, y, z stays as it is
        tokens = self.lift(self.embedding(ops.group(points, origin, near)))
        batch = points.shape[0]  # as len it would be a constant of an exported network
        x = torch.cat((self.class_token.expand(batch, -1, -1), tokens), 1)
        position = torch.cat((self.class_position.expand(batch, -1, -1), self.position(centers)), 1)
        outputs = []
        for number, block in enumerate(self.blocks):
            x = block(x + position)
            if number in self.after:
                outputs.append(self.norm(x))
        of_class, of_patches = outputs[-1].split([1, self.num_patches], 1)
        return {
            "hidden": torch.cat((of_patches, of_class.expand_as(of_patches)), -1),
            "point_index": index,
            "levels": [(xyz, points), (centers, torch.cat([x[:, 1:] for x in outputs], -1))],
            "losses": {},
        }

    def load_image_blocks(self, state: Mapping[str, Tensor], source: str) -> None:
        """Start from the first ``depth`` blocks of an image ViT (as Uni3D does, arXiv 2310.06773).

        Args:
            state: Weights as timm names them (``blocks.0.attn.qkv.weight`` ...); what else is there, such as
                the embedding of image patches, is left alone.
            source: Where they are from, for the error.

        Raises:
            ValueError: There are fewer blocks, or of another width.
        """
        wanted = tuple(f"blocks.{number}." for number in range(len(self.blocks)))
        found = {key.removeprefix("blocks."): value for key, value in state.items() if key.startswith(wanted)}
        load_weights(self.blocks, found, f"{source} has no blocks for this {type(self).__name__}")

    def extra_repr(self) -> str:
        return f"num_patches={self.num_patches}, patch_size={self.k}"


@MODELS.register_module()
class PointTransformerSeg(PointTransformer):
    """``PointTransformer`` and the way to all points: the tokens after a third, two thirds and all of the
    blocks, side by side, are interpolated (as in Point-MAE; Pang et al., ECCV 2022; arXiv 2203.06604).

    Args:
        in_channels: As ``PointTransformer``.
        size: As ``PointTransformer``.
        depth: As ``PointTransformer``, at least 3.
        num_patches: As ``PointTransformer``.
        patch_size: As ``PointTransformer``.
        drop_path: As ``PointTransformer``.
        out_channels: As ``PointTransformer``.
        propagation: Widths of the MLP on the interpolated tokens.
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: str = "small",
        depth: int = 12,
        num_patches: int = 128,
        patch_size: int = 32,
        drop_path: float = 0.1,
        out_channels: int = 1024,
        propagation: Sequence[int] = (1536, 1024),
    ) -> None:
        super().__init__(in_channels, size, depth, num_patches, patch_size, drop_path, out_channels)
        if depth < 3:
            raise ValueError(f"depth is {depth}; features of three depths need at least 3 blocks")
        self.after = [(depth * third) // 3 - 1 for third in (1, 2, 3)]
        self.propagation = FeaturePropagation(in_channels, 3 * SIZES[size][0], propagation)
        self.local_channels = propagation[-1]

    def local_feats(self, features: PointFeatures) -> Tensor:
        (xyz, points), (centers, tokens) = features["levels"]
        return self.propagation(xyz, points, centers, tokens)
