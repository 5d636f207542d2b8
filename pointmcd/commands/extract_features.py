"""Extract the features of all splits of a prepared set, and save them for the protocols.

extract_features.py work_dirs/x/epoch_60.pth x.npz --config x.py --data data/shapes
extract_features.py random:0 random.npz --config configs/baseline_pointnet_meshes.py --picture random.png

"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands import frozen_features
from pointmcd.commands.common import plain_errors


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = frozen_features.make_parser(__doc__, many=False)
    parser.add_argument("out", type=Path, help="file to write, such as features.npz")
    parser.add_argument("--splits", nargs="+", help="splits; default: all of the set")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.out.suffix != ".npz":
        raise ValueError(f"features are saved as .npz, not as {args.out}")
    (features,) = frozen_features.read_features(args, args.splits)
    features.save(args.out)
    split = list(features.splits)[-1]
    frozen_features.save_picture(
        args, features.split(split).over_views(args.views, args.view_pool), features.class_names
    )
    for name, rows in features.splits.items():
        print(f"{name}: {' x '.join(map(str, rows.values.shape))}")
    print(f"wrote {args.out}: {features.about['feature']}")
