"""One HTML page to look at: figures, curves, the confusion matrix, and shapes in 3D beside their views.

    pointmcd report work_dirs/pointmcd_dgcnn_meshes      after pointmcd test
    pointmcd report data/meshes                          a prepared set

The page needs neither a server nor the network.
"""

from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.evaluation.statistics import counted


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, help="a work dir that was tested, or a prepared set")
    parser.add_argument("--out", type=Path, help="the page; default: SOURCE/report.html, of a set SET.html")
    parser.add_argument("--data", type=Path, help="the prepared set; default: where the test says it was")
    parser.add_argument("--split", help="default: that of the test; of a set, test")
    parser.add_argument("--shapes", type=int, default=500, metavar="N", help="at most (default: %(default)s)")
    args = parser.parse_args(argv)
    from pointmcd.files import check_writable
    from pointmcd.report import write_report

    is_set = (args.source / "manifest.json").is_file()
    # a prepared set is not to be written into
    out = args.out or (Path(f"{args.source.resolve().name}.html") if is_set else args.source / "report.html")
    if args.out is not None:
        check_writable(out)
    done = write_report(args.source, out, args.data, args.split, args.shapes)
    print(f"wrote {out}: {done['shapes']} of {counted(done['of'], 'shape')}, {done['bytes'] / 1e6:.1f} MB")
