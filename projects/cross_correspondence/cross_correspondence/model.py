"""The three networks and their two losses."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS


class Triplets(NamedTuple):
    """Rows of a batch of B objects with two views each, all (B,) int64.

    An object's anchor is its view ``anchor``, the positive its other view ``1 - anchor``, and the negative
    the view ``view`` of the object ``other``.
    """

    anchor: Tensor
    other: Tensor
    view: Tensor


def draw_triplets(size: int, device: torch.device | str = "cpu") -> Triplets:
    """Draw a triplet for each of ``size`` objects from torch's global generator.

    The other object is uniform over the size - 1 others of the batch. A shuffled batch is itself a uniform
    draw, so that each negative is, as in the replication, a random view of a random other object; taking it
    from the batch saves one image in three, to read as to encode.

    Raises:
        ValueError: There is no other object.
    """
    if size < 2:
        raise ValueError(
            f"a batch of {size} has no other object to take negatives from; set "
            "train_dataloader.batch_size to at least 2 for each process"
        )
    anchor, view = torch.randint(2, (2, size), device=device)
    step = torch.randint(1, size, (size,), device=device)
    return Triplets(anchor, (torch.arange(size, device=device) + step) % size, view)


@MODELS.register_module()
class CrossCorrespondence(BaseModel):
    """An image network and a point network, trained without labels to agree on what is the same object.

    Source: Jing et al., arXiv 2004.05749. ``F_img`` gives a feature of each view and ``F_p`` one of the
    cloud; ``F_f``, two linear layers, says of an image and a cloud whether they are of one object. Views f1
    and f2 of an object with the cloud p, and a view f3 of another object, make the loss ::

        triplet(f1, f2, f3) + beta * (CE(F_f(f1, p), same) + CE(F_f(f2, p), same) + CE(F_f(f3, p), other))

    The triplet term reaches the image network alone. The defaults of margin and beta are those of a public
    replication, not read in the paper. A checkpoint's ``backbone.*`` load into any model with that backbone.

    Args:
        backbone: Config of a point backbone; its point features are max and mean pooled.
        view_encoder: Config of the image network (``ViewEncoder``).
        point_channels: Width of the cloud's feature.
        verifier_channels: Width of the verification network's hidden layer.
        margin: Of the triplet loss, between Euclidean distances of features as they are.
        beta: Weight of the verification loss.
        data_preprocessor: Config of the preprocessor (moves a batch to the device and augments it).
    """

    def __init__(
        self,
        backbone: dict,
        view_encoder: dict,
        point_channels: int = 512,
        verifier_channels: int = 256,
        margin: float = 2.0,
        beta: float = 3.0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "PointPreprocessor"}))
        self.backbone = MODELS.build(backbone)
        self.point_embed = LinearNormAct(2 * self.backbone.out_channels, point_channels)
        self.view_encoder = MODELS.build(view_encoder)
        self.verifier = nn.Sequential(
            nn.Linear(self.view_encoder.out_channels + point_channels, verifier_channels),
            nn.ReLU(),
            nn.Linear(verifier_channels, 2),
        )
        self.margin = margin
        self.beta = beta

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """Make one pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives the losses, and figures to log; ``tensor`` the features of what is there.
            batch: ``points`` (B, N, 3) and ``views`` (B, v, 3, H, W); for ``loss`` both, and two views.
        """
        if mode == "loss":
            return self.loss(batch)
        if mode == "tensor":
            features = {}
            if "points" in batch:
                features["point_feats"] = self.point_features(batch["points"])
            if "views" in batch:
                features["view_feats"] = self.view_features(batch["views"])
            return features
        raise ValueError(f"mode is {mode!r}; choose loss or tensor")

    def point_features(self, points: Tensor) -> Tensor:
        """Map points (B, N, 3) to (B, point_channels): F_p."""
        feats = self.backbone(points)["point_feats"]
        return self.point_embed(torch.cat([feats.amax(1), feats.mean(1)], -1))

    def view_features(self, views: Tensor) -> Tensor:
        """Map views (B, v, 3, H, W) to (B, v, I): F_img."""
        return self.view_encoder(views.flatten(0, 1)).unflatten(0, views.shape[:2])

    def verify(self, view_feats: Tensor, point_feats: Tensor) -> Tensor:
        """Map features (..., I) and (..., point_channels) to logits (..., 2), other and same object: F_f."""
        return self.verifier(torch.cat([view_feats, point_feats], -1))

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return ``loss_triplet`` and ``loss_verification`` (weighted), and what is only logged.

        That is ``accuracy`` of the verification in percent, ``positive_distance`` and ``negative_distance``.
        """
        views = batch["views"]
        if views.shape[1] != 2:
            raise ValueError(
                f"the losses take two views of each object, not {views.shape[1]}; "
                "set train_dataloader.dataset.views=2"
            )
        triplets = draw_triplets(len(views), views.device)
        feats, clouds = self.view_features(views), self.point_features(batch["points"])
        own = torch.arange(len(views), device=views.device)
        anchor, positive = feats[own, triplets.anchor], feats[own, 1 - triplets.anchor]
        negative = feats[triplets.other, triplets.view]

        triplet = F.triplet_margin_loss(anchor, positive, negative, margin=self.margin)
        logits = self.verify(torch.stack([anchor, positive, negative]), clouds.expand(3, -1, -1))
        same = logits.new_tensor([1, 1, 0], dtype=torch.long).unsqueeze(1).expand(logits.shape[:2])
        # The mean over the 3 B pairs, times 3: the sum of three means.
        verification = 3 * F.cross_entropy(logits.flatten(0, 1), same.flatten())
        return {
            "loss_triplet": triplet,
            "loss_verification": self.beta * verification,
            "accuracy": 100 * (logits.argmax(-1) == same).float().mean(),
            "positive_distance": (anchor - positive).detach().norm(dim=-1).mean(),
            "negative_distance": (anchor - negative).detach().norm(dim=-1).mean(),
        }
