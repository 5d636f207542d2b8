"""The main job on built-in shapes of which a fifth have labels: prepare them, train an image teacher, ask it
about all shapes, and train a student without and with it.

Every step is one of the other commands, printed as it could be typed. Where there are two cores, the student
alone is trained beside the other one, and what it prints goes to a file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from pointmcd.commands.common import make_parser, make_table, plain_errors
from pointmcd.evaluation.statistics import in_words

TEACHER, BASELINE, DISTILLED = (
    "teacher_tinyresnet_builtin",
    "baseline_pointnet_builtin",
    "pointmcd_pointnet_builtin",
)


@plain_errors("the same command does all of it again")
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo"), help="default: %(default)s")
    parser.add_argument(
        "--per-class", type=int, default=30, help="training shapes a class (default: %(default)s)"
    )
    parser.add_argument("--teacher-epochs", type=int, help="default: the config's")
    parser.add_argument("--epochs", type=int, help="epochs of the students; default: the config's")
    args = parser.parse_args(argv)
    Demo(args).run()


class Demo:
    """The steps, each in its own process."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.work_dir
        self.data = self.folder / "data"
        self.console = Console()
        self.started = time.monotonic()

    def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step("Shapes, views and visibility")
        self.tool(
            "prepare",
            "builtin",
            "--out",
            self.data,
            "--image-size",
            64,
            "--train",
            self.args.per_class,
        )
        self.step("The image teacher")
        teacher = self.train(TEACHER, self.args.teacher_epochs)
        self.tool("cache-teacher", TEACHER, teacher, "--name", "tinyresnet", *self.options())
        self.step("The student without the teacher and with it")
        checkpoint = self.students()
        self.tool(
            "export",
            DISTILLED,
            checkpoint,
            self.folder / "student.pth",
            *self.options(),
        )
        self.report()
        if find_spec("plotly") is not None:  # an extra of the package
            self.tool("report", self.folder)

    def students(self) -> Path:
        """Train and test both students; return the checkpoint of the distilled one."""
        cores = len(os.sched_getaffinity(0))
        if cores == 1:
            self.student(BASELINE)
            return self.student(DISTILLED)
        with ThreadPoolExecutor(1) as pool:
            alone = pool.submit(self.student, BASELINE, cores // 2, self.folder / f"{BASELINE}.txt")
            checkpoint = self.student(DISTILLED, cores // 2)
            alone.result()
        return checkpoint

    def student(self, name: str, threads: int | None = None, output: Path | None = None) -> Path:
        """Train and test a student, and return its last checkpoint."""
        if output is not None:
            output.unlink(missing_ok=True)
        checkpoint = self.train(name, self.args.epochs, threads, output)
        words = name, checkpoint, "--work-dir", self.folder / name, *self.options()
        self.tool("test", *words, threads=threads, output=output)
        return checkpoint

    def step(self, title: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        self.console.rule(f"[bold]{title}[/] ({minutes}:{seconds:02} so far)")

    def options(self, *more: str) -> list[str]:
        return ["--cfg-options", f"data_root={self.data}", *more]

    def train(
        self, name: str, epochs: int | None, threads: int | None = None, output: Path | None = None
    ) -> Path:
        """Train a config and return its last checkpoint."""
        from pointmcd.engine.work_dir import check_free

        folder = self.folder / name
        check_free(folder)
        for path in folder.glob("*.pth"):  # of a demo before: all of it is done again
            path.unlink()
        more = [] if epochs is None else [f"train_cfg.max_epochs={epochs}"]
        words = name, "--work-dir", folder, *self.options(*more)
        self.tool("train", *words, threads=threads, output=output)
        return Path((folder / "last_checkpoint").read_text())

    def tool(
        self, name: str, *arguments: object, threads: int | None = None, output: Path | None = None
    ) -> None:
        """Run a command in so many threads; what it prints goes to the end of a file, if one is given."""
        words = [str(word) for word in arguments]
        line = f"$ pointmcd {name} {' '.join(words)}" + ("" if output is None else f" >> {output}")
        self.console.print(f"[dim]{line}[/]", soft_wrap=True, highlight=False)
        threading = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        with nullcontext() if output is None else open(output, "a") as file:
            done = subprocess.run(
                [sys.executable, "-m", "pointmcd", name, *words],
                env=threading | os.environ,
                stdout=file,
                stderr=file,
                check=False,
            )
        if done.returncode:
            where = "above" if output is None else str(output)
            raise SystemExit(f"demo: pointmcd {name} failed with exit code {done.returncode}; see {where}")

    def report(self) -> None:
        """Print the table and draw the picture."""
        from pointmcd.datasets.prepared_set import PreparedSet
        from pointmcd.visualization.shapes import draw_shapes

        accuracy = json.loads((self.data / "teachers/tinyresnet/meta.json").read_text())["accuracy"]["test"]
        rows = {"teacher (tiny ResNet, 12 views, random start)": accuracy}
        for label, name in (("PointNet alone", BASELINE), ("PointNet, distilled", DISTILLED)):
            (result,) = sorted((self.folder / name).glob("test_*.json"))[-1:]
            rows[label] = json.loads(result.read_text())
        metrics = ("overall_accuracy", "mean_class_accuracy")
        table = make_table(
            "Built-in shapes, a fifth of the labels, test split, last epoch, one seed",
            ("", *(f">{in_words(name)} %" for name in metrics)),
            [(label, *(f"{values[name]:.1f}" for name in metrics)) for label, values in rows.items()],
        )
        with open(self.folder / "results.txt", "w") as file:
            Console(file=file, width=100, markup=False).print(table)
        prepared = PreparedSet(self.data)
        draw_shapes(prepared, "test", list(range(0, len(prepared.split("test")), 40))).savefig(
            self.folder / "shapes.png"
        )
        self.step("Done")
        self.console.print(table)
        test_shapes = len(prepared.split("test"))
        self.console.print(
            f"One run on {test_shapes} shapes is uncertain by several points; docs/results/builtin.md has "
            f"more seeds.\nIn {self.folder}: results.txt (this table), shapes.png (shapes, views and visible "
            "points), student.pth (the exported student)"
        )
