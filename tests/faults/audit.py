"""What others do to the audit mailbox while we look in it for a copy: at each command, just before the server hears it.

It is asked only about a send whose end nobody saw, so there are points of this kind only after another fault.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from mailflow.selftest.points import Point, reach
from tests.support.mail_world import AUDIT_USER, INBOX, MailWorld, empty

RENUMBERED, EXPUNGED, SHUT = "UIDVALIDITY changed", "all copies expunged", "folder cannot be opened"
COMMANDS = ("EXAMINE", "UID SEARCH", "UID FETCH")
OPEN, CLOSED = 0o700, 0


def hows(_: Point) -> Sequence[str]:
    """What can be done before a command."""
    return (RENUMBERED, EXPUNGED, SHUT)


class Keeper:
    """Another client of the audit mailbox, or an operator of its server, Dovecot with Maildirs."""

    def __init__(self, world: MailWorld) -> None:
        self._world = world

    def about_to(self, line: bytes) -> Callable[[], None] | None:
        """What it does before this line is passed on."""
        command = b" ".join(line.split()[1:3]).decode(errors="replace")
        command = next((known for known in COMMANDS if command.startswith(known)), "")
        how = command and reach("audit", f"before {command}")
        return (lambda: self._do(how)) if how else None

    def restore(self) -> None:
        """What an operator mends."""
        self._maildir.chmod(OPEN)

    @property
    def _maildir(self) -> Path:
        return self._world.dovecot.mails / AUDIT_USER / self._world.dovecot.driver

    def _do(self, how: str) -> None:
        match how:
            case "UIDVALIDITY changed":
                for file in self._maildir.glob("dovecot*"):
                    if not file.name.startswith("dovecot-uidvalidity"):  # or the former one might come again
                        file.unlink()
            case "all copies expunged":
                with self._world.dovecot.session(AUDIT_USER) as client:
                    empty(client, INBOX)
            case "folder cannot be opened":
                self._maildir.chmod(CLOSED)
