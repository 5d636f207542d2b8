"""Distillation of relations: not what the teacher says of a shape, but how like others it is to it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import PointFeatures, TeacherRows
from pointmcd.models.heads.distillation import make_projector
from pointmcd.registry import MODELS


def teacher_descriptor(teacher: TeacherRows, head: nn.Module) -> Tensor:
    """Return the teacher's descriptor of each shape, (B, D).

    Raises:
        ValueError: The teacher has none.
    """
    if "descriptor" not in teacher:
        raise ValueError(f"{type(head).__name__}: the teacher has no descriptor, but {', '.join(teacher)}")
    return teacher["descriptor"]


def relative_distances(feats: Tensor) -> Tensor:
    """Return the distances of all pairs of rows (B, C), in units of their mean: (B (B - 1) / 2,)."""
    first, second = torch.triu_indices(len(feats), len(feats), 1, device=feats.device)
    distance = (feats[first] - feats[second]).norm(dim=1)
    return distance / distance.mean().clamp(min=torch.finfo(distance.dtype).tiny)


def angle_cosines(feats: Tensor) -> Tensor:
    """Return the cosines of the angles at j of all triangles i, j, k of rows (B, C), i < k: (T,)."""
    edges = F.normalize(feats - feats.unsqueeze(1), dim=2)  # [j, i]: from j to i
    cosine = edges @ edges.mT
    number = torch.arange(len(feats), device=feats.device)
    at, left, right = number[:, None, None], number[:, None], number
    return cosine[(left < right) & (at != left) & (at != right)]


@MODELS.register_module()
class RelationalDistillationHead(nn.Module):
    """Distances between shapes, and angles of triangles of shapes, as the teacher has them (relational
    knowledge distillation; Park et al., CVPR 2019, equations 5 to 9; arXiv 1904.05068).

    The student's pooled features are compared with the teacher's descriptors; they need not be as wide. Both
    terms are Huber losses with a mean over all pairs, or triangles, of the batch; a batch needs two shapes
    for the first and three for the second, else it counts 0.

    Args:
        distance_weight: Weight of the distances; the paper's is 25 beside a task loss of weight 1, which is
            2.5 beside one of 0.1.
        angle_weight: Weight of the angles; the paper's is 50, likewise.
    """

    def __init__(self, distance_weight: float = 2.5, angle_weight: float = 5.0) -> None:
        super().__init__()
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the weighted ``loss_distance`` and ``loss_angle``, each where its weight is not 0."""
        target = teacher_descriptor(teacher, self)
        # in half precision distances of close shapes would be lost
        with torch.autocast(target.device.type, enabled=False):
            feats = features["global_feats"]
            feats = feats.to(torch.promote_types(feats.dtype, torch.float32))
            target = target.to(feats.dtype)
            terms = {
                "distance": (self.distance_weight, relative_distances),
                "angle": (self.angle_weight, angle_cosines),
            }
            return {
                f"loss_{name}": weight * _huber(relation(feats), relation(target))
                for name, (weight, relation) in terms.items()
                if weight
            }


def _huber(student: Tensor, teacher: Tensor) -> Tensor:
    return F.smooth_l1_loss(student, teacher, reduction="sum") / max(len(student), 1)


@MODELS.register_module()
class SimilarityDistillationHead(nn.Module):
    """Which shapes a shape is like: its similarities to those that came before, as a distribution (SEED; Fang
    et al., ICLR 2021; arXiv 2101.04731).

    A queue holds the teacher's descriptors of the last shapes. Teacher and student each say how similar a
    shape is to all of them, and to those of its batch, as a softmax of cosines; the loss is the divergence.

    Args:
        in_channels: C of the backbone; given by the model.
        teacher_channels: D of the teacher; given by the model.
        queue: Its length, 256 to 4096 as a rule, at least 1. It starts empty.
        temperature: Above 0, of both distributions.
        loss_weight: Weight of the loss.
        projector: As ``DescriptorDistillationHead``; descriptors of frozen teachers have both signs.
    """

    queue: Tensor
    seen: Tensor

    def __init__(
        self,
        in_channels: int,
        teacher_channels: int,
        queue: int = 1024,
        temperature: float = 0.07,
        loss_weight: float = 0.1,
        projector: str = "mlp",
    ) -> None:
        super().__init__()
        if queue < 1 or temperature <= 0:
            raise ValueError(f"queue and temperature must be above 0, not {queue} and {temperature}")
        self.align = make_projector(projector, in_channels, teacher_channels)
        self.temperature, self.loss_weight = temperature, loss_weight
        self.register_buffer("queue", torch.zeros(queue, teacher_channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the weighted ``loss_similarity``; in training the descriptors then enter the queue."""
        student = F.normalize(self.align(features["global_feats"]).to(self.queue.dtype), dim=1)
        target = F.normalize(teacher_descriptor(teacher, self).to(self.queue.dtype), dim=1)
        known = torch.cat((self.queue[: int(self.seen)], target))
        said, wanted = ((x @ known.mT / self.temperature).log_softmax(1) for x in (student, target))
        loss = F.kl_div(said, wanted, reduction="batchmean", log_target=True)
        if self.training:
            self._remember(target)
        return {"loss_similarity": self.loss_weight * loss}

    @torch.no_grad()
    def _remember(self, rows: Tensor) -> None:
        """Put the newest rows in front of those that are left of the others."""
        kept = torch.cat((rows, self.queue))[: len(self.queue)]
        self.queue.copy_(kept)
        self.seen.add_(len(rows)).clamp_(max=len(self.queue))
