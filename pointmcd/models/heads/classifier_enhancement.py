"""The student's classifier, shown what the teacher sees (PointCMT; Yan et al., 2022; arXiv 2210.04208)."""

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import PointFeatures, TeacherRows
from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.heads.distillation import make_projector
from pointmcd.models.heads.relations import teacher_descriptor
from pointmcd.models.losses import soft_kl
from pointmcd.registry import MODELS


@MODELS.register_module()
class ClassifierEnhancementHead(nn.Module):
    """Classify the teacher's descriptor with the student's own classifier, and have the student say the same
    of the points: PointCMT's classifier enhancement (section 3.3).

    As in its release the divergence has a gradient on both sides, so that the classifier learns from images
    too; the rest of PointCMT is ``FeatureEnhancementHead``. The descriptor is projected to the width of the
    classifier's input; the release has images and points of one width.

    Args:
        in_channels: C of the backbone; given by the model, of no use here.
        teacher_channels: D of the teacher; given by the model.
        task_head: The student's classification head; given by the model.
        loss_weight: Weight of the loss, which is a mean over shapes (release: 0.3 of the sum over 32).

    Raises:
        ValueError: The student has no classification head.
    """

    def __init__(
        self, in_channels: int, teacher_channels: int, task_head: nn.Module | None, loss_weight: float = 0.1
    ) -> None:
        super().__init__()
        if not isinstance(task_head, ClassificationHead):
            raise ValueError("ClassifierEnhancementHead needs a student with a ClassificationHead")
        self._task_head = (task_head,)  # in a tuple, since its weights are not this head's
        # a descriptor is not negative
        self.align = make_projector("relu", teacher_channels, task_head.classifier.in_features)
        self.loss_weight = loss_weight

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the weighted ``loss_classifier``."""
        (task_head,) = self._task_head
        weight = task_head.classifier.weight
        seen = F.linear(self.align(teacher_descriptor(teacher, self).to(weight.dtype)), weight)
        return {"loss_classifier": self.loss_weight * soft_kl(features["logits"], seen)}
