"""The teacher of ``pointmcd distill``: frozen networks, or their average with the student alone, cached."""

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointmcd.commands.frozen_teacher import POINT_LEVELS, build_trunks, cache_frozen
from pointmcd.files import file_sha256, read_json, write_json

if TYPE_CHECKING:
    from pointmcd.evaluation.cross_fitting import Figures


POINT_DIM = 64


def teacher_title(args: argparse.Namespace) -> str:
    """Return what tables and pictures call the teacher."""
    average = ", averaged with the student alone" if args.average else ""
    return f"teacher ({', '.join(args.trunk)}, frozen{average})"


def why_no_points(args: argparse.Namespace, config: Any) -> str | None:
    """Return why single points cannot be taught, or None where they can.

    Args:
        args: Of the command.
        config: Of the student alone, which is tried on points of the number that it says.

    Raises:
        ValueError: The student does not take so many.
    """
    import torch

    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.registry import MODELS

    student = MODELS.build(config.model).eval()
    points = torch.rand(2, config.train_dataloader.dataset.num_points, student.backbone.in_channels)
    has_local = student.backbone.local_channels is not None
    with torch.no_grad():
        student(points=points)
        student.with_local = has_local
        try:
            student(points=points)
        except NotImplementedError:  # it inherits the width, but not the features
            has_local = False
    if args.further:
        return "--further works for the classes of shapes only"
    if not PreparedSet(args.data).has_visibility:
        return f"{args.data} does not say which points a view sees; prepare it with --visibility ray"
    return None if has_local else f"{args.backbone} has no local features of all points"


class DistillationTeacher:
    """Writes the caches of one share of the labels; each is written once, and found again by a note of it.

    Args:
        args: Of the command.
        labels: Percent of each class's labels.
        folder: Of the runs, where the notes lie.
    """

    def __init__(self, args: argparse.Namespace, labels: float, folder: Path) -> None:
        self.args = args
        self.labels = labels
        self.folder = folder
        self.trunks = build_trunks(args, args.trunk)

    def frozen(self, split: str, seed: int, num_points: int = 0) -> tuple[str, "Figures"]:
        """Return the name of the image networks' cache of these labels, and its accuracies.

        Args:
            split: Of the labels.
            seed: Which of them are drawn.
            num_points: First points of each shape that it says something of.
        """
        from pointmcd.datasets.label_choice import Labels

        if num_points and self.labels == 100:
            seed = 0  # one large cache, as all seeds have the same labels
        labels = Labels(split, self.labels / 100, seed)
        of_points = {"point_dim": POINT_DIM, "point_count": num_points, "point_levels": POINT_LEVELS}
        teacher = {
            "trunks": [{**one.settings, "weights_sha256": one.weights_sha256()} for one in self.trunks],
            "options": [
                *(self.args.folds, self.args.dim, self.args.regularisation),
                *(self.args.no_spread, self.args.views),
            ],
            **({"further": self._further()} if self.args.further else {}),
            **({"points": of_points} if num_points else {}),
        }
        name = f"distill_{'_'.join(self.args.trunk)}_{self.labels:g}_{split}_s{seed}".replace("/", "_")
        # a cache of its own for every teacher, so that none takes the place of another
        name += "_" + hashlib.sha256(repr(teacher).encode()).hexdigest()[:8]
        wanted = {"labels": {"split": split, "fraction": labels.fraction, "seed": seed}, **teacher}
        if (there := self._found(name, wanted)) is not None:
            return name, there
        further = [Path(one) for one in self.args.further]
        args = argparse.Namespace(**vars(self.args), **of_points) if num_points else self.args
        _, figures = cache_frozen(self.args.data, name, self.trunks, labels, args, further, probe_parts=False)
        self._note(name, wanted)
        return name, figures

    def average(self, frozen: str, checkpoint: Path) -> tuple[str, "Figures"]:
        """Return the name of the cache of the mean of the networks and a student, and its accuracies.

        Args:
            frozen: Name of the networks' cache.
            checkpoint: Of a student that was trained with the same labels.
        """
        from pointmcd.evaluation.averaged_teacher import average_caches
        from pointmcd.evaluation.point_teacher import cache_students

        digest = file_sha256(checkpoint)
        student, name = f"distill_student_{digest[:8]}", f"{frozen}_average_{digest[:8]}"
        wanted = {"frozen": read_json(self.folder / f"{frozen}.json"), "student_sha256": digest}
        if (there := self._found(name, wanted)) is not None:
            return name, there
        cache_students(self.args.data, [checkpoint], student)
        _, figures = average_caches(self.args.data, [frozen, student], None, name)
        self._note(name, wanted)
        return name, figures["average"]

    def hints(self) -> list[str]:
        """Return what would make the image networks better."""
        from pointmcd.datasets.prepared_set import PreparedSet

        prepared = PreparedSet(self.args.data)
        hints = []
        for trunk in self.trunks:
            if trunk.settings["random_weights"]:
                hints.append(
                    f"weights of {trunk.settings['trunk']} that were trained (--weights FILE or timm)"
                )
            size = trunk.trained_size
            if (trunk.settings["input_size"] or prepared.image_size or size) < size:
                hints.append(f"--input-size {size}: what {trunk.settings['trunk']} was trained with")
        if prepared.image_size and prepared.image_size < 112:
            hints.append(f"larger views than {prepared.image_size} pixels (prepare_data.py --image-size 224)")
        if prepared.num_views < 12:
            hints.append(f"more than {prepared.num_views} views (prepare_data.py --rig circle12)")
        if len(self.trunks) == 1:
            hints.append("a stronger network, or a second one beside it (--trunk A B)")
        hints.append("training it on the views (configs/teacher_mobilenetv2_meshes.py; README, ModelNet40)")
        return hints

    def _found(self, name: str, wanted: dict[str, Any]) -> "Figures | None":
        """Return the accuracies of a cache that this folder's run has written, or None."""
        from pointmcd.datasets.teacher_cache import TeacherCache

        noted = self.folder / f"{name}.json"
        try:
            there = TeacherCache(self.args.data, name)
            for one in wanted.get("further", ()):
                TeacherCache(one, name)
            if noted.is_file() and read_json(noted) == {**wanted, "identity": there.identity}:
                return there.meta["accuracy"]
        except (FileNotFoundError, ValueError):
            pass
        return None

    def _further(self) -> dict[str, str]:
        """Return the digests of the further sets."""
        from pointmcd.datasets.prepared_set import PreparedSet

        return {one: PreparedSet(one).digest for one in self.args.further}

    def _note(self, name: str, wanted: dict[str, Any]) -> None:
        from pointmcd.datasets.teacher_cache import TeacherCache

        identity = TeacherCache(self.args.data, name).identity
        write_json(self.folder / f"{name}.json", {**wanted, "identity": identity})
