"""What a sweep came to: a row for each kind on each set of servers, as Markdown and as JSON."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mailflow import __version__
from tests.faults.played import Played


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of fault on one set of servers."""

    kind: str
    database: str = ""
    mailbox: str = ""
    points: int = 0
    """That a fault-free run passes; of a second fault, that the runs pass which mend the first."""
    cases: int = 0
    """Points, each with all that can go wrong there."""
    runs: int = 0
    reached: int = 0
    """Runs in which the fault happened: others went another way, and are judged as well."""
    seconds: float = 0.0
    findings: tuple[str, ...] = ()
    """What was wrong: a mail lost, a number or an answer doubled, a batch that ended badly."""

    def having(self, played: Played) -> "Row":
        """With one more run."""
        findings = (*self.findings, str(played)) if played.wrong else self.findings
        return replace(self, runs=self.runs + 1, reached=self.reached + played.reached, findings=findings)

    def lasting(self, seconds: float) -> "Row":
        """What it took."""
        return replace(self, seconds=seconds)

    def plus(self, other: "Row") -> "Row":
        """Both shares of the same row. Points and cases are counted anew by each: the larger count stands."""
        points, cases = max(self.points, other.points), max(self.cases, other.cases)
        return replace(self._with_runs_of(other), points=points, cases=cases)

    def after(self, other: "Row") -> "Row":
        """Both rows, of other points."""
        return replace(self._with_runs_of(other), points=self.points + other.points, cases=self.cases + other.cases)

    def _with_runs_of(self, other: "Row") -> "Row":
        return replace(
            self,
            runs=self.runs + other.runs,
            reached=self.reached + other.reached,
            seconds=self.seconds + other.seconds,
            findings=self.findings + other.findings,
        )


def summed(rows: Iterable[Row]) -> list[Row]:
    """One row for each kind and set of servers, in the order in which they came."""
    sums: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.kind, row.database, row.mailbox)
        sums[key] = sums[key].plus(row) if key in sums else row
    return list(sums.values())


def version() -> str:
    """Of the program, with the commit when there is one to ask for."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return f"{__version__} ({done.stdout.strip()})" if done.returncode == 0 else __version__


def write(folder: Path, rows: Sequence[Row], *, of: str, begun_at: datetime) -> None:
    """`faults.md` and `faults.json`; `of`: the version that was swept."""
    folder.mkdir(parents=True, exist_ok=True)
    ended_at = datetime.now(UTC)
    facts = {"version": of, "begun_at": begun_at.isoformat(), "ended_at": ended_at.isoformat()}
    data = facts | {"rows": [asdict(row) for row in rows]}
    (folder / "faults.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "faults.md").write_text(markdown(rows, of=of, begun_at=begun_at, ended_at=ended_at), encoding="utf-8")


def markdown(rows: Sequence[Row], *, of: str, begun_at: datetime, ended_at: datetime) -> str:
    """A table, and what was found."""
    runs, findings = sum(row.runs for row in rows), [one for row in rows for one in row.findings]
    lines = [
        "# Fault sweep",
        "",
        f"mailflow {of}, {begun_at:%Y-%m-%d %H:%M} to {ended_at:%H:%M} UTC: {runs} runs, {len(findings)} findings.",
        "",
        "| kind | database | mailbox | points | cases | runs | of all | fault happened | findings |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        share = f"{row.runs / row.cases:.0%}" if row.cases else ""
        numbers = [row.points, row.cases, row.runs, share, row.reached, len(row.findings)]
        lines.append(f"| {' | '.join([row.kind, row.database, row.mailbox, *map(str, numbers)])} |")
    if findings:
        lines += ["", "## Findings", "", *(f"```\n{finding}\n```" for finding in findings)]
    return "\n".join(lines) + "\n"
