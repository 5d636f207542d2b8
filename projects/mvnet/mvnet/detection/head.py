"""VoteNet's head (Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019)."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.layers import SetAbstraction, shared_mlp
from pointmcd.registry import MODELS
from projects.mvnet.mvnet.detection.losses import (
    assign,
    center_loss,
    mean_where,
    objectness_loss,
    vote_loss,
)
from projects.mvnet.mvnet.detection.scene_set import SceneBatch
from projects.mvnet.mvnet.detection.suppression import points_inside, suppress

WEIGHTS = {"vote": 1.0, "objectness": 0.5, "center": 1.0, "size": 1.0, "semantic": 0.1}
"""Of the losses, as in the paper, whose common factor of 10 is left out."""
LARGEST = 4.0  # logarithm of a size in metres that no prediction exceeds, so that it stays finite


class Proposals(PointFeatures, total=False):
    """What the head makes of seeds, in metres."""

    seeds: Tensor  # (B, M, 3)
    votes: Tensor  # (B, M, 3)
    clusters: Tensor  # (B, P, 3) the votes around which proposals were gathered
    objectness: Tensor  # (B, P, 2) logits: none, object
    centers: Tensor  # (B, P, 3)
    log_sizes: Tensor  # (B, P, 3)
    class_logits: Tensor  # (B, P, C)


@MODELS.register_module()
class VoteHead(nn.Module):
    """Seeds vote for the centre of their object; votes are gathered into clusters; each proposes a box.

    As the paper has it but for two things. The size is predicted itself, as a logarithm of metres, and not as
    a class of sizes and a residual; there are no headings. A point's height is given to the head, not to the
    backbone, which may come from shapes that stand on no floor.

    Args:
        in_channels: C of the backbone, which the head does not read; given by the model.
        local_channels: L of the backbone; given by the model.
        object_classes: Number of classes of boxes.
        num_proposals: P, at most as many as there are seeds.
        radius: Of a cluster, in metres.
        k: Votes taken of a cluster.
        channels: Width of the layers after the votes.
        margin: See ``vote_loss``, in metres.
        near: See ``assign``, in metres.
        far: See ``assign``, in metres.
        weights: Of the losses; what is left out is as in ``WEIGHTS``.
        overlap: Of two boxes of one class that overlap more the better one is kept.
        least_score: Objectness below which a proposal is none.
        least_points: A box with fewer points inside is none.
        slack: Metres beyond a box's faces where a point is still inside: scans hold surfaces alone, and a
            box that is a little smaller than its object would hold none of them.
    """

    dense = True  # needs local features

    def __init__(
        self,
        in_channels: int,
        local_channels: int,
        object_classes: int,
        num_proposals: int = 256,
        radius: float = 0.3,
        k: int = 16,
        channels: int = 128,
        margin: float = 0.01,
        near: float = 0.3,
        far: float = 0.6,
        weights: dict[str, float] | None = None,
        overlap: float = 0.25,
        least_score: float = 0.05,
        least_points: int = 5,
        slack: float = 0.05,
    ) -> None:
        super().__init__()
        if unknown := set(weights or {}) - set(WEIGHTS):
            raise ValueError(f"weights has {', '.join(sorted(unknown))}; there are {', '.join(WEIGHTS)}")
        self.object_classes = object_classes
        width = local_channels + 1
        self.vote_layers = shared_mlp(width, width, width)
        self.vote = nn.Linear(width, 3 + width)
        scale = {"radius": radius, "k": k, "channels": (channels, channels, channels)}
        self.gather = SetAbstraction(width, num_proposals, [scale])
        self.proposal_layers = shared_mlp(channels, channels, channels)
        self.proposal = nn.Linear(channels, 2 + 3 + 3 + object_classes)
        self.margin, self.near, self.far = margin, near, far
        self.weights = {**WEIGHTS, **(weights or {})}
        self.overlap, self.least_score = overlap, least_score
        self.least_points, self.slack = least_points, slack

    def forward(self, seeds: Tensor, feats: Tensor, height: Tensor) -> Proposals:
        """Map seeds (B, M, 3), their features (B, M, L) and heights over the floor (B, M, 1) to proposals."""
        feats = torch.cat([feats, height.to(feats.dtype)], -1)
        offset, residual = self.vote(self.vote_layers(feats)).split([3, feats.shape[-1]], -1)
        votes = seeds + offset
        clusters, pooled, _ = self.gather(votes, F.normalize(feats + residual, dim=-1))
        out = self.proposal(self.proposal_layers(pooled))
        objectness, shift, size, class_logits = out.split([2, 3, 3, self.object_classes], -1)
        return {
            "seeds": seeds,
            "votes": votes,
            "clusters": clusters,
            "objectness": objectness,
            "centers": clusters + shift,
            "log_sizes": size.clamp(max=LARGEST),
            "class_logits": class_logits,
        }

    def loss(self, found: Proposals, batch: SceneBatch) -> dict[str, Tensor]:
        """Return the five weighted losses.

        Args:
            found: Of ``forward``.
            batch: ``boxes`` (B, K, 6) and ``box_classes`` (B, K), -1 where there is no box.

        Raises:
            ValueError: The batch has no boxes.
        """
        if "boxes" not in batch:
            raise ValueError("the batch has no boxes: the dataset must be ScenesWithBoxes")
        boxes, classes = batch["boxes"], batch["box_classes"]
        there = classes >= 0
        objectness, nearest = assign(found["clusters"].detach(), boxes, there, self.near, self.far)
        positive = objectness == 1
        sizes = boxes[..., 3:].gather(1, nearest.unsqueeze(-1).expand(-1, -1, 3)).clamp(min=0.01).log()
        apart = F.smooth_l1_loss(found["log_sizes"], sizes, reduction="none").mean(-1)
        labels = classes.gather(1, nearest).where(positive, -1)
        wrong = F.cross_entropy(
            found["class_logits"].transpose(1, 2), labels, ignore_index=-1, reduction="none"
        )
        losses = {
            "vote": vote_loss(found["seeds"], found["votes"], boxes, there, self.margin),
            "objectness": objectness_loss(found["objectness"], objectness),
            "center": center_loss(found["centers"], boxes, there, positive),
            "size": mean_where(apart, positive),
            "semantic": mean_where(wrong, positive),
        }
        return {f"loss_{name}": self.weights[name] * loss for name, loss in losses.items()}

    def predict(self, found: Proposals, batch: SceneBatch) -> list[dict[str, Any]]:
        """Return the boxes that are left after non-maximum suppression, each once for every class.

        Returns:
            A dict a scene: ``boxes`` (D, 6) float32, ``box_scores`` (D,) objectness times the class's
            probability, ``box_classes`` (D,) int64, arrays; and where known ``index``, and ``true_boxes``
            (K, 6) and ``true_classes`` (K,) of the scene's own K.
        """
        scores = found["objectness"].float().softmax(-1)[..., 1].cpu().numpy()
        of_class = found["class_logits"].float().softmax(-1).cpu().numpy()
        boxes = torch.cat([found["centers"], found["log_sizes"].exp()], -1).float().cpu().numpy()
        points = batch["points"][..., :3].float().cpu().numpy()
        rows: list[dict[str, Any]] = []
        for scene in range(len(boxes)):
            kept = suppress(boxes[scene], scores[scene], of_class[scene].argmax(-1), self.overlap)
            kept = kept[scores[scene][kept] > self.least_score]
            held = points_inside(points[scene], boxes[scene][kept], self.slack)
            kept = kept[held >= self.least_points]
            row: dict[str, Any] = {
                "boxes": boxes[scene][kept].repeat(self.object_classes, 0),
                "box_scores": (scores[scene][kept, None] * of_class[scene][kept]).ravel(),
                "box_classes": np.tile(np.arange(self.object_classes), len(kept)),
            }
            if "index" in batch:
                row["index"] = int(batch["index"][scene])
            if "boxes" in batch:
                truth = batch["box_classes"][scene].cpu().numpy()
                row["true_boxes"] = batch["boxes"][scene].cpu().numpy()[truth >= 0]
                row["true_classes"] = truth[truth >= 0]
            rows.append(row)
        return rows
