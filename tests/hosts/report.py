"""What the commands of this folder found, as a document that is kept."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mailflow import __version__
from tests.hosts.scene import Played


def written(title: str, played: Sequence[Played]) -> str:
    """All scenarios with their timelines."""
    head = [
        f"# {title}",
        "",
        f"mailflow {__version__}, {datetime.now(UTC):%Y-%m-%d}, PostgreSQL, Dovecot, Postfix.",
        "",
    ]
    return "\n".join([*head, *(one.text() + "\n" for one in played)])


def keep(report: str, path: Path) -> None:
    """As a file; its folder is made: what took half an hour is not lost for want of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report, encoding="utf-8")


def spread(seconds: Sequence[float]) -> str:
    """What they come to, in words."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    rare = ordered[len(ordered) * 99 // 100]
    middle, worst = statistics.median(ordered), ordered[-1]
    return f"median {middle:.1f} s, of a hundred the worst {rare:.1f} s, worst of all {worst:.1f} s"
