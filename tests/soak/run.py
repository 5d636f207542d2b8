"""Try to break the toolbox: kills, damaged files, mutated shapes, full disks, random operator calls.

    make soak               60 kills, 300 damages, 500 shapes, 20 full disks and the like, 3000 operator calls
    make soak KILLS=200     the long form

Prints a table and writes it to work_dirs/soak/report.json, each kind when it is done. Exit code 1 where
anything was lost, silently wrong, a traceback, a crash or a hang.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from pointmcd.files import write_json
from tests.faults import operator_cases
from tests.soak.artefacts import damage_many
from tests.soak.disks import try_all
from tests.soak.kills import export_words, kill_many, make_ground, run
from tests.soak.shapes import mutate_many
from tests.soak.tally import Tally, report, table

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
    args = parser.parse_args()
    console, tallies, started = Console(), [], time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="soak_"))
    for kind in args.only:
        console.print(f"{kind} ... ({(time.monotonic() - started) / 60:.0f} minutes so far)")
        for tally in attempts(kind, args, work):
            tallies.append(tally)
            write_json(args.out / "report.json", report(tallies))
            console.print(
                f"  {tally.kind}: {tally.total} attempts, {tally.bad} bad", *tally.failures, sep="\n"
            )
    shutil.rmtree(work, ignore_errors=True)
    console.print(table(tallies))
    console.print(f"{(time.monotonic() - started) / 60:.0f} minutes; wrote {args.out}/report.json")
    return int(any(tally.bad for tally in tallies))


def attempts(kind: str, args: argparse.Namespace, work: Path) -> list[Tally]:
    """All attempts of one kind."""
    if kind == "operators":
        return [call_operators(args.operators)]
    if kind == "shapes":
        return [mutate_many(work / "shapes", args.shapes)]
    if kind == "kills":
        return list(kill_many(work / "kills", args.kills))
    ground = make_ground(work / kind)
    if kind == "disks":
        return [try_all(ground, work / "disks")]
    done = run(export_words(ground, ground / "student.pth"))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return damage_many(ground, work / "artefacts_work", args.artefacts)


def call_operators(count: int, at_once: int = 25) -> Tally:
    """Random calls, the native kernels against their plain twins; a difference is silent but for this."""
    tally = Tally("random operator calls")
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
