"""What the commands of this folder found, as a document that is kept."""

from collections.abc import Sequence
from datetime import UTC, datetime

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
