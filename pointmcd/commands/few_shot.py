"""Few-shot classification on frozen features: N ways, K shots, 10 episodes of each.

    pointmcd few-shot work_dirs/x_s*/epoch_60.pth --config x.py --data data/shapes --out few_shot/x.json

An episode draws N classes, K support shapes of each and 20 others as queries (fewer where a class has fewer
left; the report counts them), and fits a linear SVM with C = 1 to the support. The same --seed draws the same
episodes whatever the features. Support and queries come from one pool, the training split as is customary.

"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from pointmcd.commands import frozen_features
from pointmcd.commands.common import make_table, plain_errors
from pointmcd.evaluation.features import FeatureSet
from pointmcd.evaluation.few_shot import QUERIES, REPEATS, draw_episode, eligible_classes, episode_accuracy
from pointmcd.evaluation.statistics import counted, mean_and_std, plus_minus
from pointmcd.progress import track

if TYPE_CHECKING:
    from rich.table import Table


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = frozen_features.make_parser(__doc__, pictures=False)
    add = parser.add_argument
    add("--pool", nargs="+", default=["train"], metavar="SPLIT", help="where shapes are drawn from (train)")
    add("--ways", type=int, nargs="+", default=[5, 10], metavar="N", help="(5 10)")
    add("--shots", type=int, nargs="+", default=[10, 20], metavar="K", help="(10 20)")
    add("--queries", type=int, default=QUERIES, help=f"query shapes of a class ({QUERIES})")
    add("--repeats", type=int, default=REPEATS, help=f"episodes ({REPEATS})")
    add("--seed", type=int, default=0, help="of the episodes (0)")
    add("--out", type=Path, metavar="JSON", help="report; default: work_dirs/few_shot/<source>.json")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.repeats < 1:
        raise ValueError(f"--repeats is {args.repeats}, must be at least 1")
    if args.seed < 0:
        raise ValueError(f"--seed is {args.seed}, must not be negative")
    frozen_features.check_disjoint(args.pool, "--pool")
    sets = frozen_features.read_features(args, args.pool)
    labels = np.concatenate([sets[0].split(split).labels for split in args.pool])
    untrained = frozen_features.random_features(args, sets)
    pools = [pool(args, one) for one in sets]
    random_pool = None if untrained is None else pool(args, untrained)
    results, left_out = [], []
    for ways, shots in ((n, k) for n in args.ways for k in args.shots):
        if (count := len(eligible_classes(labels, shots))) < ways:
            left_out.append(
                f"{ways} ways, {counted(shots, 'shot')}: {counted(count, 'class')} of the pool with "
                f"{shots + 1} shapes"
            )
        else:
            results.append(setting(args, pools, random_pool, labels, ways, shots))
    if not results:
        raise ValueError("no setting is possible; " + "; ".join(left_out))
    report = {
        "protocol": "few-shot: linear SVM, C = 1, on frozen features standardised on the support",
        "spread": f"standard deviation over {counted(args.repeats, 'episode')} of the mean of "
        f"{counted(len(sets), 'encoder')}",
        "pool": args.pool,
        "queries": args.queries,
        "seed": args.seed,
        "views": None if args.views is None else f"{args.view_pool} of {args.views}",
        "features": [one.about for one in sets],
        "settings": results,
        "left_out": left_out,
    }
    path = frozen_features.report_path(args, "few_shot")
    frozen_features.write_report(path, report)
    console = Console(markup=False)
    console.print(table(results))
    for line in left_out:
        console.print(f"left out: {line}", soft_wrap=True)
    console.print(
        f"feature: {sets[0].about['feature']}\nspread: {report['spread']}\nwrote {path}", soft_wrap=True
    )


def pool(args: argparse.Namespace, features: FeatureSet) -> np.ndarray:
    """Return the features (S, C) of all splits of the pool."""
    splits = [features.split(split).over_views(args.views, args.view_pool) for split in args.pool]
    return np.concatenate([split.values for split in splits])


def setting(
    args: argparse.Namespace,
    pools: list[np.ndarray],
    random_pool: np.ndarray | None,
    labels: np.ndarray,
    ways: int,
    shots: int,
) -> dict[str, Any]:
    """Run all episodes of one N and K, of the encoders and of the random one."""
    episodes = [
        draw_episode(labels, ways, shots, args.queries, args.seed, repeat) for repeat in range(args.repeats)
    ]
    accuracy = np.array(
        [
            [episode_accuracy(values, labels, episode) for values in pools]
            for episode in track(episodes, f"{ways} ways, {counted(shots, 'shot')}")
        ]
    )
    result = {
        "ways": ways,
        "shots": shots,
        **mean_and_std(accuracy.mean(1)),
        "queries_by_episode": [len(episode.query) for episode in episodes],
        "accuracy_by_encoder_and_episode": accuracy.T.tolist(),
    }
    if random_pool is not None:
        untrained = [episode_accuracy(random_pool, labels, episode) for episode in episodes]
        result["random_encoder"] = mean_and_std(untrained)
    return result


def table(results: list[dict[str, Any]]) -> "Table":
    """Return a row for each setting."""
    rows = []
    for one in results:
        low, high = min(one["queries_by_episode"]), max(one["queries_by_episode"])
        queries = str(low) if low == high else f"{low} to {high}"
        untrained = [plus_minus(one["random_encoder"])] if "random_encoder" in one else []
        rows.append((str(one["ways"]), str(one["shots"]), plus_minus(one), *untrained, queries))
    random = [">random encoder %"] if "random_encoder" in results[0] else []
    columns = (">ways", ">shots", ">accuracy %", *random, ">queries an episode")
    return make_table("Few-shot classification", columns, rows)
