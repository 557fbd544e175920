"""The account sheet of a house, read and mended as `mailflow reconcile` does it."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta

from mailflow.ledger.differences import Kind
from mailflow.ledger.mending import Mending
from mailflow.ledger.reading import Places, Reading, Sheet, Terms
from mailflow.ledger.reckoning import Place
from mailflow.mail.ports import Folder
from tests.support.fake_folder import FakeFolder
from tests.support.operating import ACT
from tests.support.restored import Loser

TERMS = Terms(
    account="service",
    domain="service.example",
    settled=timedelta(0),
    keeps=timedelta(days=90),
    copy_takes=timedelta(hours=2),
    octets=False,
)


def places(loser: Loser) -> Places:
    processed, audit = loser.trails
    inbox, quarantine = (FakeFolder(loser.house.mailbox, name) for name in ("INBOX", "Quarantine"))
    mailbox: dict[Place, Folder] = {
        Place.INBOX: inbox,
        Place.QUARANTINE: quarantine,
        Place.PROCESSED: processed,
    }
    return Places(mailbox=mailbox, audit=audit, copies=loser.house.door().copies)


async def read_sheet(loser: Loser) -> Sheet:
    return await Reading(register=loser.house.register, places=places(loser), terms=TERMS, at=loser.house.now).sheet()


async def mend(loser: Loser, sheet: Sheet, kinds: Collection[Kind]) -> Counter[Kind]:
    house = loser.house
    mending = Mending(register=house.register, places=places(loser), account="service", act=ACT, at=house.now)
    return await mending.mend(sheet, kinds)
