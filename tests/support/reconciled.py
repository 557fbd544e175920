"""`mailflow reconcile` over a service that loses its register (`restored`)."""

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


def places_of(loser: Loser) -> Places:
    processed, audit = loser.trails
    inbox, quarantine = (FakeFolder(loser.house.mailbox, name) for name in ("INBOX", "Quarantine"))
    mailbox: dict[Place, Folder] = {
        Place.INBOX: inbox,
        Place.QUARANTINE: quarantine,
        Place.PROCESSED: processed,
    }
    return Places(mailbox=mailbox, audit=audit, copies=loser.house.door().copies)


async def sheet_of(loser: Loser) -> Sheet:
    house = loser.house
    return await Reading(register=house.register, places=places_of(loser), terms=TERMS, at=house.now).sheet()


async def mended(loser: Loser, sheet: Sheet, *kinds: Kind) -> int:
    """How many of these kinds."""
    house = loser.house
    mending = Mending(register=house.register, places=places_of(loser), account="service", act=ACT, at=house.now)
    return sum((await mending.mend(sheet, set(kinds))).values())
