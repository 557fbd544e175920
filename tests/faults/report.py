"""What sweeps came to: a row for each kind on each set of servers, as Markdown and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.faults.played import Played

JSON, MARKDOWN = "faults.json", "faults.md"
HEAD = """# Fault sweep

A point is a place that a run passes; a case is a point and one thing that can go wrong there. `again`: the run that
mends the fault named under `after` is broken by a second one. A finding is a mail that was lost, a number or an answer
that was doubled, a batch that ended badly or could not work though nothing was broken any more, or a fault of ours that
the service only survived. In a row with as many cases as points, or a few less, each point was broken in one of its
ways, by chance; the processes that share a row need not pass quite the same points, and the most is told.
`reached`: runs in which the fault happened; `instead`: those in which it happened at an earlier time than was meant,
since the run went another way; what did not happen at all is judged as well. The version is the commit that last
changed the service or the sweep; the minutes are those of all processes that shared a row. `cut`: not all cases were
played. Written by `make faults`, which may be given some of the rows.
"""
WORDS = ("kind", "after", "database", "mailbox")
NUMBERS = ("points", "cases", "runs", "reached", "instead", "findings", "minutes")
COLUMNS = (*WORDS, *NUMBERS, "day", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of fault on one set of servers."""

    kind: str
    database: str = ""
    mailbox: str = ""
    first: str = ""
    """The fault that broke the run before; none: nothing did."""
    version: str = ""
    day: str = ""
    points: int = 0
    """That a fault-free run passes; of a second fault, that the run passes which mends the first."""
    cases: int = 0
    """Points, each with all that can go wrong there, or with one thing; of a share, its own."""
    runs: int = 0
    reached: int = 0
    """Runs in which the fault happened where it was meant to: others went another way, and are judged as well."""
    instead: int = 0
    """Runs in which it happened at an earlier time."""
    seconds: float = 0.0
    findings: tuple[str, ...] = ()
    """What was wrong: a mail lost, a number or an answer doubled, a batch that ended badly."""

    def having(self, played: Played) -> "Row":
        """With one more run."""
        findings = (*self.findings, str(played)) if played.wrong else self.findings
        reached, instead = played.reached and not played.instead, played.reached and played.instead
        return replace(
            self,
            runs=self.runs + 1,
            reached=self.reached + reached,
            instead=self.instead + instead,
            seconds=self.seconds + played.seconds,
            findings=findings,
        )

    def plus(self, other: "Row") -> "Row":
        """Both shares of the same row. Points are counted anew by each, which has cases of its own."""
        return replace(
            self,
            points=max(self.points, other.points),
            cases=self.cases + other.cases,
            runs=self.runs + other.runs,
            reached=self.reached + other.reached,
            instead=self.instead + other.instead,
            seconds=self.seconds + other.seconds,
            findings=self.findings + other.findings,
        )

    @property
    def is_whole(self) -> bool:
        """All cases were played."""
        return bool(self.runs) and self.runs == self.cases

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Of which there is one row."""
        return self.kind, self.database, self.mailbox, self.first


def summed(rows: Iterable[Row]) -> list[Row]:
    """One row for each place, in the order in which they came."""
    sums: dict[tuple[str, str, str, str], Row] = {}
    for row in rows:
        sums[row.place] = sums[row.place].plus(row) if row.place in sums else row
    return list(sums.values())


def kept(folder: Path) -> list[Row]:
    """What a report in this folder has from before."""
    file = folder / JSON
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [Row(**{**row, "findings": tuple(row["findings"])}) for row in rows]


def write(folder: Path, rows: Sequence[Row]) -> None:
    """As Markdown and as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    data = [asdict(row) for row in rows]
    (folder / JSON).write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text(markdown(rows), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """A table, and what was found."""
    runs, findings = sum(row.runs for row in rows), [one for row in rows for one in row.findings]
    rule = "|---" * len(WORDS) + "|---:" * (len(COLUMNS) - len(WORDS)) + "|"
    lines = [HEAD, f"{runs:,} runs, {len(findings)} findings.", "", f"| {' | '.join(COLUMNS)} |", rule]
    for row in rows:
        played = row.runs if row.is_whole else f"{row.runs} (cut)" if row.runs else "not played"
        came = [played, row.reached, row.instead, len(row.findings), f"{row.seconds / 60:.0f}"]
        numbers = map(str, [row.points, row.cases, *came])
        words = [row.kind, row.first, row.database, row.mailbox, *numbers, row.day, row.version]
        lines.append(f"| {' | '.join(words)} |")
    if findings:
        lines += ["", "## Findings", "", *(f"```\n{finding}\n```" for finding in findings)]
    return "\n".join(lines) + "\n"
