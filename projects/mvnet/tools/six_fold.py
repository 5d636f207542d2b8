"""Add up what evaluate_scenes.py found in the areas of S3DIS: the six-fold protocol.

    python -m projects.mvnet.tools.six_fold work_dirs/s3dis/area*/results.json --out work_dirs/s3dis/six_fold

Each area was left out of one training and tested by it. The counts of all areas are added before the IoU of a
class is taken, so that every point counts once.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.files import read_json
from projects.mvnet.tools.evaluate_scenes import report


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="results.json of each area")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json of all")
    args = parser.parse_args(argv)
    found = [read_json(path) for path in args.results]
    for path, figures in zip(args.results, found, strict=True):
        if not {"classes", "confusion"} <= figures.keys() or figures["classes"] != found[0]["classes"]:
            raise ValueError(
                f"{path} has other classes than {args.results[0]}, or was not written by evaluate_scenes.py"
            )
    if len({str(path.resolve()) for path in args.results}) < len(args.results):
        raise ValueError("an area is given twice")
    report(np.sum([figures["confusion"] for figures in found], axis=0), found[0]["classes"], args.out)


if __name__ == "__main__":
    main()
