"""Distillation heads: what the student says beside what the frozen teacher says."""

from typing import Literal, Protocol

from torch import Tensor, nn

from pointmcd.batch import PointFeatures, TeacherRows
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import descriptor_distance, soft_kl
from pointmcd.registry import MODELS

PROJECTORS = ("relu", "linear", "mlp")


def make_projector(name: str, in_channels: int, out_channels: int) -> nn.Module:
    """Return what turns a student's feature (..., in) into a descriptor (..., out) like the teacher's.

    Args:
        name: ``relu`` (the official one: linear, batch norm, ReLU), for descriptors that are not negative;
            for standardised ones ``linear``, or ``mlp``, which has a hidden layer as wide as the output.
        in_channels: Of the student.
        out_channels: Of the teacher.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in PROJECTORS:
        raise ValueError(f"projector is {name!r}; choose {', '.join(PROJECTORS)}")
    if name == "relu":
        return LinearNormAct(in_channels, out_channels)
    if name == "linear":
        return nn.Linear(in_channels, out_channels)
    return nn.Sequential(LinearNormAct(in_channels, out_channels), nn.Linear(out_channels, out_channels))


class DistillationHead(Protocol):
    """What ``PointMCD`` asks of a distillation head.

    The model gives the constructor what its signature names: ``in_channels`` (C, or L where the class says
    ``of_points = True``), ``teacher_channels`` (D, or E) and ``task_head``, the student's. The ``loss`` of a
    class that says ``with_batch = True`` is also given the batch, with its labels and points.
    """

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return weighted losses by name, each name with ``loss`` in it and no other head's.

        Args:
            features: What the student makes of the batch (keys: ``PointFeatures``).
            teacher: What the teacher says of it (keys: ``TeacherRows``).
        """


class _DescriptorHead(nn.Module):
    """Compare a projected student feature with the teacher's descriptor of the same thing."""

    student_key: Literal["view_feats", "global_feats", "local_feats"]
    teacher_key: Literal["view_descriptors", "descriptor", "point_descriptors"]
    loss_name: str

    def __init__(
        self,
        in_channels: int,
        teacher_channels: int,
        distance: str = "l1",
        loss_weight: float = 1.0,
        projector: str = "relu",
    ) -> None:
        super().__init__()
        self.align = make_projector(projector, in_channels, teacher_channels)
        self.distance = distance
        self.loss_weight = loss_weight
        self._distance = descriptor_distance(distance)

    def forward(self, features: PointFeatures) -> Tensor:
        """Return the aligned student descriptors (..., D)."""
        return self.align(features[self.student_key])

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the weighted distance of the aligned student descriptors from the teacher's."""
        if self.teacher_key not in teacher:
            raise ValueError(
                f"{type(self).__name__}: the teacher has no {self.teacher_key}, but {', '.join(teacher)}"
            )
        aligned = self(features)
        target = teacher[self.teacher_key].to(aligned.dtype)
        if aligned.shape != target.shape:
            raise ValueError(
                f"{type(self).__name__}: the student's descriptors are {tuple(aligned.shape)}, the teacher's "
                f"{self.teacher_key} {tuple(target.shape)}; was the teacher cached for these views?"
            )
        return {self.loss_name: self.loss_weight * self._compare(aligned, target)}

    def _compare(self, aligned: Tensor, target: Tensor) -> Tensor:
        return self._distance(aligned, target)


@MODELS.register_module()
class ViewDistillationHead(_DescriptorHead):
    """PointMCD's own loss: VAFP descriptors against the teacher's, view by view, all aligned alike.

    Source: official ``mv_cdw_alignment``: Linear (no bias), batch norm over all B * V rows, ReLU, mean L1.

    Args:
        in_channels: C of the backbone; given by the model.
        teacher_channels: D of the teacher; given by the model.
        distance: ``l1`` (the paper's), ``smooth_l1``, ``mse``, ``cosine`` or ``kl``.
        loss_weight: Weight of the loss (official: 1.0).
        projector: ``relu`` (official), or ``linear`` or ``mlp``: take one of these, and ``cosine``, for
            standardised descriptors, such as those of frozen teachers, which have both signs.
    """

    student_key = "view_feats"
    teacher_key = "view_descriptors"
    loss_name = "loss_view"


