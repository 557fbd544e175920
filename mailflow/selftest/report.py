"""What a self-test came to: the servers, a row for each kind of fault, and what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from mailflow.core.calendar import PARIS
from mailflow.selftest.course import Played
from mailflow.selftest.oracle import Wrong


@dataclass(slots=True, kw_only=True)
class Row:
    """One kind of fault."""

    kind: str
    points: int = 0
    """That an undisturbed run passes."""
    cases: int = 0
    """Points, each with all that can go wrong there."""
    runs: int = 0
    reached: int = 0
    """Runs in which the fault happened; others went another way, and are judged as well."""
    wrong: dict[str, int] = field(default_factory=lambda: {wrong.value: 0 for wrong in Wrong})
    """Findings, by what became of the request."""
    seconds: float = 0.0

    def add(self, played: Played) -> None:
        """With one more run."""
        self.runs += 1
        self.reached += played.reached
        self.seconds += played.seconds
        for finding in played.findings:
            self.wrong[finding.wrong] += 1


@dataclass(slots=True, kw_only=True)
class Report:
    """The whole of it."""

    version: str
    begun_at: datetime
    ended_at: datetime
    servers: Mapping[str, str]
    """How each is reached, and what it says that it is."""
    rows: Sequence[Row]
    findings: list[str] = field(default_factory=list)
    failed: str = ""
    """What a server did not do, so that it ended early; empty when none failed."""
    left: int = 0
    """Runs for which there was no time, or no server."""

    def facts(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)

    def text(self) -> str:
        """For a person."""
        begun, ended = (one.astimezone(PARIS) for one in (self.begun_at, self.ended_at))
        runs = sum(row.runs for row in self.rows)
        lines = [f"mailflow {self.version}, {begun:%Y-%m-%d %H:%M} to {ended:%H:%M}: {runs} runs"]
        lines += [f"{name:<9} {server}" for name, server in self.servers.items()]
        head = ["kind", "points", "cases", "runs", "of all", "happened", *Wrong, "seconds"]
        rows = [
            [
                row.kind,
                *map(str, (row.points, row.cases, row.runs)),
                f"{row.runs / row.cases:.0%}" if row.cases else "",
                str(row.reached),
                *(str(row.wrong[wrong]) for wrong in Wrong),
                f"{row.seconds:.0f}",
            ]
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines.append("")
        for cells in (head, *rows):
            first, *others = zip(cells, widths, strict=True)
            lines.append("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]))
        lines += ["", *self.findings] if self.findings else ["", "Nothing was lost, and nothing came twice."]
        if self.left or self.failed:
            lines.append(f"{self.left} runs were left out: {self.failed or 'the time was over'}.")
        return "\n".join(lines)
