"""Try to break the toolbox: kills, damaged files, mutated shapes, full disks, random operator calls.

    make soak               60 kills, 300 damages, 500 shapes, 20 full disks and the like, 3000 operator calls
    make soak KILLS=200     the long form

Prints a table and writes it to work_dirs/soak/report.json, each row when it is done; --resume keeps the rows
that are there and makes the others. Exit code 1 where anything was lost, silently wrong, a traceback, a crash
or a hang.
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from pointmcd.files import read_json, write_json
from tests.faults import operator_cases
from tests.soak.artefacts import ARTEFACTS, damage_many
from tests.soak.disks import DISKS, try_all
from tests.soak.kills import export_words, kill_many, make_ground, run
from tests.soak.shapes import SHAPES, mutate_many
from tests.soak.tally import Tally, from_report, report, table

OPERATORS = "random operator calls"
KINDS = ("operators", "shapes", "artefacts", "disks", "kills")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--artefacts", type=int, default=300)
    parser.add_argument("--shapes", type=int, default=500)
    parser.add_argument("--operators", type=int, default=3000)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/soak"))
    parser.add_argument("--resume", action="store_true", help="keep the rows of an earlier report")
    args = parser.parse_args()
    console, started, failed = Console(), time.monotonic(), []
    path = args.out / "report.json"
    tallies = from_report(read_json(path)) if args.resume and path.is_file() else []
    work = Path(tempfile.mkdtemp(prefix="soak_"))
    for kind in args.only:
        console.print(f"{kind} ... ({(time.monotonic() - started) / 60:.0f} minutes so far)")
        try:
            for tally in attempts(kind, args, work, {tally.kind for tally in tallies}):
                tallies.append(tally)
                write_json(path, report(tallies))
                console.print(
                    f"  {tally.kind}: {tally.total} attempts, {tally.bad} bad", *tally.failures, sep="\n"
                )
        except Exception:  # the other kinds are worth having all the same
            failed.append(kind)
            console.print(traceback.format_exc(), markup=False)
    shutil.rmtree(work, ignore_errors=True)
    console.print(table(tallies))
    console.print(f"{(time.monotonic() - started) / 60:.0f} minutes; wrote {path}")
    if failed:
        console.print(f"could not be made: {', '.join(failed)}; --resume tries again")
    return int(bool(failed) or any(tally.bad for tally in tallies))


def attempts(kind: str, args: argparse.Namespace, work: Path, have: set[str]) -> Iterator[Tally]:
    """All attempts of one kind but for the rows that are there, a row when it is complete."""
    if kind == "operators" and OPERATORS not in have:
        yield call_operators(args.operators)
    if kind == "shapes" and SHAPES not in have:
        yield mutate_many(work / "shapes", args.shapes)
    if kind == "kills":
        yield from kill_many(work / "kills", args.kills, have)
    if kind == "disks" and DISKS not in have:
        yield try_all(make_ground(work / kind), work / "disks_work")
    if kind == "artefacts" and not set(ARTEFACTS) <= have:
        ground = make_ground(work / kind)
        done = run(export_words(ground, ground / "student.pth"))
        if done.returncode:
            raise RuntimeError(done.stderr)
        yield from damage_many(ground, work / "artefacts_work", args.artefacts, have)


def call_operators(count: int, at_once: int = 25) -> Tally:
    """Random calls, the native kernels against their plain twins; a difference is silent but for this."""
    tally = Tally(OPERATORS)
    for seed in range(-(-count // at_once)):
        try:
            operator_cases.run(at_once, seed)
        except AssertionError as error:
            tally.add("silent", str(error), str(error.__cause__))
        else:
            tally.outcomes["agreed"] += at_once
    return tally


if __name__ == "__main__":
    sys.exit(main())