@MODELS.register_module()
class DescriptorDistillationHead(_DescriptorHead):
    """The global feature against the teacher's descriptor of the shape; the paper does not use it.

    Args: As ``ViewDistillationHead``.
    """

    student_key = "global_feats"
    teacher_key = "descriptor"
    loss_name = "loss_descriptor"


@MODELS.register_module()
class PointDistillationHead(_DescriptorHead):
    """Each point's local feature against what the views that see the point say of it.

    Points that no view sees count for nothing. The targets are standardised and have both signs.

    Args:
        in_channels: L of the backbone; given by the model.
        teacher_channels: E of the teacher; given by the model.
        distance: ``cosine``, ``smooth_l1``, ``l1``, ``mse`` or ``kl``.
        loss_weight: Weight of the loss.
        projector: ``linear`` or ``mlp``; ``relu`` only for targets without a negative value.
    """

    of_points = True
    student_key = "local_feats"
    teacher_key = "point_descriptors"
    loss_name = "loss_point"

    def __init__(
        self,
        in_channels: int,
        teacher_channels: int,
        distance: str = "cosine",
        loss_weight: float = 1.0,
        projector: str = "linear",
    ) -> None:
        super().__init__(in_channels, teacher_channels, distance, loss_weight, projector)

    def _compare(self, aligned: Tensor, target: Tensor) -> Tensor:
        seen = (target != 0).any(-1)
        if not bool(seen.any()):
            return aligned.sum() * 0
        return self._distance(aligned[seen], target[seen])


@MODELS.register_module()
class LogitDistillationHead(nn.Module):
    """KL divergence from the teacher's class probabilities (Hinton et al., 2015).

    Shapes that the teacher may not speak of (``has_logits`` 0) count for nothing. The recipes that gain set
    temperature and weight by the share of the labels (docs/results/classification.md).

    Args:
        temperature: Above 0; softens both distributions.
        loss_weight: Weight of the loss.
        sharpening: Above 0; multiplies the teacher's logits alone. Above 1 it makes the teacher surer.
    """

    teacher_key: Literal["logits", "point_logits"] = "logits"
    loss_name = "loss_logit"

    def __init__(self, temperature: float = 1.0, loss_weight: float = 0.1, sharpening: float = 1.0) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("sharpening", sharpening)):
            if value <= 0:
                raise ValueError(f"{name} is {value}, must be more than 0")
        self.temperature = temperature
        self.sharpening = sharpening
        self.loss_weight = loss_weight

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the weighted ``soft_kl`` of ``features['logits']`` from the teacher's."""
        if self.teacher_key not in teacher:
            raise ValueError(
                f"{type(self).__name__}: this teacher has no {self.teacher_key}; cache one that has seen "
                "labels, by another --name, and give it as train_dataloader.dataset.teacher"
            )
        logits = features["logits"]
        target = self.sharpening * teacher[self.teacher_key].to(logits.dtype)
        if logits.shape != target.shape:
            raise ValueError(
                f"{type(self).__name__}: the student's logits are {tuple(logits.shape)}, the teacher's "
                f"{self.teacher_key} {tuple(target.shape)}"
            )
        loss = soft_kl(logits, target, self.temperature, self._weight(teacher))
        return {self.loss_name: self.loss_weight * loss}

    def _weight(self, teacher: TeacherRows) -> Tensor | None:
        """Return what each row of the logits counts for; None: all alike."""
        return teacher.get("has_logits")


@MODELS.register_module()
class PointLogitDistillationHead(LogitDistillationHead):
    """KL divergence of a part segmentation student from what a probe of the views says of each point.

    Points that no view sees, and shapes that the teacher may not speak of, count for nothing.

    Args: As ``LogitDistillationHead``.
    """

    teacher_key = "point_logits"
    loss_name = "loss_point_logit"

    def _weight(self, teacher: TeacherRows) -> Tensor:
        seen = (teacher["point_logits"] != 0).any(-1)
        speaks = teacher.get("has_logits")
        return seen if speaks is None else seen * speaks.unsqueeze(-1)
