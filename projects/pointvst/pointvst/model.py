"""Pre-training by translation of points into images of chosen views (after Zhang & Hou; arXiv 2212.14197)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import Batch
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import CameraRig
from pointmcd.models import PointModel
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import weighted_mean
from pointmcd.models.teachers.decoders import ImageDecoder
from pointmcd.registry import MODELS
from projects.pointvst.pointvst.targets import Images, images_of


class ViewCode(nn.Module):
    """Point features and a viewpoint -> what the view needs to know, of the points that it sees.

    The viewpoint, a unit vector, goes through two layers and into every point's feature; a weight for each
    point, which the features say themselves, is a softmax over the points seen.

    Args:
        in_channels: C of the point features.
        channels: Width of the code.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.viewpoint = nn.Sequential(nn.Linear(3, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.first = LinearNormAct(in_channels, channels)
        self.second = LinearNormAct(channels, channels)
        self.weight = nn.Linear(channels, 1)

    def forward(self, feats: Tensor, directions: Tensor, seen: Tensor) -> Tensor:
        """Return the code of each view.

        Args:
            feats: (B, M, C).
            directions: (B, v, 3) from the origin to the camera, unit.
            seen: (B, v, M) bool. Of a view that sees no point all count alike.

        Returns:
            (B, v, channels).
        """
        # the points are multiplied once, whatever the number of views
        x = self.first.linear(feats).unsqueeze(1) + self.viewpoint(directions).unsqueeze(2)
        x = self.second(self.first.norm_act(x))
        weight = self.weight(x).squeeze(-1)
        share = weight.masked_fill(~seen, torch.finfo(weight.dtype).min).softmax(-1)
        return (share.unsqueeze(2) @ x).squeeze(2)


@MODELS.register_module()
class PointVST(PointModel):
    """A point network from whose features a view's silhouette, depth and contours can be drawn. No labels.

    Point features (M, C) -> ``ViewCode`` of a camera and the points that it sees -> ``ImageDecoder`` with one
    channel an image. What is pre-trained is ``backbone.*``; the rest of a checkpoint is of no use later.

    Args:
        backbone: Config of any backbone.
        data_root: Folder of the prepared set, which knows the cameras; filled in from the config's top level.
        image_size: Side of the views; filled in from the prepared data where a config leaves it None.
        channels: Width of a view's code.
        weights: Of the losses of silhouette, depth and contours.
        data_preprocessor: Config of the preprocessor. The images stay as they are when it moves points.

    Raises:
        ValueError: The prepared set has no cameras.
    """

    directions: Tensor  # (V, 3)

    def __init__(
        self,
        backbone: dict,
        data_root: str,
        image_size: int,
        channels: int = 512,
        weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone, None, data_preprocessor)
        known = PreparedSet(data_root).manifest["rig"]
        if known is None:
            raise ValueError(f"{data_root} was prepared without cameras, so it has no views to learn from")
        rig = CameraRig.from_dict(known)
        self.distance = rig.distance
        directions = torch.from_numpy(rig.positions() / rig.distance).float()
        self.register_buffer("directions", directions, persistent=False)
        self.code = ViewCode(self.backbone.out_channels, channels)
        self.decoder = ImageDecoder(channels, image_size)
        self.weights = tuple(weights)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted losses of the three images, and the backbone's own.

        Cross-entropy of silhouette and contours over all pixels, L1 of the depth where there is a surface.

        Args:
            batch: ``points``, ``visibility``, ``depths`` and ``view_index``.

        Raises:
            ValueError: The batch has no depths or masks.
        """
        if "depths" not in batch or "visibility" not in batch:
            raise ValueError(
                "the batch has no depths or no visibility: prepare the set with --depths, and give the "
                "dataset depths=True and visibility=True"
            )
        made, own = self.images(self.network_input(batch), batch["visibility"], batch["view_index"])
        true = images_of(batch["depths"].to(made.depth.dtype), self.distance)
        terms = {
            "silhouette": F.binary_cross_entropy_with_logits(made.silhouette, true.silhouette),
            "depth": weighted_mean((made.depth - true.depth).abs(), true.silhouette),
            "contour": F.binary_cross_entropy_with_logits(made.contour, true.contour),
        }
        weighted = zip(terms.items(), self.weights, strict=True)
        return {**{f"loss_{name}": weight * loss for (name, loss), weight in weighted}, **own}

    def images(
        self, points: Tensor, visibility: Tensor, view_index: Tensor
    ) -> tuple[Images, dict[str, Tensor]]:
        """Draw views of points.

        Args:
            points: (B, N, in_channels).
            visibility: (B, N) int32 bit masks of the points.
            view_index: (B, v) int64, which views.

        Returns:
            The images, (B, v, S, S) each, and the backbone's own weighted losses.
        """
        features = self.backbone(points)
        index = features["point_index"]
        masks = visibility if index is None else visibility.gather(1, index)
        seen = ((masks.unsqueeze(1) >> view_index.to(masks.dtype).unsqueeze(2)) & 1).bool()
        code = self.code(features["point_feats"], self.directions[view_index], seen)
        drawn = self.decoder(code.flatten(0, 1)).float().unflatten(0, view_index.shape)
        return Images(*drawn.unbind(2)), features["losses"]
