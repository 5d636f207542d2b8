"""The steps of ``pointmcd distill`` for one share of the labels, and how much the teacher counts in each."""

import argparse
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pointmcd.commands.common import make_table
from pointmcd.commands.distillation_teacher import DistillationTeacher, teacher_title, why_no_points
from pointmcd.config_files import CONFIGS
from pointmcd.evaluation.bootstrap import paired_difference, shape_scores
from pointmcd.evaluation.statistics import counted, mean_and_std, plus_minus
from pointmcd.files import read_json, write_json

ALONE, DISTILLED = "baseline", "pointmcd"
METRIC = "overall_accuracy"
RECIPES: dict[str, dict[str, float]] = {  # found on held-out shapes at 5, 20 and 100 % (docs/results/)
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
POINTS_TAUGHT = CONFIGS / "_base_/models/distilled_points.py"
FEW_SHAPES = 50
OF_BEFORE = {"recipe": "some", "further": [], "points": False}
"""What a run was made with that does not say."""


def recipe_of(labels: float) -> str:
    """Return the name of the recipe for a percentage of the labels."""
    return "few" if labels < 10 else "some" if labels < 50 else "all"


def heads_of_points() -> list[dict[str, Any]]:
    """Return the distillation heads of a student that is taught points, that of the logits first."""
    from pointmcd.compat import read_config

    return [dict(head) for head in read_config(POINTS_TAUGHT).model.distill]


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
        self.teacher = DistillationTeacher(args, labels, folder)
        self.recipe = args.recipe or recipe_of(labels)
        self.most_labels = recipe_of(labels) == "all"
        self.num_points = 0  # of each shape that are taught one by one, which run() decides
        self.minutes: list[float] = []  # of the trainings of this call
        self.trainings = 1 + 2 * len(args.seeds)

    def run(self) -> dict[str, list[float]] | None:
        """Take every step; return the accuracies of each row of the table, or None where it does not pay."""
        from pointmcd.evaluation.fine_tuning import check_settings

        # what is misspelt, or cannot be, is said before hours of work
        alone = self.config(ALONE, self.args.seeds[0], "fit", "held_out")
        without = why_no_points(self.args, alone)
        if self.args.points and without:
            raise ValueError(f"--points: {without}")
        if self.recipe == "all" and not without if self.args.points is None else self.args.points:
            self.num_points = alone.train_dataloader.dataset.num_points
        self.config(DISTILLED, self.args.seeds[0], "fit", "held_out", teacher="frozen")
        for seed in self.args.seeds:
            for side in (ALONE, DISTILLED):
                check_settings(self.place(side, seed, "train"), self.settings(side), OF_BEFORE)
        self.step("Does it pay? The teacher and the student alone, on shapes held out of train")
        if not self.pays() and not self.args.anyway:
            return None
        shown = ", ".join(f"{name}={value:g}" for name, value in RECIPES[self.recipe].items())
        self.console.print(f"Recipe {self.recipe}: {shown}", soft_wrap=True, highlight=False)
        if self.num_points:
            head = heads_of_points()[1]
            self.console.print(
                f"and what the teacher sees at each point, {head['type']} of weight {head['loss_weight']}"
            )
        elif self.most_labels:
            self.console.print(
                "With most of the labels no gain has been shown of logits alone, but with targets of points "
                f"({without or '--points'})",
                soft_wrap=True,
            )
        results: dict[str, list[dict[str, Any]]] = {ALONE: [], DISTILLED: []}
        teachers = []
        for seed in self.args.seeds:
            self.step(f"Seed {seed}: the student alone, then with the teacher")
            name, figures = self.teacher.frozen("train", seed, self.num_points)
            results[ALONE].append(self.result(ALONE, seed, "train", "test"))
            if self.args.average:
                name, figures = self.teacher.average(name, self.checkpoint(ALONE, seed, "train"))
            teachers.append((name, figures["test"][METRIC]))
            results[DISTILLED].append(self.result(DISTILLED, seed, "train", "test", name))
        accuracies = {
            "teacher": [accuracy for _, accuracy in teachers],
            "alone": [run[METRIC] for run in results[ALONE]],
            "distilled": [run[METRIC] for run in results[DISTILLED]],
        }
        self.report(results, accuracies)
        self.export(teachers[0][0])
        return accuracies

    def pays(self) -> bool:
        """Return whether the teacher is right more often than the student alone, by choices on train alone.

        Raises:
            ValueError: There are too few shapes to hold some out.
        """
        from pointmcd.checkpoint import read_checkpoint
        from pointmcd.datasets.label_choice import HELD_OUT_EVERY
        from pointmcd.engine.labels_seen import start_of

        seed = self.args.seeds[0]
        frozen, figures = self.teacher.frozen("fit", seed)
        if "held_out" not in figures:
            raise ValueError(
                f"{self.args.data} has no class of {HELD_OUT_EVERY} shapes or more in train: none can be "
                "held out to tell whether the teacher is right more often; give it more shapes"
            )
        result = self.result(ALONE, seed, "fit", "held_out")
        right = {"teacher": figures["held_out"][METRIC], "student": result[METRIC]}
        count = len(result["labels"])
        shown = "the teacher is right on {teacher:.1f} % of these {count}, the student on {student:.1f} %"
        alone = self.checkpoint(ALONE, seed, "fit")
        # a student says nothing of further sets, and teaches nobody where it began with weights of others
        if self.args.average or (not self.args.further and start_of(read_checkpoint(alone)) is None):
            _, figures = self.teacher.average(frozen, alone)
            right["average"] = figures["held_out"][METRIC]
            shown += ", their average on {average:.1f} %"
        write_json(self.folder / "held_out.json", right)
        shown = shown.format(**right, count=count)
        gain = right["average" if self.args.average else "teacher"] - right["student"]
        pays, hints = gain > 0, []
        if pays:
            # half of the widest 95 % interval of a difference of two shares of so many shapes
            chance = count < FEW_SHAPES and gain < 196 * math.sqrt(0.5 / count)
            few = " With so few shapes the difference may be chance." if chance else ""
            self.console.print(f"It may: {shown}.{few}")
        else:
            self.console.print(f"No: {shown}. What would make the teacher better:")
            hints = self.teacher.hints()
        best = max(right, key=lambda name: right[name])
        # with all labels a student of the average was no better (docs/results/modelnet10.md)
        if best == "average" and not self.args.average and not self.most_labels:
            hints.insert(0, "their average is better than both: --average takes it as the teacher")
        if best == "teacher" and self.args.average:
            hints.append("the teacher alone is better than that average: leave out --average")
        if right["student"] <= 100 * max(Counter(result["labels"]).values()) / count:
            hints.append("the student has learnt nothing, or only which class has most shapes: more --epochs")
        for hint in hints:
            self.console.print(f"- {hint}", soft_wrap=True, highlight=False)
        return pays

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
            if self.num_points:
                options["model.distill"] = heads_of_points()
            options |= RECIPES[self.recipe]
        options |= {f"train_dataloader.dataset.{name}": value for name, value in dataset.items()}
        options["test_dataloader.dataset.split"] = judged
        words = [f"{name}={value}" for name, value in options.items()] + self.args.cfg_options
        epochs = epochs or self.args.epochs
        if epochs is not None:
            words.append(f"train_cfg.max_epochs={epochs}")
        config = load_config(own, words)
        self._check_choices(config, options)
        config.randomness.seed = seed
        config.val_dataloader = config.val_cfg = config.val_evaluator = None  # tested once, at the end
        return config

    def _check_choices(self, config: Any, options: dict[str, Any]) -> None:
        """Refuse ``--cfg-options`` that change what the command itself chooses: shapes and labels."""
        data, own = str(self.args.data), {key: value for key, value in options.items() if "dataset." in key}
        chosen = {**own, **{f"{loader}_dataloader.dataset.data_root": data for loader in ("train", "test")}}
        for name, value in {"data_root": data, **chosen}.items():
            found: Any = config
            for key in name.split("."):
                found = found[key]
            if found != value:
                raise ValueError(
                    f"--cfg-options makes {name} {found!r}, which the command itself chooses ({value!r})"
                )

    def place(self, side: str, seed: int, split: str) -> Path:
        return self.folder / f"{side}_{split}_s{seed}"

    def checkpoint(self, side: str, seed: int, split: str) -> Path:
        """Return the last checkpoint of a run, in whatever place its folder is now."""
        from pointmcd.engine.work_dir import newest_checkpoint

        folder = self.place(side, seed, split)
        newest, _ = newest_checkpoint(folder)
        if newest is None:
            raise FileNotFoundError(f"{folder} has no checkpoint any more; delete it to train it again")
        return newest

    def settings(self, side: str) -> dict[str, Any]:
        """Return what runs of a side are made with, as far as it is known before the teacher is."""
        from pointmcd.datasets.prepared_set import PreparedSet

        settings: dict[str, Any] = {
            "backbone": self.args.backbone,
            "labels": self.labels,
            "epochs": self.args.epochs,
            "cfg_options": self.args.cfg_options,
            "data_digest": PreparedSet(self.args.data).digest,
        }
        if side == DISTILLED:
            settings |= {
                "recipe": self.recipe,
                "further": self.args.further,
                "points": bool(self.num_points),
            }
        return settings

    def result(
        self, side: str, seed: int, split: str, judged: str, teacher: str | None = None
    ) -> dict[str, Any]:
        """Return the result of one run, trained now unless it is there.

        Raises:
            ValueError: The folder holds a run with other settings.
        """
        from pointmcd.evaluation.fine_tuning import (
            check_settings,
            digest_of_config,
            fit_batch,
            steps_of_epoch,
            train_and_test,
        )

        folder = self.place(side, seed, split)
        config = self.config(side, seed, split, judged, teacher)
        settings = {**self.settings(side), "complete_config": digest_of_config(config)}
        if side == DISTILLED:
            settings["teacher"] = read_json(self.folder / f"{teacher}.json")
        check_settings(folder, settings, OF_BEFORE)
        if (folder / "result.json").is_file():
            self.trainings -= 1
            return read_json(folder / "result.json")
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

    def report(self, results: dict[str, list[dict[str, Any]]], accuracies: dict[str, list[float]]) -> None:
        """Write the table, as text and as JSON."""
        scores = {side: np.stack([shape_scores(run) for run in runs]) for side, runs in results.items()}
        gain = paired_difference(scores[ALONE], scores[DISTILLED])
        names = teacher_title(self.args), f"{self.args.backbone} alone", f"{self.args.backbone}, distilled"
        values = dict(zip(names, accuracies.values(), strict=True))
        seeds = counted(len(self.args.seeds), "seed")
        points = ", points taught" if self.num_points else ""
        title = f"{self.labels:g} % of the labels{points}, test split, last epoch, {seeds}"
        rows = ((name, plus_minus(mean_and_std(row))) for name, row in values.items())
        table = make_table(title, ("", ">overall accuracy %"), rows)
        verdict = f"distilled less alone: {gain.sentence()}"
        with open(self.folder / "results.txt", "w") as file:
            Console(file=file, width=100, markup=False).print(table, verdict)
        write_json(
            self.folder / "distill.json",
            {
                "labels_percent": self.labels,
                "recipe": {"name": self.recipe, **RECIPES[self.recipe], "points": bool(self.num_points)},
                "seeds": self.args.seeds,
                "accuracies": values,
                "difference": {**gain._asdict(), "clear": gain.clear},
                "protocol": "last epoch, tested once; bootstrap over test shapes and seeds",
            },
        )
        self.console.print(table, verdict)

    def export(self, teacher: str) -> None:
        """Write the student of the first seed."""
        from pointmcd.apis import export_student

        seed = self.args.seeds[0]
        config = self.config(DISTILLED, seed, "train", "test", teacher)
        export_student(config, self.checkpoint(DISTILLED, seed, "train"), self.folder / "student.pth")
        self.console.print(f"wrote {self.folder}/distill.json, results.txt and student.pth", soft_wrap=True)

    def step(self, title: str) -> None:
        self.console.rule(f"[bold]{title}[/]")
