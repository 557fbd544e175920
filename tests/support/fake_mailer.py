"""A mailer without a server, for tests that need one to go wrong at a given moment. Passes the contract suite."""

import asyncio
import re
from collections.abc import Iterable
from enum import Enum

from mailflow.mail.ports import BeforeData, Outgoing, Sending, SendResult
from mailflow.mail.smtp import fault_of

RETURN_PATH = "Return-Path: <{}>\r\n"


class Fate(Enum):
    """What happens to one mail."""

    ACCEPT = "accept"
    DEFER_AT_ONCE = "no connection"
    DEFER_RECIPIENT = "4xx to RCPT"
    REFUSE_RECIPIENT = "5xx to RCPT"
    REFUSE_AUDIT = "5xx to RCPT of the audit mailbox"
    DEFER_DATA = "4xx to the final dot"
    REFUSE_DATA = "5xx to the final dot"
    LOSE_MAIL = "connection lost in the middle of the mail"
    LOSE_REPLY = "accepted, but the connection is lost before the reply"


class FakeMailer:
    """`ports.Mailer`. `users` are the local parts that exist, with or without `+detail`; None: everybody does.

    `fates` are used up one for each mail that is sent; afterwards every mail is accepted.
    """

    def __init__(self, users: Iterable[str] | None = None, fates: Iterable[Fate] = ()) -> None:
        self._users = None if users is None else frozenset(users)
        self.fates = list(fates)
        self.accepted: list[Outgoing] = []
        """What the server took over, in order, whatever the sender learned of it."""
        self.mailboxes: dict[str, list[bytes]] = {}
        """What was delivered, by user."""
        self.sent = asyncio.Event()
        """The server has taken a mail over."""
        self.closed = False

    async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        fault = fault_of(outgoing)
        if fault:
            return SendResult(state=Sending.REFUSED, detail=fault)
        fate = self.fates.pop(0) if self.fates else Fate.ACCEPT
        refusal = self._at_envelope(outgoing, fate)
        if refusal is not None:
            return refusal
        if not await before_data():
            return SendResult(state=Sending.DEFERRED, detail="taken")
        match fate:
            case Fate.DEFER_DATA:
                return SendResult(state=Sending.DEFERRED, detail="DATA 451 4.3.0")
            case Fate.REFUSE_DATA:
                return SendResult(state=Sending.REFUSED, detail="DATA 554 5.7.1")
            case Fate.LOSE_MAIL:
                return SendResult(state=Sending.DOUBTFUL, detail="DATA lost")
        self._accept(outgoing)
        if fate is Fate.LOSE_REPLY:
            return SendResult(state=Sending.DOUBTFUL, detail="DATA lost")
        return SendResult(state=Sending.SENT)

    async def close(self) -> None:
        self.closed = True

    def _at_envelope(self, outgoing: Outgoing, fate: Fate) -> SendResult | None:
        if fate is Fate.DEFER_AT_ONCE:
            return SendResult(state=Sending.DEFERRED, detail="connect lost")
        if fate is Fate.DEFER_RECIPIENT:
            return SendResult(state=Sending.DEFERRED, detail="RCPT 450 4.2.0")
        if fate is Fate.REFUSE_RECIPIENT or not self._knows(outgoing.recipient):
            return SendResult(state=Sending.REFUSED, detail="RCPT 550 5.1.1")
        if outgoing.audit and (fate is Fate.REFUSE_AUDIT or not self._knows(outgoing.audit)):
            return SendResult(state=Sending.DEFERRED, detail="RCPT audit 550 5.1.1")
        return None

    def _knows(self, address: str) -> bool:
        return self._users is None or _user_of(address) in self._users

    def _accept(self, outgoing: Outgoing) -> None:
        self.accepted.append(outgoing)
        self.sent.set()
        raw = RETURN_PATH.format(outgoing.envelope_from).encode() + outgoing.raw
        for address in (outgoing.recipient, outgoing.audit):
            if address:
                self.mailboxes.setdefault(_user_of(address), []).append(raw)


def _user_of(address: str) -> str:
    return re.split(r"[+@]", address, maxsplit=1)[0].lower()
