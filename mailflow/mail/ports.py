"""The servers that this door talks to, as small as we can say it. Every call is bounded in time."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Protocol

from mailflow.mail.model import FetchedMail, Lying


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a folder now. UIDs mean nothing under another UIDVALIDITY."""

    uidvalidity: int
    uids: tuple[int, ...]
    troubled: int = 0
    """How many of them the server could not read or move when it was asked to."""
    uid_next: int | None = field(default=None, compare=False)
    """The folder has given no UID as high as this; None when its server does not tell (RFC 3501 section 6.3.1)."""
    selection: object = field(default=None, compare=False, repr=False)
    """The SELECT under which it was listed. As long as it lasts each UID is of the mail that had it then (RFC 3501
    section 2.3.1.1); after it a server that was put back to an older state may have given it to another one."""


class Mailbox(Protocol):
    """One IMAP folder of incoming mail. Any method raises `Unavailable`; the next call then connects anew."""

    async def list(self) -> Listing:
        """Every UID in the inbox that is not marked deleted, in ascending order; those that gave trouble last."""
        ...

    def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        """Read those mails without marking them seen. A mail over the size limit comes without its octets.

        What somebody else took away meanwhile is left out. So is a mail that the server cannot read, which is told in
        the log and tried again at times; a server that can read none of them, nor what lies elsewhere, is unavailable.
        """
        ...

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        """Those of these mails that are still there, by their headers alone.

        A mail at which the server fails is left out as by `fetch`; so is one that gave trouble and is not due yet.
        """
        ...

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        """Put these mails, as they were read or looked at, into `folder`, which is made when missing.

        Those that are gone are no error. What is not surely the same any more, since the connection was lost meanwhile,
        stays, and raises Unavailable once the others are moved. A mail that the server cannot move stays, is told in
        the log and tried again at times, when others can be moved.
        """
        ...

    async def wait(self, seconds: float) -> bool:
        """Return early (True) when the server announces something; False after `seconds`."""
        ...

    async def close(self) -> None:
        """Log out, within a few seconds, whatever the state of the connection."""
        ...


class Copies(Protocol):
    """The audit mailbox: every answer that left has a copy here."""

    async def find(self, message_id: str) -> Sequence[bytes]:
        """The octets of every copy with this Message-ID. Raises `Unavailable`, also when one cannot be read."""
        ...

    async def close(self) -> None: ...


class Folder(Protocol):
    """One IMAP folder, looked through. Any method raises `Unavailable`; the next call then connects anew."""

    name: str

    @property
    def account(self) -> str:
        """Whose it is, as the register names accounts: each has an `INBOX`."""
        ...

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:
        """Every UID, in ascending order, or of those that are marked deleted; none when there is no such folder.

        With `since` only from the first on that was received on that day or later: what was moved there late is older.
        """
        ...

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        """Those of these mails that are still there, by their headers alone; a few thousand at a time at most."""
        ...

    def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        """As `Mailbox.fetch`."""
        ...

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        """As `Mailbox.move`, but any mail that stays raises Unavailable, once the others are moved."""
        ...

    async def unmark(self, listing: Listing, uids: Sequence[int]) -> None:
        """They are marked deleted no longer."""
        ...

    async def close(self) -> None: ...


class Sending(Enum):
    """How far a send had come when it ended otherwise than by a plain yes."""

    SENT = "sent"
    DEFERRED = "deferred"
    """The server said 4xx, or could not be reached, before or at the final dot: surely not accepted."""
    DOUBTFUL = "doubtful"
    """The connection was lost after the data began: accepted or not, only the audit mailbox can tell."""
    REFUSED = "refused"
    """The server said 5xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One frozen mail with its envelope."""

    envelope_from: str
    """Bounce address; empty for the null sender."""
    recipient: str
    audit: str | None
    """Our own mailbox, as second envelope recipient."""
    envelope_id: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    state: Sending
    detail: str = ""
    """Reply code and enhanced status of the server, never its free text."""


class BeforeData(Protocol):
    async def __call__(self) -> bool:
        """Called once when all recipients are accepted, just before DATA. False: somebody else sends it; RSET."""
        ...


class Mailer(Protocol):
    """An SMTP server that accepts our mail."""

    async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        """Send one mail over a reused connection. Never raises for anything that the server did or failed to do."""
        ...

    async def close(self) -> None: ...
