"""What others do to our mailbox while we work with it: at each command, just before the server hears of it."""

import imaplib
from collections.abc import Callable, Sequence
from typing import Any

from mailflow.selftest.points import Point, reach
from tests.servers.cyrus import Cyrus
from tests.support.letters import Letter
from tests.support.mail_world import ADMIN, INBOX, PROCESSED, SERVICE_USER, MailWorld

RENUMBERED, EXPUNGED, RENAMED = "UIDVALIDITY changed", "a mail expunged", "mailbox renamed"
MISSING, MOVED, COPIED, FULL = "folder missing", "half of them moved", "half of them copied", "quota exceeded"
MOVING = ("UID MOVE", "UID COPY", "UID STORE", "UID EXPUNGE")
"""At once, or by its parts."""
COMMANDS = ("SELECT", "UID SEARCH", "UID FETCH", *MOVING)
ELSEWHERE = "Ailleurs"
_UNLIMITED, _NOTHING = "(STORAGE 1000000)", "(STORAGE 0)"


def hows(point: Point) -> Sequence[str]:
    """What can be done before a command; what is about a move, before moves."""
    moving = (MISSING, MOVED, COPIED, FULL) if point.name.endswith(("MOVE", "COPY")) else ()
    return (RENUMBERED, EXPUNGED, RENAMED, *moving)


class Neighbour:
    """Another client with the same account."""

    def __init__(self, world: MailWorld, victim: Letter) -> None:
        self._world = world
        self._victim = victim

    def about_to(self, line: bytes) -> Callable[[], None] | None:
        """What it does before this line is passed on."""
        command = b" ".join(line.split()[1:3]).decode(errors="replace")
        command = next((known for known in COMMANDS if command.startswith(known)), "")
        how = command and reach("mailbox", f"before {command}")
        if not how:
            return None
        return lambda: self._do(how, line)

    def begin_anew(self) -> None:
        """The folder for what is done exists, as it does on every day but the first."""
        with self._world.mailbox.session(SERVICE_USER) as client:
            client.create(PROCESSED)

    def restore(self) -> None:
        """What an operator mends."""
        with self._world.mailbox.session(SERVICE_USER) as client:
            if self._world.inbox != INBOX and client.select(ELSEWHERE)[0] == "OK":
                client.unselect()
                _surely(client.rename(ELSEWHERE, self._world.inbox))
        self._limit(_UNLIMITED)  # refused when the folder is gone, and its limit with it

    def expunge(self) -> None:
        """What is marked deleted in the inbox, as mail programs do when they leave it."""
        with self._world.mailbox.session(SERVICE_USER) as client:
            client.select(self._world.inbox)
            _surely(client.expunge())

    def _do(self, how: str, line: bytes) -> None:
        match how:
            case "UIDVALIDITY changed":
                self._world.renumber()
            case "quota exceeded":
                _surely(self._limit(_NOTHING))
            case _:
                with self._world.mailbox.session(SERVICE_USER) as client:
                    self._with(client, how, line)

    def _with(self, client: imaplib.IMAP4, how: str, line: bytes) -> None:
        match how:
            case "a mail expunged":
                client.select(self._world.inbox)
                name = f'"{self._victim.message_id}"'
                for number in client.search(None, "HEADER", "Message-ID", name)[1][0].split():
                    client.store(number.decode(), "+FLAGS.SILENT", r"(\Deleted)")
                _surely(client.expunge())
            case "mailbox renamed":
                _surely(client.rename(self._world.inbox, ELSEWHERE))
            case "folder missing":
                _surely(client.delete(PROCESSED))
            case "half of them moved" | "half of them copied":
                client.select(self._world.inbox)
                uids = client.uid("SEARCH", "ALL")[1][0].split()
                asked = b",".join(uids[: max(1, len(uids) // 2)]).decode()
                folder = line.split()[-1].decode()
                client.create(folder)  # refused when there is one
                _surely(client.uid("COPY", asked, folder))
                if how == MOVED:  # by its parts: not every server has MOVE
                    _surely(client.uid("STORE", asked, "+FLAGS.SILENT", r"(\Deleted)"))
                    _surely(client.uid("EXPUNGE", asked))

    def _limit(self, amount: str) -> tuple[str, Any]:
        """Of the folder for what is done; only Cyrus has one for a folder alone."""
        if not isinstance(self._world.mailbox, Cyrus):
            return "NO", None
        with self._world.mailbox.session(ADMIN) as client:
            return client.setquota(f"user/{SERVICE_USER}/{PROCESSED}", amount)


def _surely(answer: tuple[str, Any]) -> None:
    assert answer[0] == "OK", answer
