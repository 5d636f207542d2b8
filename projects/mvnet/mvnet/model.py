"""MVNet-style pre-training of a point network (after Yan et al., ICLR 2024; arXiv 2306.02558)."""

from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import FURTHER_INPUTS, Batch
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import CameraRig
from pointmcd.models import PointModel
from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS, TRANSFORMS
from projects.mvnet.mvnet.losses import KnowledgeTransfer, ViewCorrespondence
from projects.mvnet.mvnet.masking import visible_points
from projects.mvnet.mvnet.views import PosedViews, Surface, grid_positions


class PointDecoder(nn.Module):
    """[local feature, global feature] -> two shared layers -> the feature of each point.

    Args:
        local_channels: L of the backbone.
        global_channels: C of the backbone.
        out_channels: Width of the point features.
    """

    def __init__(self, local_channels: int, global_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = LinearNormAct(local_channels + global_channels, out_channels)
        self.second = nn.Linear(out_channels, out_channels)

    def forward(self, local: Tensor, whole: Tensor) -> Tensor:
        """Map local (B, M, L) and global features (B, C) to (B, M, out)."""
        # The global feature is the same for all points: it is multiplied once a cloud.
        per_point, per_cloud = self.first.linear.weight.split([local.shape[-1], whole.shape[-1]], 1)
        x = F.linear(local, per_point) + F.linear(whole, per_cloud).unsqueeze(1)
        return self.second(self.first.norm_act(x))


@MODELS.register_module()
class MVNet(PointModel):
    """A point network whose features, projected into views, must say what a frozen image network says there,
    and must tell where a pixel of one view lies in another. No labels are used.

    Point features F (M, C) -> for every node of a grid over each view, the 3-NN interpolation of F at the
    surface point that the depth image shows there -> view maps -> losses of ``losses.py``. What is
    pre-trained is ``backbone.*``; the rest of a checkpoint is of no use later.

    Args:
        backbone: Config of a backbone with local features (``DGCNNSeg``, ``PointNet2Seg``, ``SRUNet``).
        teacher: Config of ``ImageNetwork`` or ``CachedMaps``.
        transfer: Arguments of ``KnowledgeTransfer``.
        correspondence: Arguments of ``ViewCorrespondence``, or None to train without.
        data_root: Folder of the prepared set, whose rig the views have unless each shape has its own cameras;
            filled in from the config's top level.
        channels: Width of the point features.
        stride: Of the feature grid, in pixels of the views.
        eps: Depths of one surface point seen from two views differ by at most so much, in bounding radii.
        consistency_weight: Weight of the multi-view consistency (the correspondence losses) beside the
            knowledge transfer.
        mask_ratio: Share of the points that the encoder is not given; the targets stay those of all views.
        mask_patches: Number of patches that points are dropped in; 0 drops single points.
        augment: Configs of transforms of the encoder's input; the views stay as they are.
        data_preprocessor: Config of the preprocessor. It must not move points, see ``augment``.

    Raises:
        ValueError: The backbone has no local features, or the prepared set has no cameras.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: dict,
        transfer: dict | None = None,
        correspondence: dict | None = None,
        data_root: str | None = None,
        channels: int = 128,
        stride: int = 8,
        eps: float = 0.02,
        consistency_weight: float = 1.0,
        mask_ratio: float = 0.0,
        mask_patches: int = 64,
        augment: list[dict] | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone, None, data_preprocessor)
        if getattr(self.backbone, "local_channels", None) is None:
            raise ValueError(
                f"MVNet needs features of every point, which the backbone {backbone['type']} does not have: "
                "give it local_channels and local_feats, as PointBackbone says"
            )
        self.with_local = True
        if data_root is None:
            raise ValueError("MVNet needs the cameras of the prepared set: give data_root, its folder")
        prepared = PreparedSet(data_root)
        rig = prepared.manifest["rig"]
        if rig is None and not prepared.has_views:
            raise ValueError(f"{data_root} was prepared without cameras, so it has no views to learn from")
        self.views = PosedViews(None if rig is None else CameraRig.from_dict(rig), stride, eps)
        self.decoder = PointDecoder(self.backbone.local_channels, self.backbone.out_channels, channels)
        self.teacher = MODELS.build(teacher)
        self.transfer = KnowledgeTransfer(channels, self.teacher.channels, **(transfer or {}))
        self.correspondence = None
        if correspondence is not None:
            self.correspondence = ViewCorrespondence(channels, **correspondence)
        self.consistency_weight = consistency_weight
        self.mask_ratio, self.mask_patches = mask_ratio, mask_patches
        self.augment = [TRANSFORMS.build(config) for config in augment or []]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted losses of transfer, coordinates and contrast, and the backbone's own.

        Args:
            batch: ``points``, ``depths`` and ``view_index``, what the teacher asks for, and ``cameras`` where
                each shape has its own.

        Raises:
            ValueError: The batch has no depths.
        """
        if "depths" not in batch:
            raise ValueError(
                "the batch has no depths: prepare the set with --depths (scenes: with --views) and give the "
                "dataset depths=True"
            )
        depths, cameras = batch["depths"], self.views.cameras(batch)
        positions = grid_positions(depths.shape[-1], self.views.stride).to(depths.device)
        surface = self.views.unproject(depths, cameras)
        maps, own = self.view_maps(batch, surface)
        targets = [level[surface.valid] for level in self.teacher.maps(batch, positions)]
        losses = {"loss_transfer": self.transfer(maps[surface.valid], targets), **own}
        if self.correspondence is not None:
            matches = self.views.match(surface, depths, cameras)
            found = self.correspondence(maps, surface.valid, matches, positions)
            losses.update({name: self.consistency_weight * loss for name, loss in found.items()})
        return losses

    def view_maps(self, batch: Batch, surface: Surface) -> tuple[Tensor, dict[str, Tensor]]:
        """Project point features into the views.

        Args:
            batch: ``points`` (B, N, 3) where the views saw them, and ``normals`` and ``colors`` where the
                backbone takes them.
            surface: What the views show.

        Returns:
            Maps (B, v, h, h, C), zero where a view shows the background, and the backbone's own losses.
        """
        values: dict[str, Any] = {**batch}
        seen = {key: values[key] for key in ("points", *FURTHER_INPUTS) if key in values}
        if self.training and self.mask_ratio:
            kept = visible_points(seen["points"], self.mask_ratio, self.mask_patches).unsqueeze(-1)
            seen = {key: value.gather(1, kept.expand(-1, -1, 3)) for key, value in seen.items()}
        points, given = seen["points"], cast(Batch, seen)
        if self.training:
            for transform in self.augment:
                given = transform(given)
        if given["points"].shape != points.shape:
            raise ValueError("augment may move points, but must neither drop nor reorder them")
        features = self.student_features(self.network_input(given))
        feats = self.decoder(features["local_feats"], features["global_feats"])
        maps = ops.interpolate(surface.points.flatten(1, 3).to(points.dtype), points, feats)
        maps = maps.view(*surface.valid.shape, -1) * surface.valid.unsqueeze(-1)
        return maps, features["losses"]
