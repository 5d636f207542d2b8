"""An exported student and what it says of a shape."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from pointmcd.apis.files import read_shape
from pointmcd.apis.results import Prediction, Segmentation
from pointmcd.apis.student_file import FORMAT, build_student
from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.preparation.shape import PointSettings, prepare_points
from pointmcd.evaluation.part_segmentation import predict_parts
from pointmcd.geometry import normalize, to_z_up
from pointmcd.registry import import_modules

Shape = str | Path | np.ndarray


class Student:
    """A point network with all that it takes to classify, segment or embed a file as in training.

    Args:
        exported: What ``export_student`` writes.
        device: Where it runs.

    Attributes:
        class_names: K names of classes, the categories where the student segments.
        part_names: P names, where it segments.
        class_parts: The parts of each category, where it segments.
        num_points: N, points that it looks at.
        settings: How a shape's points are prepared.
        rotation: How shapes were turned in training (``rotation_in_training``); None of a file that does not
            say.
        model: The ``PointModel``, in eval mode.

    Raises:
        ValueError: ``exported`` is not what ``export_student`` writes (``student_file`` has the rules).
    """

    def __init__(self, exported: dict[str, Any], device: str | torch.device = "cpu") -> None:
        self.model = build_student(exported).to(device)
        self.class_names: list[str] = exported["class_names"]
        self.part_names: list[str] = exported.get("part_names", [])
        self.class_parts: list[list[int]] = exported.get("class_parts", [])
        self.num_points: int = exported["num_points"]
        self.settings = PointSettings(**exported["points"])
        self.rotation: str | None = exported.get("rotation")
        self.device = torch.device(device)

    def points(self, shape: Shape) -> np.ndarray:
        """The points that the network sees of a shape, prepared as the training set was.

        Args:
            shape: A mesh file (OFF, OBJ, PLY, STL, GLB), a point file (NPY, NPZ, XYZ, TXT, PTS, CSV, PLY) or
                an array (N, 3 or more columns, of which x, y, z come first), in its own units and with the
                training set's up axis; GLB is +Y up by its specification.

        Returns:
            (num_points, 3) float32 in the unit ball, z up.

        Raises:
            ValueError: The shape is unreadable, empty, not finite or of no extent (``MeshError`` says why).
        """
        name = "" if isinstance(shape, np.ndarray) else Path(shape).stem
        return prepare_points(_read(shape), self.settings, name)[: self.num_points]

    def probabilities(self, points: np.ndarray | Tensor) -> Tensor:
        """Class probabilities of points that are prepared already.

        Args:
            points: (B, N, 3) float32 in the unit ball, z up.

        Returns:
            (B, K) float32 on the CPU.

        Raises:
            ValueError: The student does not classify.
        """
        self._must("classify")
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

        Raises:
            ValueError: The student does not classify; ``embed`` serves any.
        """
        self._must("classify")
        features = self._run(self.points(shape)[None])
        names = {"global": "global_feats", "descriptor": "descriptor", "logits": "logits"}
        return {name: features[key][0].cpu().numpy() for name, key in names.items()}

    def segment(self, shape: Shape, category: str, all_points: bool = False) -> Segmentation:
        """The part of each point of one shape.

        Args:
            shape: As ``points``.
            category: Name of the shape's category, one of ``class_names``. Only its parts are given.
            all_points: Of a cloud, give every point the part of the nearest point that the network saw, in
                the order of the cloud; without it, the result is of ``points`` as the network sees them.

        Raises:
            ValueError: The student does not segment, the category is not known, or all points are asked of a
                mesh, which has none.
        """
        self._must("segment")
        if category not in self.class_names:
            near = difflib.get_close_matches(category, self.class_names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.class_names)}"
            raise ValueError(f"category {category!r} is not known; {hint}")
        label = self.class_names.index(category)
        points = self.points(shape)
        scores = self._run(points[None], torch.tensor([label]))["logits"][0].cpu().numpy()
        parts = predict_parts(scores, self.class_parts[label])
        if all_points:
            cloud = _read(shape)
            if not isinstance(cloud, np.ndarray):
                raise ValueError(f"{shape} is a mesh: all_points needs a cloud (NPY, XYZ, TXT, PLY or array)")
            whole = normalize(to_z_up(cloud[:, :3], self.settings.up))[0].astype(np.float32)
            parts, points = parts[KDTree(points).query(whole)[1]], whole
        return Segmentation(points, parts, self.part_names, category, self.class_parts[label])

    def embed(self, shape: Shape) -> np.ndarray:
        """The global feature of one shape, of any student, also of one that was trained without a head.

        Args:
            shape: As ``points``.

        Returns:
            (C,) float32, the maximum over the features of its points.
        """
        points = torch.as_tensor(self.points(shape)[None], device=self.device)
        with torch.inference_mode():
            features = self.model.backbone(points)["point_feats"].amax(1)[0]
        return _finite(features).cpu().numpy()

    def _must(self, task: str) -> None:
        does = None if self.model.head is None else "segment" if self.model.dense else "classify"
        if does is None:
            raise ValueError(f"this student has no head and cannot {task}; it can embed")
        if does != task:
            raise ValueError(f"this student does not {task}; it can {does} and embed")

    @torch.inference_mode()
    def _run(self, points: np.ndarray | Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        batch = {"points": torch.as_tensor(points).to(self.device, torch.float32)}
        if label is not None:
            batch["label"] = label.to(self.device)
        features = self.model(**batch)
        _finite(features["logits"])
        return features


def _finite(values: Tensor) -> Tensor:
    """Values as they are, none of which is NaN or infinite.

    Raises:
        ValueError: One is; a probability or an argmax of it would mean nothing.
    """
    if not bool(values.isfinite().all()):
        raise ValueError("the network's output for this shape is not finite (NaN or infinite)")
    return values


def _read(shape: Shape) -> Any:
    """A mesh, or an array as it is."""
    return shape if isinstance(shape, np.ndarray) else read_shape(shape)


def load_student(
    path: str | Path, device: str | torch.device = "cpu", imports: Sequence[str] = ()
) -> Student:
    """Load a student that ``tools/export_student.py`` wrote.

    A file from anywhere is safe to load: it is data, and names only parts that are registered already.

    Args:
        path: The exported file.
        device: Where it shall run.
        imports: Modules to import first, which register parts that are not pointmcd's:
            ``["my_package.my_backbone"]``. They are code, and the caller's choice; the file cannot name any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no exported student, is damaged, or needs a part that no module has registered; or a
            module cannot be imported.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no exported student {path}; python tools/export_student.py writes one"
        )
    import_modules([imports] if isinstance(imports, str) else imports)
    exported = read_checkpoint(path)
    if exported.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no exported student; make one from a training checkpoint:\n"
            f"python tools/export_student.py CONFIG {path} student.pth"
        )
    try:
        return Student(exported, device)
    except ValueError as error:
        raise ValueError(f"{path} is no student that can be used: {error}") from error
