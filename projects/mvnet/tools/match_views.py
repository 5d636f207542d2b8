"""Measure how well a backbone's features find a surface point of one view in another, on held-out views.

    python -m projects.mvnet.tools.match_views CONFIG work_dirs/x/epoch_60.pth random:0 random:1 --out x.json

Every view has a cloud of its own, turned and moved (projects/mvnet/mvnet/matching.py). A point is found where
the most similar feature of the other view lies within --within bounding radii of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pointmcd.commands.common import add_cfg_options, make_parser, make_table, plain_errors
from pointmcd.engine import load_config
from pointmcd.evaluation.encoders import build_encoder, load_encoder
from pointmcd.files import write_json
from pointmcd.progress import track
from projects.mvnet.mvnet.matching import PointFeatures, colour_features, matching_errors
from projects.mvnet.mvnet.posed_shapes import PosedShapes
from projects.mvnet.mvnet.views import PosedViews


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="config of the pre-training, on crops of scenes with views")
    add("sources", nargs="+", help="checkpoints, random:SEED for random weights, colours for those alone")
    add("--split", default="test", help="whose views (test)")
    add("--points", type=int, default=1024, help="of the cloud of each view (1024)")
    add("--within", type=float, default=0.1, help="how near is found, in bounding radii (0.1)")
    add("--stride", type=int, default=8, help="of the grid of points looked for, in pixels (8)")
    add("--out", type=Path, help="JSON file of the results")
    add_cfg_options(parser, "as in the pre-training")
    args = parser.parse_args(argv)
    if wrong := [name for name in ("points", "stride") if getattr(args, name) < 1]:
        raise ValueError(f"--{wrong[0]} is {getattr(args, wrong[0])}, must be at least 1")
    config = load_config(args.config, args.cfg_options)
    dataset = PosedShapes(config.data_root, args.split, num_points=1, views="all", depths=True)
    if dataset.cameras is None:
        raise ValueError(f"{config.data_root} has no cameras of its own; make it with prepare_scenes --views")
    views = PosedViews(None, args.stride, config.model.eps)
    results = {}
    for source in args.sources:
        describe = colour_features if source == "colours" else backbone_features(config, source)
        torch.manual_seed(0)
        found = [
            matching_errors(describe, dataset[row], views, args.points)
            for row in track(range(len(dataset)), source)
        ]
        errors, chance = (torch.cat(kind) for kind in zip(*found, strict=True))
        if not len(errors):
            raise ValueError(f"no two views of {args.split} show enough of the same")
        results[source] = {
            "found": 100 * (errors <= args.within).float().mean().item(),
            "chance": 100 * (chance <= args.within).float().mean().item(),
            "median_error": errors.median().item(),
            "points": len(errors),
        }
    table = make_table(
        f"{args.split}: found within {args.within:g} bounding radii",
        ["weights", ">found, %", ">by chance, %", ">median error", ">points"],
        [
            [
                source,
                f"{row['found']:.1f}",
                f"{row['chance']:.1f}",
                f"{row['median_error']:.3f}",
                f"{row['points']}",
            ]
            for source, row in results.items()
        ],
    )
    Console().print(table)
    if args.out is not None:
        settings = {"split": args.split, "within": args.within, "points": args.points, "stride": args.stride}
        write_json(args.out, {"data": dataset.prepared.digest, **settings, "results": results})


def backbone_features(config: Any, source: str) -> PointFeatures:
    """Return the local features of a checkpoint's backbone, or of one with random weights."""
    random, _, seed = source.partition(":")
    if random == "random" and seed.isdecimal():
        encoder = build_encoder(config.model, seed=int(seed))
    else:
        encoder = load_encoder(config.model, source)
    if encoder.backbone.local_channels is None:
        raise ValueError(
            f"{config.model.backbone.type} has no features of points, which matching views needs"
        )
    encoder.with_local = True
    return lambda batch: encoder.eval().student_features(encoder.network_input(batch))["local_feats"]


if __name__ == "__main__":
    main()
