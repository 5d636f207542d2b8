"""Measure how robust exported students are, side by side: rotations, noise, outliers, holes, one camera.

    pointmcd robustness student.pth --data data/modelnet40
    pointmcd robustness baseline=baseline_s{0,1,2}.pth distilled=distilled_s{0,1,2}.pth --data data/modelnet40

Files with one NAME= before them are seeds of one method; each method is compared with the first by a paired
bootstrap over shapes and seeds. A row is the mean over the severities of a corruption (five; of rotations
one), which are those of ModelNet40-C where it has them (pointmcd/evaluation/corruptions.py). z/SO3 is the
customary name of a student that was trained on shapes turned about the vertical, tested on shapes turned by
any rotation; I is not a rotation. depth scan is one camera's depth picture of the shape: what it is to have
learnt from whole shapes, and to be shown a scan.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from pointmcd.commands.common import add_imports, make_parser, make_table, plain_errors
from pointmcd.evaluation.bootstrap import Difference, paired_difference
from pointmcd.evaluation.corruptions import CORRUPTIONS
from pointmcd.evaluation.statistics import counted, mean_and_std, plus_minus
from pointmcd.files import check_writable, file_sha256, write_json

if TYPE_CHECKING:
    from rich.table import Table

GROUPS: dict[str | None, str] = {"none": "I", "part": "part of z", "z": "z", "so3": "SO3", None: "?"}
MEAN = "mean of those with severities"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("students", nargs="+", metavar="[NAME=]STUDENT", help="exported students (pointmcd export)")
    add("--data", required=True, help="folder of the prepared set")
    add("--split", default="test", help="(test)")
    add("--corruptions", nargs="+", metavar="NAME", default=list(CORRUPTIONS), help=" ".join(CORRUPTIONS))
    add("--severities", type=int, nargs="+", metavar="N", help="of 1 to 5; fewer take less time (all)")
    add("--seed", type=int, default=0, help="of the corruptions (0)")
    add("--device", default="cpu", help="(cpu)")
    add("--out", type=Path, default=Path("work_dirs/robustness/report.json"), help="(%(default)s, and .png)")
    add_imports(parser)
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    files = by_method(args.students)
    if args.seed < 0:
        raise ValueError(f"--seed is {args.seed}, must not be negative")
    if args.out.suffix != ".json":
        raise ValueError(f"reports are saved as .json, not as {args.out}")
    picture = args.out.with_suffix(".png")
    for path in (args.out, picture):
        check_writable(path, *(one for paths in files.values() for one in paths))
    from pointmcd.apis.student import load_student
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.evaluation.robustness import CLEAN, check_classes, measure
    from pointmcd.visualization.robustness import draw_robustness

    prepared = PreparedSet(args.data)
    split = prepared.split(args.split)
    if not len(split):
        raise ValueError(f"{args.data} has no shapes in {args.split}")
    students = {
        name: [load_student(path, args.device, args.imports) for path in paths]
        for name, paths in files.items()
    }
    for name, paths in files.items():
        for path, student in zip(paths, students[name], strict=True):
            check_classes(student, prepared.class_names, path)
    trained = {name: rotation_of(name, [one.rotation for one in seeds]) for name, seeds in students.items()}
    names = list(dict.fromkeys(args.corruptions))
    severities = None if args.severities is None else sorted(set(args.severities))
    right = measure(students, split, names, args.seed, severities, progress=True)
    accuracy = {
        name: {method: 100 * one.mean(2).T for method, one in of_methods.items()}
        for name, of_methods in right.items()
    }
    report: dict[str, Any] = {
        "protocol": f"robustness on the {args.split} split, corruptions of seed {args.seed}",
        "severities": severities or [1, 2, 3, 4, 5],
        "data_digest": prepared.digest,
        "students": {
            name: {
                "files": [str(path) for path in paths],
                "sha256": [file_sha256(path) if Path(path).is_file() else None for path in paths],
                "trained_on_rotations": trained[name],
            }
            for name, paths in files.items()
        },
        "shapes": len(split),
        "rows": rows(right, trained),
        "accuracy_by_seed_and_severity": {
            name: {method: one.tolist() for method, one in of_methods.items()}
            for name, of_methods in accuracy.items()
        },
    }
    write_json(args.out, report)
    clean = accuracy.pop(CLEAN)
    draw_robustness(
        {
            name: {method: np.hstack((clean[method], one)) for method, one in of_methods.items()}
            for name, of_methods in accuracy.items()
        },
        report["severities"],
    ).savefig(picture)
    console = Console(markup=False)
    console.print(table(report))
    console.print(f"wrote {args.out} and {picture}", soft_wrap=True)


def by_method(words: Sequence[str]) -> dict[str, list[str]]:
    """Return files by the name before them; a file without one is a method of its own.

    Raises:
        ValueError: A name or a file is empty, or the methods do not have as many seeds.
    """
    files: dict[str, list[str]] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if Path(word).is_file() or not equals:
            name, path = (Path(word).stem if Path(word).stem not in files else word), word
        if not name or not path:
            raise ValueError(f"{word} is no NAME=STUDENT; give a name before = and a file after it")
        if path in files.setdefault(name, []):
            raise ValueError(f"{path} is given twice for {name}; give one file a seed")
        files[name].append(path)
    counts = {name: len(paths) for name, paths in files.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"methods are compared seed by seed, but have different numbers of files: {listed}")
    return files


def rotation_of(name: str, rotations: Sequence[str | None]) -> str:
    """Return how the shapes that a method was trained on were turned: I, z, SO3, or ? where no file says.

    Raises:
        ValueError: Its seeds differ.
    """
    if len(set(rotations)) > 1:
        raise ValueError(f"the seeds of {name} were trained with different rotations of the shapes")
    return GROUPS[rotations[0]]


def rows(
    scores: Mapping[str, Mapping[str, np.ndarray]], trained: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return, for each row of the table and each method, its accuracy and difference from the first's.

    Args:
        scores: By corruption and method (L, R, S) bool: severities, seeds, shapes.
        trained: By method, as ``rotation_of``.
    """
    of_rows = {
        title(name, trained): {method: one.mean(0) for method, one in of_methods.items()}
        for name, of_methods in scores.items()
    }
    severe = [scores[name] for name in scores if name in CORRUPTIONS and len(CORRUPTIONS[name].levels) > 1]
    if len(severe) > 1:
        of_rows[MEAN] = {
            method: np.mean([of_methods[method].mean(0) for of_methods in severe], 0) for method in trained
        }
    first = next(iter(trained))
    found: dict[str, dict[str, Any]] = {}
    for name, of_methods in of_rows.items():
        found[name] = {method: mean_and_std(100 * one.mean(1)) for method, one in of_methods.items()}
        for method, one in of_methods.items():
            if method != first:
                difference = paired_difference(of_methods[first], one)
                found[name][method] |= {"less_first": {**difference._asdict(), "clear": difference.clear}}
    return found


