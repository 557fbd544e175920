"""An IMAP server that fails at some mails, in every way in which it may: a rule of `FaultProxy`."""

import re
from collections.abc import Collection, Sequence

from mailflow.mail import imap_syntax
from mailflow.mail.imap import ImapMailbox
from mailflow.selftest.proxy import Break, Fault, Side
from tests.support.mailbox_places import ServerPlace, an_account

HEADERS = rb"UID FETCH (\S+) .*MESSAGE-ID"
SIZES, BODIES, MOVE = rb"UID FETCH (\S+) .*INTERNALDATE", rb"UID FETCH (\S+) .*BODY.PEEK\[\]", rb"UID MOVE (\S+) "

WAYS = [
    *((way, command) for way in ("refused", "cut", "left out") for command in (SIZES, BODIES)),
    *((way, SIZES) for way in ("no date", "nonsense date", "no size", "an open list")),
]


class Clock:
    """By which mails that gave trouble are put off; stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_mailbox(
    place: ServerPlace, port: int, clock: Clock | None = None, *, elsewhere: Sequence[str] = ()
) -> ImapMailbox:
    """That folder, reached by this port; `elsewhere`: other folders of its server."""
    account = an_account(port=port, fetch_batch=50)
    return ImapMailbox(account, place.folder, elsewhere=elsewhere, clock=clock or Clock())


class Failing:
    """What a server does that fails at some mails; `FaultProxy` asks it at each line."""

    def __init__(self, way: str, command: bytes, bad: Collection[int]) -> None:
        self.way, self.command, self.bad = way, command, set(bad)
        self.commands = 0

    def __call__(self, side: Side, line: bytes) -> Break | None:
        if side is Side.CLIENT:
            return self._at_command(line)
        told = re.match(rb"\* \d+ FETCH \(.*\bUID (\d+)\b.*INTERNALDATE", line)
        if told is None or int(told[1]) not in self.bad:
            return None
        spoilt = {
            "no date": re.sub(rb' ?INTERNALDATE "[^"]*"', b"", line),
            "nonsense date": re.sub(rb'INTERNALDATE "[^"]*"', b'INTERNALDATE "soon"', line),
            "no size": re.sub(rb" ?RFC822.SIZE \d+", b"", line),
            "an open list": line.replace(b"FETCH (", b"FETCH (X (", 1),
        }.get(self.way)
        return None if spoilt is None else Break(fault=Fault.REPLACE, replacement=spoilt)

    def _at_command(self, line: bytes) -> Break | None:
        asked = re.search(self.command, line)
        if asked is None:
            return None
        self.commands += 1
        uids = _uids(asked[1])
        tag = line.split()[0]
        if not uids & self.bad:
            return None
        match self.way:
            case "refused":
                return Break(fault=Fault.REPLACE, replacement=tag + b" NONSENSE\r\n")
            case "cut":
                return Break(fault=Fault.RESET_BEFORE)
            case "left out":
                others = sorted(uids - self.bad)
                fewer = (
                    line.replace(asked[1], imap_syntax.uid_set(others).encode(), 1) if others else tag + b" NOOP\r\n"
                )
                return Break(fault=Fault.REPLACE, replacement=fewer)
        return None


def _uids(text: bytes) -> set[int]:
    ranges = [part.split(b":") for part in text.split(b",")]
    return {uid for part in ranges for uid in range(int(part[0]), int(part[-1]) + 1)}
