"""The servers behind the ports, with each use of them measured."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import BeforeData, Copies, Listing, Mailbox, Mailer, Outgoing, SendResult
from mailflow.meter import Meter


@dataclass(frozen=True, slots=True)
class MeteredMailbox:
    """The port `Mailbox`. IDLE is not measured: it lasts as long as nothing happens."""

    mailbox: Mailbox
    meter: Meter
    clock: Callable[[], datetime]

    async def list(self) -> Listing:
        at = self.clock()
        with self.meter.call("imap", "list"):
            listing = await self.mailbox.list()
        self.meter.level("mailbox_mails", len(listing.uids))
        if not listing.uids:
            self.meter.level("mailbox_emptied_at", at.timestamp())
        return listing

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        """One call for each mail, so that what is done with it meanwhile does not count."""
        mails = self.mailbox.fetch(listing, uids)
        while True:
            with self.meter.call("imap", "fetch"):
                mail = await anext(mails, None)
            if mail is None:
                return
            yield mail

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        with self.meter.call("imap", "look"):
            return await self.mailbox.look(listing, uids)

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        with self.meter.call("imap", "move"):
            await self.mailbox.move(listing, mails, folder)

    async def wait(self, seconds: float) -> bool:
        return await self.mailbox.wait(seconds)

    async def close(self) -> None:
        await self.mailbox.close()


@dataclass(frozen=True, slots=True)
class MeteredCopies:
    """The port `Copies`."""

    copies: Copies
    meter: Meter

    async def find(self, message_id: str) -> Sequence[bytes]:
        with self.meter.call("imap", "find-copy"):
            return await self.copies.find(message_id)

    async def close(self) -> None:
        await self.copies.close()


@dataclass(frozen=True, slots=True)
class MeteredMailer:
    """The port `Mailer`."""

    mailer: Mailer
    meter: Meter

    async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        with self.meter.call("smtp", "send") as ending:
            result = await self.mailer.send(outgoing, before_data)
            ending.outcome = result.state.value
        return result

    async def close(self) -> None:
        await self.mailer.close()