def title(name: str, trained: Mapping[str, str]) -> str:
    """Return a row's name: of rotations train/test, where all students were trained alike."""
    tested = GROUPS.get(name.removeprefix("rotation_"))
    if tested is None:
        return name.replace("_", " ")
    alike = set(trained.values())
    return f"rotation {alike.pop() if len(alike) == 1 else '·'}/{tested}"


def table(report: Mapping[str, Any]) -> "Table":
    """Return a row for each corruption, a column a method, and its difference from the first."""
    (first, about), *others = report["students"].items()
    columns = ["", f">{first} (trained {about['trained_on_rotations']}) %"]
    for method, one in others:
        columns += [f">{method} (trained {one['trained_on_rotations']}) %", f">less {first}, 95 % interval"]
    lines = []
    for name, of_methods in report["rows"].items():
        line = [name, plus_minus(of_methods[first])]
        for method, _ in others:
            less = of_methods[method]["less_first"]
            difference = Difference(*(less[name] for name in Difference._fields))
            line += [plus_minus(of_methods[method]), difference.short()]
        lines.append(line)
    severe = report["severities"]
    what = (
        f"Overall accuracy, {counted(report['shapes'], 'shape')}, {counted(len(about['files']), 'seed')}, "
        f"{'severities' if len(severe) > 1 else 'severity'} {', '.join(map(str, severe))}"
    )
    return make_table(what, columns, lines)
