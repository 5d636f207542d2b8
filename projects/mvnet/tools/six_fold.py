"""Add up what evaluate_scenes.py found in the areas of S3DIS: the six-fold protocol.

    python -m projects.mvnet.tools.six_fold work_dirs/s3dis/?/points/results.json \\
        --out work_dirs/s3dis/six_fold

Each of the six areas was left out of one training and tested by it (evaluate_scenes.py --area). The counts of
all areas are added before the IoU of a class is taken, so that every point counts once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.files import read_json
from projects.mvnet.mvnet.room_files import S3DIS13
from projects.mvnet.tools.evaluate_scenes import report

AREAS = range(1, 7)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="results.json of each area")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json of all")
    args = parser.parse_args(argv)
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    testers: dict[str, Path] = {}
    for path in args.results:
        figures = read_results(path)
        area, tester = figures["area"], figures["checkpoint_sha256"]
        if area in found:
            raise ValueError(f"{found[area][0]} and {path} are both of area {area}; give each area once")
        if tester in testers:
            raise ValueError(
                f"{testers[tester]} and {path} are of one checkpoint, which was trained on one of the two "
                "areas; test each area by the training that left it out"
            )
        found[area], testers[tester] = (path, figures), path
    if lacking := [str(area) for area in AREAS if area not in found]:
        raise ValueError(
            f"there is no result of area {', '.join(lacking)}: the protocol adds up all six; make it by "
            "evaluate_scenes.py --area"
        )
    counts = np.sum([figures["confusion"] for _, figures in found.values()], axis=0)
    report(counts, S3DIS13, args.out, areas=sorted(found), checkpoints_sha256=sorted(testers))


def read_results(path: Path) -> dict[str, Any]:
    """Read what evaluate_scenes.py found in an area of S3DIS.

    Raises:
        ValueError: It is anything else; the text names the file.
    """
    figures, size = read_json(path), len(S3DIS13)
    if not isinstance(figures, dict) or not {"area", "confusion", "checkpoint_sha256"} <= figures.keys():
        raise ValueError(f"{path} is not of one area of S3DIS; write it by evaluate_scenes.py --area")
    if figures["area"] not in AREAS or figures.get("classes") != list(S3DIS13):
        raise ValueError(f"{path} is of area {figures['area']}, or of other classes than S3DIS' areas 1 to 6")
    if not is_confusion(figures["confusion"], size) or not isinstance(figures["checkpoint_sha256"], str):
        raise ValueError(f"{path} is damaged: confusion must be {size} rows of {size} counts; write it again")
    return figures


def is_confusion(value: Any, size: int) -> bool:
    """Return whether plain values are a square matrix of counts."""
    rows = value if isinstance(value, list) else []
    return len(rows) == size and all(
        isinstance(row, list) and len(row) == size and all(type(one) is int and one >= 0 for one in row)
        for row in rows
    )


if __name__ == "__main__":
    main()
