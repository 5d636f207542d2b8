"""What became of many attempts to break something."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

BAD = ("lost", "silent", "traceback", "crash", "hang")
"""Work that cannot be gone on with; a wrong result without a word; a user shown a traceback; a process that
died by a signal that nobody sent; one that does not end."""


@dataclass
class Tally:
    """The outcomes of one kind of attempt.

    Attributes:
        kind: What is counted, as the table names it.
        outcomes: How many ended in what; names other than those in ``BAD`` are good ones.
        failures: What to look at: the attempt and what it said, of each bad outcome.
    """

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: str, attempt: str, said: str = "") -> None:
        self.outcomes[outcome] += 1
        if outcome in BAD:
            self.failures.append(f"{self.kind}: {outcome}: {attempt}: {said.strip()[-600:]}")

    @property
    def total(self) -> int:
        return self.outcomes.total()

    @property
    def bad(self) -> int:
        return sum(self.outcomes[name] for name in BAD)

    def good(self) -> str:
        """The good outcomes, as ``noticed 210, no harm 90``."""
        return ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common() if name not in BAD)


def table(tallies: list[Tally]) -> Table:
    """A row a kind of attempt."""
    shown = Table(title="Attempts to break it")
    shown.add_column("what")
    for name in ("attempts", *BAD):
        shown.add_column(name, justify="right")
    shown.add_column("the others")
    for tally in tallies:
        counts = (str(tally.outcomes[name]) for name in BAD)
        shown.add_row(tally.kind, str(tally.total), *counts, tally.good())
    return shown


def report(tallies: list[Tally]) -> dict[str, Any]:
    """The same as plain values."""
    return json.loads(
        json.dumps([{"what": t.kind, "outcomes": dict(t.outcomes), "failures": t.failures} for t in tallies])
    )


def from_report(rows: list[dict[str, Any]]) -> list[Tally]:
    """The tallies of a ``report``."""
    return [Tally(row["what"], Counter(row["outcomes"]), row["failures"]) for row in rows]
