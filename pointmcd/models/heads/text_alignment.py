"""Students in the space of an image-text model, where a class is no more than its name."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import Batch, HeadOutput, PointFeatures, TeacherRows
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.text_vectors import read_text_vectors
from pointmcd.models.heads.distillation import make_projector
from pointmcd.models.heads.relations import teacher_descriptor
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.registry import MODELS

SCALE = 100.0
"""Of cosines that become logits, as CLIP has it when it is trained; no ranking depends on it."""


@MODELS.register_module()
class EmbeddingHead(nn.Module):
    """Global feature -> hidden layer -> embedding beside those of images and texts. It has no classes.

    It is shipped with the student. Given ``text`` it says which of these the shape is likest to.

    Args:
        in_channels: C of the backbone; given by the model.
        teacher_channels: E of the space; filled in from the cached teacher where a config leaves it None.

    Attributes:
        width: E.
        text: (K, E) unit vectors of names, or None. No part of a checkpoint.
    """

    dense = False

    def __init__(self, in_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.align = make_projector("mlp", in_channels, teacher_channels)
        self.width = teacher_channels
        self.text: Tensor | None = None

    def forward(self, features: PointFeatures) -> HeadOutput:
        """Map ``global_feats`` (B, C) to ``descriptor`` (B, E) and, given text, ``logits`` (B, K)."""
        found: HeadOutput = {"descriptor": self.align(features["global_feats"])}
        if self.text is not None:
            unit = F.normalize(found["descriptor"], dim=-1)
            found["logits"] = SCALE * unit @ self.text.to(unit).mT
        return found

    def loss(self, features: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """Return nothing: ``TextAlignmentHead`` teaches it."""
        return {}

    def predict(self, features: HeadOutput, batch: Batch) -> list[dict[str, Any]]:
        """Refuse: what there is to choose from is not known in training."""
        raise ValueError(
            "an EmbeddingHead has no classes; export the student, and pointmcd zero-shot tests it"
        )


@MODELS.register_module()
class TextAlignmentHead(nn.Module):
    """The student's embedding beside the image-text model's of the same shape: no label is needed.

    Two terms, as those who align point networks with CLIP have them (ULIP, Xue et al., CVPR 2023, arXiv
    2212.05171; OpenShape, Liu et al., NeurIPS 2023, arXiv 2305.10764): the cosine, and which image of the
    batch is the shape's, and which shape the image's. Given texts, the labels that are known count too.

    Args:
        cosine_weight: Weight of 1 - cosine.
        contrast_weight: Weight of the contrast in the batch, the mean of both directions.
        temperature: Of the contrast and the texts, above 0.
        text: A file of ``pointmcd embed-text`` with the names of all classes, or None: no label is looked at.
        text_weight: Weight of the cross-entropy of labelled shapes among the texts of all classes.
        data_root: Folder of the prepared set, which names the classes; filled in from the config's top level.

    Raises:
        ValueError: The temperature is not above 0, or the texts lack a class.
    """

    with_batch = True
    text: Tensor | None

    def __init__(
        self,
        cosine_weight: float = 1.0,
        contrast_weight: float = 1.0,
        temperature: float = 0.07,
        text: str | None = None,
        text_weight: float = 1.0,
        data_root: str | None = None,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}, must be more than 0")
        self.cosine_weight = cosine_weight
        self.contrast_weight = contrast_weight
        self.text_weight = text_weight
        self.temperature = temperature
        vectors = None
        if text is not None:
            if data_root is None:
                raise ValueError(
                    "TextAlignmentHead needs data_root, the folder of the set that has the classes"
                )
            vectors = torch.from_numpy(read_text_vectors(text).of(PreparedSet(data_root).class_names).vectors)
        self.register_buffer("text", vectors, persistent=False)

    def loss(self, features: PointFeatures, teacher: TeacherRows, batch: Batch) -> dict[str, Tensor]:
        """Return weighted ``loss_cosine`` and ``loss_contrast``, and ``loss_text`` given texts."""
        target = teacher_descriptor(teacher, self)
        # in half precision a softmax at this temperature would be too coarse
        with torch.autocast(target.device.type, enabled=False):
            feats = features["descriptor"]
            feats = feats.to(torch.promote_types(feats.dtype, torch.float32))
            if feats.shape != target.shape:
                raise ValueError(
                    f"the student's embeddings are {tuple(feats.shape)}, the teacher's are "
                    f"{tuple(target.shape)}; the model's head must be an EmbeddingHead of that width"
                )
            if self.text is not None and self.text.shape[1] != feats.shape[1]:
                raise ValueError(
                    f"the texts have {self.text.shape[1]} channels, the teacher's embeddings "
                    f"{feats.shape[1]}; embed them with the teacher's model: pointmcd embed-text"
                )
            student, target = F.normalize(feats, dim=1), F.normalize(target.to(feats.dtype), dim=1)
            likeness = student @ target.mT / self.temperature
            own = torch.arange(len(student), device=student.device)
            contrast = (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.mT, own)) / 2
            losses = {
                "loss_cosine": self.cosine_weight * (1 - (student * target).sum(1)).mean(),
                "loss_contrast": self.contrast_weight * contrast,
            }
            if self.text is not None:
                logits = student @ self.text.to(student.dtype).mT / self.temperature
                losses["loss_text"] = self.text_weight * smoothed_cross_entropy(logits, batch["label"], 0.0)
        return losses
