"""The steps of ``pointmcd distill`` for one share of the labels, and how much the teacher counts in each."""

import argparse
import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pointmcd.commands.common import make_table
from pointmcd.commands.frozen_teacher import build_trunks, cache_frozen
from pointmcd.config_files import CONFIGS
from pointmcd.evaluation.bootstrap import paired_difference, shape_scores
from pointmcd.evaluation.statistics import counted, mean_and_std, plus_minus
from pointmcd.files import read_json, write_json

ALONE, DISTILLED = "baseline", "pointmcd"
METRIC = "overall_accuracy"
RECIPES: dict[str, dict[str, float]] = {  # found on held-out shapes at 5, 20 and 100 % (docs/results.md)
    "few": {
        "model.distill.0.loss_weight": 0.4,
        "model.distill.0.temperature": 1.0,
        "model.distill.0.sharpening": 2.0,
        "train_dataloader.sampler.share": 0.25,
    },
    "some": {
        "model.distill.0.loss_weight": 0.2,
        "model.distill.0.temperature": 1.0,
        "model.distill.0.sharpening": 1.0,
        "train_dataloader.sampler.share": 0.5,
    },
    "all": {
        "model.distill.0.loss_weight": 0.05,
        "model.distill.0.temperature": 4.0,
        "model.distill.0.sharpening": 1.0,
        "train_dataloader.sampler.share": 0.5,
    },
}
FEW_SHAPES = 50
OF_BEFORE = {"recipe": "some", "further": []}
"""What a run was made with that does not say."""


def recipe_of(labels: float) -> str:
    """Return the name of the recipe for a percentage of the labels."""
    return "few" if labels < 10 else "some" if labels < 50 else "all"


