"""What a soak found, as a document that is kept."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailflow import __version__
from mailflow.selftest.oracle import Finding
from tests.hosts.report import spread
from tests.hosts.soak.oracle import Fate
from tests.hosts.soak.outages import Outage
from tests.hosts.soak.samples import Growth

FINDINGS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    command: str
    database: str
    workers: int
    attested: bool
    sent: Counter[str]
    """Mails by what may become of them."""
    repeated: int
    """Of them, those that had been sent before."""
    answers: int
    receipts: int
    """Technical ones, which went ahead of answers that were late."""
    copies: int
    waits: Sequence[float]
    deadline_seconds: float
    lasted_seconds: float
    outages: Sequence[Outage]
    measured: Sequence[Growth]
    percent_max: float
    findings: Sequence[Finding]


def written(soaked: Soaked, plot_name: str) -> str:
    """The document; the plot lies beside it under that name."""
    total, seconds = soaked.sent.total(), soaked.lasted_seconds
    hostile = total - soaked.sent[Fate.NUMBER]
    attested = "answered with attestations" if soaked.attested else "answered without attestations, as by `bench.bare`"
    servers = f"Dovecot, Postfix, {soaked.database}, {soaked.workers} worker(s)"
    late = soaked.deadline_seconds / 3600
    facts = [
        ("mails delivered", f"{total:,}"),
        ("of them hostile", f"{hostile:,}, of which {soaked.sent[Fate.SILENCE]:,} may not be answered"),
        ("of them sent before", f"{soaked.repeated:,}"),
        ("different answers", f"{soaked.answers:,}"),
        ("lasted", f"{seconds / 60:.1f} min, {total / seconds:.0f} mails a second"),
        ("from delivery until the answer was read", spread(soaked.waits)),
        ("deadline", f"{late:g} h; {sum(wait > soaked.deadline_seconds for wait in soaked.waits)} answers were later"),
        ("technical receipts ahead of an answer", f"{soaked.receipts:,}"),
        ("copies of an answer in a desk's mailbox, made by the mail servers", str(soaked.copies)),
    ]
    lines = [
        "# A soak",
        "",
        f"mailflow {__version__}, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {servers}, {attested}:",
        f"`{soaked.command}`",
        "",
        "| what | |",
        "|---|---|",
        *(f"| {what} | {value} |" for what, value in facts),
        "",
        *_outages(soaked.outages),
        *_growths(soaked.measured, soaked.percent_max),
        f"![memory and descriptors over time]({plot_name})",
        "",
        *_findings(soaked.findings),
    ]
    return "\n".join(lines) + "\n"


def _outages(outages: Sequence[Outage]) -> list[str]:
    if not outages:
        return ["No server was taken away.", ""]
    lines = ["| server | stopped | killed | away |", "|---|--:|--:|---|"]
    for server in sorted({one.server for one in outages}):
        these = [one for one in outages if one.server == server]
        killed = sum(one.killed for one in these)
        away = spread([one.ended - one.begun for one in these])
        lines.append(f"| {server} | {len(these) - killed} | {killed} | {away} |")
    return [*lines, ""]


def _growths(measured: Sequence[Growth], percent_max: float) -> list[str]:
    if not measured:
        return ["Too short to say whether memory grew.", ""]
    return [
        f"Medians of memory in the second and the last quarter; more than {percent_max:g} % of growth would be wrong.",
        "",
        "| | second quarter | last quarter | growth |",
        "|---|--:|--:|--:|",
        *(f"| {one.what} | {one.before:.0f} | {one.after:.0f} | {one.percent:+.1f} % |" for one in measured),
        "",
    ]


def _findings(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["Lost, doubled, answered twice, answered though hostile, late, grown: **none**."]
    counts = Counter(one.wrong for one in findings)
    told = ", ".join(f"{wrong} {count}" for wrong, count in counts.items())
    return [f"**Wrong: {told}.**", "", *(f"- {one}" for one in findings[:FINDINGS_MAX])]
