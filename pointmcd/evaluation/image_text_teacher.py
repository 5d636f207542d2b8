"""What an image-text model says of the views of a prepared set, in the space that its texts share."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pointmcd.batch import TeacherRows
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.datasets.text_vectors import TextVectors
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.classification import accuracies_of_parts
from pointmcd.evaluation.frozen_teacher import Track, trunk_features
from pointmcd.evaluation.trunk_rows import CHUNK
from pointmcd.models.heads.text_alignment import SCALE
from pointmcd.models.teachers.image_text import ImageTextModel


def cache_image_text(
    root: str | Path, name: str, model: ImageTextModel, track: Track, text: TextVectors | None = None
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Write the embeddings of all shapes of a set; no label is looked at.

    Args:
        root: Folder of the prepared set.
        name: Of the cache.
        model: Whose images these are.
        track: As ``trunk_features``.
        text: By the same model; with it the cache says which class each shape looks like, too.

    Returns:
        The folder of the cache, and, with texts, the model's own zero-shot accuracies by split.

    Raises:
        ValueError: The texts are another model's or of another width, or lack a class of the set.
    """
    features = trunk_features(root, model, track)
    weights = features.meta["weights_sha256"]
    if text is not None:
        if text.weights_sha256 != weights:
            raise ValueError(
                f"the texts are of {text.model} with weights {text.weights_sha256[:16]}, the images of "
                f"{model.name} with {weights[:16]}; embed them with this model: pointmcd embed-text"
            )
        text = text.of(features.prepared.class_names)
        width = features.split(features.prepared.splits[0]).shape[-1]
        if text.vectors.shape[1] != width:
            raise ValueError(f"the texts have {text.vectors.shape[1]} channels, the images {width}")
    figures: dict[str, dict[str, float]] = {}
    with TeacherCacheWriter(root, name) as writer:
        for split in features.prepared.splits:
            written = writer.write_split(split, _batches(features, split, text))
            if text is not None:
                truth = np.asarray(features.prepared.split(split).labels)
                every = np.ones(len(truth), bool)
                figures |= accuracies_of_parts(
                    truth, written["logits"], {split: np.arange(len(truth))}, every
                )
        teacher = {"type": "ImageTextModel", "weights_sha256": weights, **model.settings}
        templates = None if text is None else text.templates
        return writer.finish({"accuracy": figures, "teacher": teacher, "templates": templates}), figures


def _batches(features: TrunkFeatures, split: str, text: TextVectors | None) -> Iterator[TeacherRows]:
    whole = features.split(split)
    for start in range(0, len(whole), CHUNK):
        views = torch.from_numpy(np.asarray(whole[start : start + CHUNK], np.float32))
        descriptor = torch.nn.functional.normalize(views.mean(1), dim=-1)
        rows: TeacherRows = {"view_descriptors": views, "descriptor": descriptor}
        if text is not None:
            rows["logits"] = SCALE * descriptor @ torch.from_numpy(text.vectors).mT
        yield rows