class Distillation:
    """The steps for one share of the labels, each of whose results is a file.

    Args:
        args: Of the command.
        labels: Percent of each class's labels.
        folder: Of the runs.
    """

    def __init__(self, args: argparse.Namespace, labels: float, folder: Path) -> None:
        self.args = args
        self.labels = labels
        self.folder = folder
        self.console = Console(width=max(Console().width, 100))
        self.trunks = build_trunks(args, args.trunk)
        self.recipe = args.recipe or recipe_of(labels)
        self.minutes: list[float] = []  # of the trainings of this call
        self.trainings = 1 + 2 * len(args.seeds)

    def run(self) -> dict[str, list[float]] | None:
        """Take every step; return the accuracies of each row of the table, or None where it does not pay."""
        for side in (ALONE, DISTILLED):  # what is misspelt is said before hours of work
            self.config(side, self.args.seeds[0], "fit", "held_out", teacher="frozen")
        self.step("Does it pay? The teacher and the student alone, on shapes held out of train")
        if not self.pays() and not self.args.anyway:
            return None
        shown = ", ".join(f"{name}={value:g}" for name, value in RECIPES[self.recipe].items())
        self.console.print(f"Recipe {self.recipe}: {shown}", soft_wrap=True, highlight=False)
        results: dict[str, list[dict[str, Any]]] = {ALONE: [], DISTILLED: []}
        teachers = []
        for seed in self.args.seeds:
            self.step(f"Seed {seed}: the student alone, then with the teacher")
            teacher, figures = self.teacher("train", seed)
            teachers.append(figures["test"][METRIC])
            for side, runs in results.items():
                runs.append(self.result(side, seed, "train", "test", teacher))
        self.report(results, teachers)
        self.export()
        return {
            "teacher": teachers,
            "alone": [run[METRIC] for run in results[ALONE]],
            "distilled": [run[METRIC] for run in results[DISTILLED]],
        }

    def pays(self) -> bool:
        """Return whether the teacher is right more often than the student alone, by choices on train alone.

        Raises:
            ValueError: There are too few shapes to hold some out.
        """
        from pointmcd.datasets.label_choice import HELD_OUT_EVERY

        seed = self.args.seeds[0]
        _, figures = self.teacher("fit", seed)
        if "held_out" not in figures:
            raise ValueError(
                f"{self.args.data} has no class of {HELD_OUT_EVERY} shapes or more in train: none can be "
                "held out to tell whether the teacher is right more often; give it more shapes"
            )
        teacher = figures["held_out"][METRIC]
        result = self.result(ALONE, seed, "fit", "held_out")
        student, count = result[METRIC], len(result["labels"])
        shown = f"the teacher is right on {teacher:.1f} % of these {count}, the student on {student:.1f} %"
        write_json(self.folder / "held_out.json", {"teacher": teacher, "student": student})
        if teacher > student:
            few = " With so few shapes the difference may be chance." if count < FEW_SHAPES else ""
            self.console.print(f"It may: {shown}.{few}")
            return True
        self.console.print(f"No: {shown}. What would make the teacher better:")
        for hint in self.hints():
            self.console.print(f"- {hint}", soft_wrap=True, highlight=False)
        return False

    def hints(self) -> list[str]:
        """Return what would make the teacher better."""
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
        hints.append(
            "its average with the student alone (cache-teacher --student, then --average; docs/configs.md)"
        )
        hints.append("training it on the views (configs/teacher_mobilenetv2_meshes.py; README, ModelNet40)")
        return hints

    def teacher(self, split: str, seed: int) -> tuple[str, dict[str, dict[str, float]]]:
        """Return the name of the cache of these labels, written unless it is there, and its accuracies."""
        from pointmcd.datasets.label_choice import Labels
        from pointmcd.datasets.teacher_cache import TeacherCache

        labels = Labels(split, self.labels / 100, seed)
        teacher = {
            "trunks": [{**one.settings, "weights_sha256": one.weights_sha256()} for one in self.trunks],
            "options": [
                *(self.args.folds, self.args.dim, self.args.regularisation),
                *(self.args.no_spread, self.args.views),
            ],
            **({"further": self.args.further} if self.args.further else {}),
        }
        name = f"distill_{'_'.join(self.args.trunk)}_{self.labels:g}_{split}_s{seed}".replace("/", "_")
        # a cache of its own for every teacher, so that none takes the place of another
        name += "_" + hashlib.sha256(repr(teacher).encode()).hexdigest()[:8]
        wanted = {"labels": {"split": split, "fraction": labels.fraction, "seed": seed}, **teacher}
        noted = self.folder / f"{name}.json"
        try:
            there = TeacherCache(self.args.data, name)
            if noted.is_file() and read_json(noted) == {**wanted, "identity": there.identity}:
                return name, there.meta["accuracy"]
        except (FileNotFoundError, ValueError):
            pass
        _, figures = cache_frozen(
            self.args.data, name, self.trunks, labels, self.args, [Path(one) for one in self.args.further]
        )
        write_json(noted, {**wanted, "identity": TeacherCache(self.args.data, name).identity})
        return name, figures

    def config(
        self,
        side: str,
        seed: int,
        split: str,
        judged: str,
        teacher: str | None = None,
        epochs: int | None = None,
    ) -> Any:
        """Return the complete config of one run; its epochs are the command's where none are given."""
        from pointmcd.engine import load_config

        own = CONFIGS / f"{side}_{self.args.backbone.lower()}_meshes.py"
        options: dict[str, Any] = {"data_root": str(self.args.data)}
        if not own.is_file():
            own = CONFIGS / f"{side}_dgcnn_meshes.py"
            options["model.backbone"] = {"_delete_": True, "type": self.args.backbone}
        dataset = {
            "split": split,
            "label_fraction": self.labels / 100,
            "fraction_seed": seed,
            "unlabelled": "rest",
        }
        if side == DISTILLED:
            dataset["teacher"] = teacher
            if self.args.further:
                dataset |= {"type": "JoinedShapes", "further": self.args.further}
            options |= RECIPES[self.recipe]
        options |= {f"train_dataloader.dataset.{name}": value for name, value in dataset.items()}
        options["test_dataloader.dataset.split"] = judged
        words = [f"{name}={value}" for name, value in options.items()] + self.args.cfg_options
        epochs = epochs or self.args.epochs
        if epochs is not None:
            words.append(f"train_cfg.max_epochs={epochs}")
        config = load_config(own, words)
        config.randomness.seed = seed
        config.val_dataloader = config.val_cfg = config.val_evaluator = None  # tested once, at the end
        return config

    def place(self, side: str, seed: int, split: str) -> Path:
        return self.folder / f"{side}_{split}_s{seed}"

    def result(
        self, side: str, seed: int, split: str, judged: str, teacher: str | None = None
    ) -> dict[str, Any]:
        """Return the result of one run, trained now unless it is there.

        Raises:
            ValueError: The folder holds a run with other settings.
        """
        from pointmcd.datasets.prepared_set import PreparedSet
        from pointmcd.evaluation.fine_tuning import (
            check_settings,
            fit_batch,
            steps_of_epoch,
            train_and_test,
        )

        folder = self.place(side, seed, split)
        settings: dict[str, Any] = {
            "backbone": self.args.backbone,
            "labels": self.labels,
            "epochs": self.args.epochs,
            "cfg_options": self.args.cfg_options,
            "data_digest": PreparedSet(self.args.data).digest,
        }
        if side == DISTILLED:
            settings["teacher"] = read_json(self.folder / f"{teacher}.json")
            settings |= {"recipe": self.recipe, "further": self.args.further}
        check_settings(folder, settings, OF_BEFORE)
        if (folder / "result.json").is_file():
            self.trainings -= 1
            return read_json(folder / "result.json")
        config = self.config(side, seed, split, judged, teacher)
        if (shapes := fit_batch(config)) is not None:
            self.console.print(f"{folder.name}: a batch of {shapes}, as there are no more shapes to train on")
        if split == "fit":  # as many steps as with all of train, or the student alone would look weak
            whole = self.config(side, seed, "train", "test", teacher)
            fit_batch(whole)
            steps = steps_of_epoch(whole) * whole.train_cfg.max_epochs
            epochs = math.ceil(steps / steps_of_epoch(config))
            config = self.config(side, seed, split, judged, teacher, epochs)  # whose schedule follows
            fit_batch(config)
        write_json(folder / "settings.json", settings)
        self.console.print(f"{folder.name} ...{self.minutes_left()}", soft_wrap=True)
        begins = not any(folder.glob("*.pth"))
        started = time.monotonic()
        result = train_and_test(config, folder)
        write_json(folder / "result.json", result)
        if begins:  # what went on from a checkpoint does not tell how long a training takes
            self.minutes.append((time.monotonic() - started) / 60)
        self.trainings -= 1
        return result

    def minutes_left(self) -> str:
        """Return about how long the trainings that are left take, once one was timed."""
        if not self.minutes:
            return f" {counted(self.trainings, 'training')} left"
        minutes = round(np.mean(self.minutes) * self.trainings)
        return f" about {counted(minutes, 'minute')} left" if minutes else " less than a minute left"

    def report(self, results: dict[str, list[dict[str, Any]]], teachers: list[float]) -> None:
        """Write the table, as text and as JSON."""
        scores = {side: np.stack([shape_scores(run) for run in runs]) for side, runs in results.items()}
        gain = paired_difference(scores[ALONE], scores[DISTILLED])
        values = {
            f"teacher ({', '.join(self.args.trunk)}, frozen)": teachers,
            f"{self.args.backbone} alone": [run[METRIC] for run in results[ALONE]],
            f"{self.args.backbone}, distilled": [run[METRIC] for run in results[DISTILLED]],
        }
        title = f"{self.labels:g} % of the labels, test split, last epoch, {counted(len(teachers), 'seed')}"
        rows = ((name, plus_minus(mean_and_std(row))) for name, row in values.items())
        table = make_table(title, ("", ">overall accuracy %"), rows)
        verdict = f"distilled less alone: {gain.sentence()}"
        with open(self.folder / "results.txt", "w") as file:
            Console(file=file, width=100, markup=False).print(table, verdict)
        write_json(
            self.folder / "distill.json",
            {
                "labels_percent": self.labels,
                "recipe": {"name": self.recipe, **RECIPES[self.recipe]},
                "seeds": self.args.seeds,
                "accuracies": values,
                "difference": {**gain._asdict(), "clear": gain.clear},
                "protocol": "last epoch, tested once; bootstrap over test shapes and seeds",
            },
        )
        self.console.print(table, verdict)

    def export(self) -> None:
        from pointmcd.apis import export_student

        seed = self.args.seeds[0]
        folder = self.place(DISTILLED, seed, "train")
        checkpoint = Path((folder / "last_checkpoint").read_text())
        name, _ = self.teacher("train", seed)
        student = self.folder / "student.pth"
        export_student(self.config(DISTILLED, seed, "train", "test", name), checkpoint, student)
        self.console.print(f"wrote {self.folder}/distill.json, results.txt and student.pth", soft_wrap=True)

    def step(self, title: str) -> None:
        self.console.rule(f"[bold]{title}[/]")
