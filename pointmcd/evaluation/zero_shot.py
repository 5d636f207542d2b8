"""How right is an aligned student that is told the names of classes alone?"""

from collections.abc import Sequence

import numpy as np

from pointmcd.apis.student import Student
from pointmcd.datasets.prepared_split import PreparedSplit
from pointmcd.datasets.text_vectors import TextVectors
from pointmcd.evaluation.classification import accuracies, confusion_matrix
from pointmcd.evaluation.robustness import predictions


def zero_shot(
    student: Student, split: PreparedSplit, class_names: Sequence[str], text: TextVectors
) -> dict[str, float]:
    """Classify the shapes of a split by the texts of its classes. Nothing is fitted, and nothing chosen.

    Args:
        student: Aligned with the model of the texts.
        split: The S shapes.
        class_names: The K classes of the set, each of which has a text; others are no candidates.
        text: Their vectors.

    Returns:
        ``overall_accuracy`` and ``mean_class_accuracy`` in percent.

    Raises:
        ValueError: The student is not aligned with these texts, sees more of a point than its place, or a
            class has no text.
    """
    if student.inputs:
        raise ValueError(f"the student sees {' and '.join(student.inputs)}; zero-shot shows it x, y, z alone")
    student.use_text(text, class_names)
    found = predictions(student, np.array(split.points[:, : student.num_points]))
    return accuracies(confusion_matrix(split.labels, found, len(class_names)))
