"""Say what an exported student sees in files: classes, parts or embeddings.

    pointmcd predict student.pth chair.off scans/ 'more/*.ply' shapes.zip --csv classes.csv
    pointmcd predict student.pth meshes/ --json classes.json --top 3
    pointmcd predict aligned.pth meshes/ --text names.npy
    pointmcd predict parts.pth chairs/ --category chair --parts out/
    pointmcd predict student.pth meshes/ --embeddings embeddings.npy

Meshes and clouds may be mixed. Of folders, archives and archives in folders all shapes at any depth are
taken; other files are passed over, and the console says of which kinds. --parts writes, for each shape,
NAME.parts.ply with coloured points and NAME.parts.csv (NAME-2 where two have one name), in the folders that
the shape lies in within the given one, and in the shape's own coordinates: all points of a cloud, and the
sampled points of a mesh. --embeddings writes a row a shape, and their names beside it as NAME.names.json.

The results stand on the console where no table is written.

Exit code: 0 every shape was usable, 3 some were rejected (each is named with its reason) and the results of
the others are written, 1 failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pointmcd.commands.common import add_imports, make_parser, plain_errors
from pointmcd.datasets.manifest import MANIFEST, SHARDS, is_in_one_piece
from pointmcd.evaluation.statistics import counted
from pointmcd.files import check_writable

if TYPE_CHECKING:
    from pointmcd.apis.predictions import Report

REJECTED = 3
BAR_SECONDS = 30  # between two lines of the bar where it is written to a file


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("student", type=Path, help="an exported student (pointmcd export)")
    add("inputs", nargs="+", metavar="INPUT", help="file, folder, glob in quotes, or archive (.tar.*, .zip)")
    add("--csv", type=Path, help="write a row a shape: its classes and their probabilities, or its parts")
    add("--json", type=Path, help="write the same as JSON")
    add("--top", type=int, default=5, help="classes a shape (default: %(default)s)")
    add(
        "--text",
        type=Path,
        metavar="FILE.npy",
        help="names to choose among, of an aligned student (embed-text)",
    )
    add("--parts", type=Path, metavar="FOLDER", help="write the parts of each shape as .ply and .csv")
    add("--category", help="of all shapes, for parts; default: the class that a folder about the file names")
    add("--embeddings", type=Path, metavar="FILE.npy", help="write the pooled feature of each shape")
    add("--batch-size", type=int, default=16, help="shapes at a time (default: %(default)s)")
    add("--device", help="cpu, cuda or cuda:1 (default: a GPU where there is one)")
    add("--up", choices=["x", "y", "z"], help="axis that points up in the files (that of the training set)")
    add("--columns", metavar="NAMES", help="of text and NPY: 'x y z nx ny nz'; - is not read")
    add("--separator", choices=["comma", "semicolon", "tab", "space"], help="of text (found)")
    add("--any-archive-size", action="store_true", help="unpack an archive that grows 100-fold, too")
    add_imports(parser)
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> None:
    """Refuse what would be found out only when all shapes are through."""
    for name in ("top", "batch_size"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(args, name)}, must be at least 1")
    if args.embeddings is not None and args.embeddings.suffix != ".npy":
        raise ValueError(f"embeddings are saved as .npy, not as {args.embeddings}")
    for given in args.inputs:
        folder = Path(given)
        if (folder / MANIFEST).is_file() and (is_in_one_piece(folder) or (folder / SHARDS).is_dir()):
            raise ValueError(
                f"{given} is a prepared set, not a folder of shapes; pointmcd test CONFIG CHECKPOINT "
                f"--cfg-options data_root={given} tests on it"
            )
    read = [args.student, *([] if args.text is None else [args.text]), *args.inputs]
    if args.student.is_dir():
        read += args.student.iterdir()
    written = outputs(args)
    for path in written:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it")
        if [one.resolve() for one in written].count(path.resolve()) > 1:
            raise ValueError(f"{path} would be written twice; give each table a file of its own")
        check_writable(path, *read)
    if args.parts is not None:
        check_writable(args.parts / "NAME.parts.ply")
        folders = [Path(given).resolve() for given in args.inputs if Path(given).is_dir()]
        if args.parts.resolve() in folders or set(folders) & set(args.parts.resolve().parents):
            raise ValueError(
                f"--parts {args.parts} lies in a folder that is read, where its files would be shapes, too; "
                "give another"
            )


def outputs(args: argparse.Namespace) -> list[Path]:
    """Return the tables that are written."""
    names = None if args.embeddings is None else args.embeddings.with_suffix(".names.json")
    return [path for path in (args.csv, args.json, args.embeddings, names) if path is not None]


@plain_errors()
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    check(args)
    from dataclasses import replace

    from mmengine.device import get_device
    from tqdm import tqdm

    from pointmcd.apis import load_student
    from pointmcd.apis.batches import Rejected, outcomes
    from pointmcd.apis.predictions import Report, find_tasks
    from pointmcd.geometry import CloudColumns

    columns = CloudColumns.of(args.columns, args.separator)
    student = load_student(args.student, args.device or get_device(), args.imports, args.text)
    if args.up is not None:
        student.settings = replace(student.settings, up=args.up)
    report = Report(student, args.student, args.top, args.parts, args.embeddings is not None)
    report.check(args.category)
    with contextlib.ExitStack() as held:
        unpacked = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="pointmcd-")))
        limited = not args.any_archive_size
        tasks = find_tasks(args.inputs, student, columns, args.category, unpacked, limited, outputs(args))
        watched = sys.stderr.isatty()
        bar = held.enter_context(
            tqdm(
                total=len(tasks),
                desc="shapes",
                unit="shape",
                mininterval=0.5 if watched else BAR_SECONDS,
                delay=1,
            )
        )
        say = tqdm.write if watched else print  # the one draws the bar anew below a line
        for found in outcomes(student, tasks, args.batch_size):
            report.add(found)
            if isinstance(found, Rejected):
                say(f"rejected {found.task.name}: {found.reason}", file=sys.stderr)
            elif args.csv is None and args.json is None:
                say(report.line(), file=sys.stdout)
            bar.update()
    return finish(report, args)


def finish(report: Report, args: argparse.Namespace) -> int:
    """Write what was asked for; the exit code."""
    if not report.rows:
        raise ValueError(f"none of {counted(len(report.rejected), 'shape')} can be used")
    if args.csv is not None:
        report.write_csv(args.csv)
    if args.json is not None:
        report.write_json(args.json)
    if args.embeddings is not None:
        report.write_embeddings(args.embeddings)
    written = [str(path) for path in (args.csv, args.json, args.embeddings) if path is not None]
    if args.parts is not None:
        written.append(f"the parts of {len(report.rows)} in {args.parts}")
    print(counted(len(report.rows), "shape") + (f"; wrote {', '.join(written)}" if written else ""))
    if report.rejected:
        print(f"rejected: {len(report.rejected)}", file=sys.stderr)
    return REJECTED if report.rejected else os.EX_OK
