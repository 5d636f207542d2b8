"""Test a student that learned no label: classes are their names (pointmcd embed-text).

    pointmcd zero-shot student.pth --data data/modelnet40 --text templates.npy bare.npy

One row for each file of texts, so that templates stand beside the bare names; all classes of the set are
candidates, and the student sees the shapes as in training. Nothing is fitted on any split, and no template is
chosen by what it gains.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pointmcd.commands.common import add_imports, make_parser, make_table, plain_errors
from pointmcd.evaluation.statistics import counted
from pointmcd.files import check_writable, file_sha256, write_json


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("student", type=Path, help="exported student that is aligned with texts (pointmcd export)")
    add("--data", type=Path, required=True, help="folder of the prepared set")
    add("--text", type=Path, nargs="+", required=True, metavar="FILE.npy", help="of pointmcd embed-text")
    add("--split", default="test", help="(test)")
    add("--device", default="cpu", help="(cpu)")
    add("--out", type=Path, default=Path("work_dirs/zero_shot/report.json"), help="report (%(default)s)")
    add_imports(parser)
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_writable(args.out, args.student, *args.text, *(text.with_suffix(".json") for text in args.text))
    from pointmcd.apis import load_student
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.datasets.text_vectors import read_text_vectors
    from pointmcd.evaluation.zero_shot import zero_shot

    prepared = PreparedSet(args.data)
    split = prepared.split(args.split)
    if not len(split):
        raise ValueError(f"{args.data} has no shapes in {args.split}")
    student = load_student(args.student, args.device, args.imports)
    texts = {str(path): read_text_vectors(path) for path in args.text}
    found = {path: zero_shot(student, split, prepared.class_names, text) for path, text in texts.items()}
    about = {
        "protocol": f"zero-shot on the {args.split} split, nothing fitted",
        "student": str(args.student),
        "sha256": file_sha256(args.student) if args.student.is_file() else None,
        "data_digest": prepared.digest,
        "shapes": len(split),
    }
    rows = [
        {"text": path, "model": texts[path].model, "templates": texts[path].templates, **figures}
        for path, figures in found.items()
    ]
    write_json(args.out, {**about, "rows": rows})
    lines = [
        (
            path,
            counted(len(texts[path].templates), "template"),
            f"{figures['overall_accuracy']:.1f}",
            f"{figures['mean_class_accuracy']:.1f}",
        )
        for path, figures in found.items()
    ]
    title = f"Zero-shot, {len(split)} shapes, {len(prepared.class_names)} classes"
    columns = ("texts", "", ">overall %", ">mean of classes %")
    Console(markup=False).print(make_table(title, columns, lines), f"\nwrote {args.out}", soft_wrap=True)
