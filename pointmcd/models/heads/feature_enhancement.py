"""The student's feature must make the points that the teacher's makes.

From PointCMT (Yan et al., NeurIPS 2022; arXiv 2210.04208).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pointmcd.batch import Batch, PointFeatures, TeacherRows
from pointmcd.models.heads.distillation import make_projector
from pointmcd.models.heads.relations import teacher_descriptor
from pointmcd.models.losses import earth_mover_distance
from pointmcd.registry import MODELS


@MODELS.register_module()
class FeatureEnhancementHead(nn.Module):
    """Compare the student's feature with the teacher's descriptor by the points that one generator makes of
    both: PointCMT's feature enhancement (section 3.2).

    The generator learns to make the shape's points of the teacher's descriptor; the student's feature does
    not move it. In the paper it is trained before, and frozen; here both are learnt at once, from the same
    batches, so that no further training comes before. Distances are those of earth movers, exact.

    Args:
        in_channels: C of the backbone; given by the model.
        teacher_channels: D of the teacher; given by the model.
        num_points: P, that are made; the first so many of the shape's are to be met.
        channels: Width of the generator's two hidden layers.
        loss_weight: Weight of the distance between the points made of both.
        generator_weight: Weight of the distance of the generator's points from the shape's.
    """

    with_batch = True

    def __init__(
        self,
        in_channels: int,
        teacher_channels: int,
        num_points: int = 128,
        channels: int = 512,
        loss_weight: float = 1.0,
        generator_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.align = make_projector("mlp", in_channels, teacher_channels)
        self.generator = nn.Sequential(
            nn.Linear(teacher_channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, 3 * num_points),
            nn.Unflatten(1, (num_points, 3)),
        )
        self.num_points = num_points
        self.loss_weight, self.generator_weight = loss_weight, generator_weight

    def loss(self, features: PointFeatures, teacher: TeacherRows, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted ``loss_generator`` and ``loss_feature``.

        Raises:
            ValueError: The shapes have fewer points than are made.
        """
        points = batch["points"][:, : self.num_points, :3]
        if points.shape[1] < self.num_points:
            raise ValueError(
                f"FeatureEnhancementHead makes {self.num_points} points, but the shapes have "
                f"{points.shape[1]}: give it fewer, or the dataset more (num_points)"
            )
        descriptor = teacher_descriptor(teacher, self).to(features["global_feats"].dtype)
        of_image = self.generator(descriptor)
        frozen = {name: parameter.detach() for name, parameter in self.generator.named_parameters()}
        of_points = functional_call(self.generator, frozen, (self.align(features["global_feats"]),))
        return {
            "loss_generator": self.generator_weight * earth_mover_distance(of_image, _in_unit_ball(points)),
            "loss_feature": self.loss_weight * earth_mover_distance(of_points, of_image.detach()),
        }


def _in_unit_ball(points: Tensor) -> Tensor:
    """Move points (B, P, 3) to their mean and scale the farthest to 1, as augmentation has moved them."""
    centred = points - points.mean(1, keepdim=True)
    radius = centred.norm(dim=2).amax(1)[:, None, None]
    return centred / radius.clamp(min=torch.finfo(points.dtype).tiny)
