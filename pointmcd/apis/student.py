"""An exported student and what it says of a shape."""

import difflib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from pointmcd.apis.batches import NOT_FINITE, Task, all_or_none, outcomes
from pointmcd.apis.device import check_device
from pointmcd.apis.files import files_of_folder, load_shape
from pointmcd.apis.results import Prediction, Segmentation
from pointmcd.apis.student_file import FORMAT, build_student
from pointmcd.apis.student_folder import read_student_folder
from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.preparation.shape import PointSettings, prepare_points, shape_of_array
from pointmcd.datasets.preparation.sources import Shape
from pointmcd.datasets.text_vectors import TextVectors, read_text_vectors
from pointmcd.evaluation.part_segmentation import predict_parts
from pointmcd.geometry import MeshError, normalize, to_z_up
from pointmcd.models.heads import EmbeddingHead
from pointmcd.registry import import_modules

OneShape = str | Path | np.ndarray | Tensor | Shape
ManyShapes = Sequence[OneShape] | np.ndarray | Tensor | str | Path


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
        inputs: What it sees of each beside x, y, z: ``normals``, ``colors``, both or nothing.
        settings: How a shape's points are prepared.
        rotation: How shapes were turned in training (``rotation_in_training``); None of a file that does not
            say.
        aligned_to: SHA-256 of the weights of the image-text model whose space it shares, or None.
        text: What it was given last by ``use_text``.
        model: The ``PointModel``, in eval mode.

    Raises:
        ValueError: ``exported`` is not what ``export_student`` writes (``student_file`` has the rules).
    """

    def __init__(
        self,
        exported: dict[str, Any],
        device: str | torch.device = "cpu",
        text: TextVectors | None = None,
    ) -> None:
        self.model = build_student(exported).to(device)
        self.class_names: list[str] = exported["class_names"]
        self.part_names: list[str] = exported.get("part_names", [])
        self.class_parts: list[list[int]] = exported.get("class_parts", [])
        self.num_points: int = exported["num_points"]
        self.inputs: tuple[str, ...] = tuple(exported.get("inputs", ()))
        self.settings = PointSettings(**exported["points"])
        self.rotation: str | None = exported.get("rotation")
        self.device = torch.device(device)
        self.aligned_to: str | None = exported.get("aligned_to")
        self.text: TextVectors | None = None
        if text is not None:
            self.use_text(text)

    @property
    def task(self) -> str:
        """``classify``, ``segment``, or ``embed``: it has no head, or one that waits for texts."""
        head = self.model.head
        if head is None or (isinstance(head, EmbeddingHead) and head.text is None):
            return "embed"
        return "segment" if self.model.dense else "classify"

    def use_text(self, text: TextVectors, names: Sequence[str] | None = None) -> None:
        """Let a student that is aligned with texts classify by names: these are its classes from now on.

        Args:
            text: Vectors of names (``read_text_vectors``, ``ImageTextModel.embed_names``).
            names: Of these, the classes; None: all.

        Raises:
            ValueError: The student is not aligned with the texts' model, or as wide, or a name is not known.
        """
        if not isinstance(self.model.head, EmbeddingHead) or self.aligned_to is None:
            raise ValueError(
                "this student is not aligned with texts; pointmcd train pointmcd_dgcnn_text_meshes makes one "
                "that is"
            )
        if self.aligned_to != text.weights_sha256:
            raise ValueError(
                f"the texts come from {text.model} with weights {text.weights_sha256[:16]}, but this student "
                f"is aligned with weights {self.aligned_to[:16]}: embed them with the model that taught it"
            )
        width = self.model.head.width
        if text.vectors.shape[1] != width:
            raise ValueError(
                f"the texts have {text.vectors.shape[1]} channels, this student's embedding has {width}: "
                "embed them with the model that taught it"
            )
        chosen = text if names is None else text.of(names)
        self.text, self.class_names = text, list(chosen.names)
        self.model.head.text = torch.from_numpy(chosen.vectors).to(self.device)

    def points(self, shape: OneShape) -> np.ndarray:
        """Return the points that the network sees of a shape, prepared as the training set was.

        Args:
            shape: A mesh file (OFF, OBJ, PLY, STL, GLB), a point file (NPY, NPZ, XYZ, TXT, PTS, CSV, PLY,
                PCD, LAS, LAZ), or an array or tensor (N, 3 or more columns): x, y, z, then ``inputs``; in its
                own units and with the training set's up axis; GLB is +Y up by its specification.

        Returns:
            (num_points, 3 + 3 len(inputs)) float32, points in the unit ball, z up.

        Raises:
            ValueError: The shape is unreadable, empty, not finite, of no extent or without one of ``inputs``
                (``MeshError`` says why).
        """
        return self.prepared(self._read(shape), _stem(shape))

    def prepared(self, shape: Shape, name: str = "") -> np.ndarray:
        """Return ``points`` of a shape that is read already; ``name`` seeds the sampling."""
        return prepare_points(shape, self.settings, name, self.inputs)[: self.num_points]

    def probabilities(self, points: np.ndarray | Tensor) -> Tensor:
        """Return class probabilities of points that are prepared already.

        Args:
            points: (B, N, 3 + 3 len(inputs)) float32 in the unit ball, z up.

        Returns:
            (B, K) float32 on the CPU.

        Raises:
            ValueError: The student does not classify.
        """
        self._must("classify")
        return self._run(points)["logits"].softmax(-1).cpu()

    def classify(
        self,
        shape: OneShape | ManyShapes,
        top: int = 5,
        batch_size: int = 16,
        names: Sequence[str] | None = None,
    ) -> Any:
        """Return the most probable classes of one shape, or of many.

        Args:
            shape: As ``points``; or a list of such, an array or tensor (B, N, 3 or more columns), or a folder
                with files of shapes at any depth, where a warning names other files.
            top: How many, at most K.
            batch_size: How many of many shapes go through the network at a time.
            names: Choose among these alone, of a student that is aligned with texts and was given some that
                know them: ``load_student(path, text="text.npy")``.

        Returns:
            Predictions, the most probable first: a list; of many shapes a list of such lists, and of a folder
            a dict of them by the file's path within it.

        Raises:
            ValueError: As ``points``, of the first shape that cannot be used; ``pointmcd predict`` goes on
                with the others.
        """
        if names is not None:
            if self.text is None:
                raise ValueError(
                    "names need texts: load_student(path, text='text.npy'), which pointmcd embed-text writes"
                )
            before = self.class_names
            self.use_text(self.text, names)
            try:
                return self.classify(shape, top, batch_size)
            finally:
                self.use_text(self.text, before)
        self._must("classify")
        shape = _plain(shape)
        many = _many(shape)
        if many is None:
            points = self.points(cast(OneShape, shape))
            return self.ranked(self._run(points[None])["logits"][0].cpu().numpy(), top)
        tasks = [Task(name, partial(self._read, one), _stem(one)) for name, one in many.items()]
        said = (one.logits for one in all_or_none(outcomes(self, tasks, batch_size)))
        found = [self.ranked(logits, top) for logits in said if logits is not None]
        return dict(zip(many, found, strict=True)) if isinstance(shape, str | Path) else found

    def ranked(self, logits: np.ndarray, top: int = 5) -> list[Prediction]:
        """Return classes by their logits (K,), the most probable first."""
        scores = torch.from_numpy(logits).float().softmax(-1)
        order = scores.argsort(descending=True, stable=True)[:top]
        return [Prediction(self.class_names[int(index)], float(scores[index])) for index in order]

    def features(self, shape: OneShape) -> dict[str, np.ndarray]:
        """Return what the network makes of one shape before it classifies.

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

    def segment(self, shape: OneShape, category: str, all_points: bool = False) -> Segmentation:
        """Return the part of each point of one shape.

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
        label = self.label_of(category)
        read = self._read(shape)
        points = self.prepared(read, _stem(shape))
        scores = self._run(points[None], torch.tensor([label]))["logits"][0].cpu().numpy()
        parts = predict_parts(scores, self.class_parts[label])
        points = points[:, :3]
        if all_points:
            if read.points is None:
                raise ValueError(f"{shape} is a mesh: all_points needs a cloud (NPY, XYZ, TXT, PLY or array)")
            whole = normalize(to_z_up(read.points, self.settings.up))[0].astype(np.float32)
            parts, points = parts[KDTree(points).query(whole)[1]], whole
        return Segmentation(points, parts, self.part_names, category, self.class_parts[label])

    def label_of(self, category: str) -> int:
        """Return the place of a category in ``class_names``.

        Raises:
            ValueError: It is not known; the text suggests the nearest and lists all.
        """
        if category not in self.class_names:
            near = difflib.get_close_matches(category, self.class_names, 1, 0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = ", ".join(self.class_names)
            raise ValueError(f"category {category!r} is not known; {hint}known: {known}")
        return self.class_names.index(category)

    def embed(self, shape: OneShape) -> np.ndarray:
        """Return the global feature of one shape, of any student, also of one without a head.

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
        does = self.task
        if does == "embed" and self.model.head is not None:
            raise ValueError(
                f"this student has no classes and cannot {task} without names: "
                "load_student(path, text='text.npy'), which pointmcd embed-text writes"
            )
        if does == "embed":
            raise ValueError(f"this student has no head and cannot {task}; it can embed")
        if does != task:
            raise ValueError(f"this student does not {task}; it can {does} and embed")

    def forward(self, points: np.ndarray | Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        """Return what the network makes of prepared points (``PointModel.student_features``).

        Args:
            points: (B, N, 3 + 3 len(inputs)).
            label: (B,) int64 categories, where the student segments.
        """
        batch = {"points": torch.as_tensor(points).to(self.device, torch.float32)}
        if label is not None:
            batch["label"] = label.to(self.device)
        return self.model(**batch)

    @torch.inference_mode()
    def _run(self, points: np.ndarray | Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        features = self.forward(points, label)
        _finite(features["logits"])
        return features

    def _read(self, shape: OneShape) -> Shape:
        if isinstance(shape, Shape):
            return shape
        if isinstance(shape, Tensor):
            shape = shape.numpy(force=True)
        if isinstance(shape, np.ndarray):
            return shape_of_array(shape, self.inputs)
        return load_shape(shape, self.inputs)


def _finite(values: Tensor) -> Tensor:
    """Return values as they are, none of which is NaN or infinite.

    Raises:
        ValueError: One is; a probability or an argmax of it would mean nothing.
    """
    if not bool(values.isfinite().all()):
        raise ValueError(NOT_FINITE)
    return values


def _stem(shape: OneShape) -> str:
    """Return the name by which the preparation seeds the sampling of a file's points."""
    return Path(shape).stem if isinstance(shape, str | Path) else ""


def _many(shapes: OneShape | ManyShapes) -> dict[str, OneShape] | None:
    """Return each of many shapes by a name for messages; None of one shape."""
    if isinstance(shapes, str | Path):
        return dict(files_of_folder(Path(shapes))) if Path(shapes).is_dir() else None
    if isinstance(shapes, Shape):
        return None
    if isinstance(shapes, np.ndarray | Tensor):
        return {f"shape {row}": one for row, one in enumerate(shapes)} if shapes.ndim == 3 else None
    named = [str(one) if isinstance(one, str | Path) else "shape" for one in shapes]
    return {f"{name} ({row})": one for row, (name, one) in enumerate(zip(named, shapes, strict=True))}


def _plain(shapes: OneShape | ManyShapes) -> OneShape | ManyShapes:
    """Return lists of numbers as arrays; all else as it is."""
    if not isinstance(shapes, list | tuple) or all(isinstance(one, OneShape) for one in shapes):
        return shapes
    try:
        return np.asarray(shapes, np.float64)
    except (ValueError, TypeError):
        raise MeshError(
            "a list of shapes holds files, arrays or tensors, or the numbers of an array (N, 3) or (B, N, 3)"
        ) from None


def load_student(
    path: str | Path,
    device: str | torch.device = "cpu",
    imports: Sequence[str] = (),
    text: str | Path | None = None,
) -> Student:
    """Load a student that ``pointmcd export`` wrote.

    A file from anywhere is safe to load: it is data, and names only parts that are registered already.

    Args:
        path: The exported file, or a folder in the Hub's form (``student_folder``).
        device: Where it shall run.
        imports: Modules to import first, which register parts that are not pointmcd's:
            ``["my_package.my_backbone"]``. They are code, and the caller's choice; the file cannot name any.
        text: Of a student that is aligned with texts, a file of ``pointmcd embed-text``: its names are the
            classes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an exported student, is damaged, or needs a part that no module has registered;
            or a module cannot be imported.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no exported student {path}; pointmcd export writes one")
    if Path(path).suffix.lower() == ".onnx":
        raise ValueError(
            f"{path} is an ONNX file, which runs in onnxruntime; give the student itself, the .pth file that "
            "pointmcd export wrote beside it"
        )
    import_modules([imports] if isinstance(imports, str) else imports)
    exported = read_student_folder(path) if Path(path).is_dir() else read_checkpoint(path)
    if exported.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not an exported student; make one from a training checkpoint:\n"
            f"pointmcd export CONFIG {path} student.pth"
        )
    vectors = None if text is None else read_text_vectors(text)
    check_device(device)
    try:
        return Student(exported, device, vectors)
    except ValueError as error:
        raise ValueError(f"{path} is not a student that can be used: {error}") from error
