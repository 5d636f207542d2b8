"""Draw prepared shapes: their views, and under each the points that it sees (red) and does not (blue).

Where there are parts, label images and points have their colours, and hidden points are pale.

pointmcd browse data/modelnet40                              six shapes of the test split
pointmcd browse data/modelnet40 --split train --class chair --count 3
pointmcd browse data/modelnet40 --name chair_0890 --views 0 1 2 3 4 5 6 7 8 9 10 11
"""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.commands.common import make_parser, plain_errors

if TYPE_CHECKING:
    from pointmcd.datasets.prepared_set import PreparedSet


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("data_root", type=Path, help="folder of a prepared set, such as data/modelnet40")
    parser.add_argument("--split", default="test", help="split to draw from (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, nargs="+", help="rows of the split, from 0")
    which.add_argument("--name", nargs="+", help="names of shapes, such as chair_0890")
    which.add_argument("--class", dest="class_name", metavar="CLASS", help="draw from this class alone")
    parser.add_argument(
        "--count",
        type=int,
        default=6,
        help="shapes to draw, spread over the split or class (default: %(default)s)",
    )
    parser.add_argument(
        "--views", type=int, nargs="+", help="views to draw, from 0; default: up to six, spread"
    )
    parser.add_argument("--out", type=Path, help="the picture; default: work_dirs/browse/SET_SPLIT.png")
    return parser.parse_args(argv)


def find(name: str, known: Sequence[str], what: str) -> int:
    """Return the place of ``name`` in ``known``; an error suggests the nearest."""
    if name in known:
        return known.index(name)
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:5])}, ..."
    raise ValueError(f"there is no {what} '{name}'; {hint}")


def choose(args: argparse.Namespace, prepared: "PreparedSet") -> list[int]:
    """Return the rows of the split that are asked for."""
    shapes = prepared.split(args.split)
    if args.index:
        return args.index
    if args.name:
        short = [name.rsplit("/", 1)[-1] for name in shapes.names]
        return [
            find(
                name, shapes.names if name in shapes.names else short, f"shape in split '{args.split}' called"
            )
            for name in args.name
        ]
    rows = np.arange(len(shapes))
    if args.class_name:
        rows = np.flatnonzero(shapes.labels == find(args.class_name, prepared.class_names, "class"))
        if not len(rows):
            raise ValueError(f"split '{args.split}' has no shape of class '{args.class_name}'")
    if args.count < 1:
        raise ValueError(f"--count must be positive, got {args.count}")
    return rows[np.linspace(0, len(rows), min(args.count, len(rows)), endpoint=False).astype(int)].tolist()


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.visualization.shapes import draw_shapes

    out = args.out or Path("work_dirs/browse") / f"{args.data_root.resolve().name}_{args.split}.png"
    prepared = PreparedSet(args.data_root)
    figure = draw_shapes(prepared, args.split, choose(args, prepared), args.views)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f"wrote {out}")
