"""An exported student and what it says of a shape."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pointmcd.apis.export import FORMAT
from pointmcd.apis.files import read_shape
from pointmcd.datasets.processing import PointSettings, prepare_points
from pointmcd.registry import MODELS

Shape = str | Path | np.ndarray


class Prediction(NamedTuple):
    """One class and its probability."""

    name: str
    probability: float


class Student:
    """A point network with all that it takes to classify a file as in training.

    Args:
        exported: What ``export_student`` writes.
        device: Where it runs.

    Attributes:
        class_names: K names.
        num_points: N, points that it looks at.
        settings: How a shape's points are prepared.
        model: The ``PointModel``, in eval mode.
    """

    def __init__(self, exported: dict[str, Any], device: str | torch.device = "cpu") -> None:
        self.class_names: list[str] = exported["class_names"]
        self.num_points: int = exported["num_points"]
        self.settings = PointSettings(**exported["points"])
        self.model = MODELS.build(exported["model"])
        self.model.load_state_dict(exported["state_dict"])
        self.model.to(device).eval()
        self.device = torch.device(device)

    def points(self, shape: Shape) -> np.ndarray:
        """The points that the network sees of a shape, prepared as the training set was.

        Args:
            shape: A mesh file (OFF, OBJ, PLY, STL, GLB), a point file (NPY, XYZ, TXT, PLY) or an array (N,
                3 or more columns, of which x, y, z come first), in its own units and with the training
                set's up axis.

        Returns:
            (num_points, 3) float32 in the unit ball, z up.

        Raises:
            ValueError: The shape is unreadable, empty, not finite or of no extent (``MeshError`` says why).
        """
        if isinstance(shape, np.ndarray):
            return prepare_points(shape, self.settings)[: self.num_points]
        return prepare_points(read_shape(shape), self.settings, Path(shape).stem)[: self.num_points]

    def probabilities(self, points: np.ndarray | Tensor) -> Tensor:
        """Class probabilities of points that are prepared already.

        Args:
            points: (B, N, 3) float32 in the unit ball, z up.

        Returns:
            (B, K) float32 on the CPU.
        """
        return self._run(points)["logits"].softmax(-1).cpu()

    def classify(self, shape: Shape, top: int = 5) -> list[Prediction]:
        """The most probable classes of one shape.

        Args:
            shape: As ``points``.
            top: How many, at most K.

        Returns:
            Predictions, the most probable first.
        """
        scores = self.probabilities(self.points(shape)[None])[0]
        order = scores.argsort(descending=True, stable=True)[:top]
        return [Prediction(self.class_names[int(index)], float(scores[index])) for index in order]

    def features(self, shape: Shape) -> dict[str, np.ndarray]:
        """What the network makes of one shape before it classifies.

        Args:
            shape: As ``points``.

        Returns:
            ``global`` (C,), the pooled feature; ``descriptor`` (D,), the classifier's input; ``logits``
            (K,); float32.
        """
        features = self._run(self.points(shape)[None])
        names = {"global": "global_feats", "descriptor": "descriptor", "logits": "logits"}
        return {name: features[key][0].cpu().numpy() for name, key in names.items()}

    @torch.inference_mode()
    def _run(self, points: np.ndarray | Tensor) -> dict[str, Tensor]:
        return self.model(points=torch.as_tensor(points).to(self.device, torch.float32))


def load_student(path: str | Path, device: str | torch.device = "cpu") -> Student:
    """Load a student that ``tools/export_student.py`` wrote.

    Args:
        path: The exported file.
        device: Where it shall run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no exported student.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no exported student {path}; python tools/export_student.py writes one"
        )
    exported = torch.load(path, map_location="cpu", weights_only=True)
    if exported.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no exported student; make one from a training checkpoint:\n"
            f"python tools/export_student.py CONFIG {path} student.pth"
        )
    return Student(exported, device)
