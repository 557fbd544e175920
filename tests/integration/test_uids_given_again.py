"""A server that was put back to an older state gives UIDs again, under the UIDVALIDITY that it had: nothing is lost."""

import imaplib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow.ledger.differences import Kind
from mailflow.ledger.reading import Places, Reading, Terms
from mailflow.ledger.reckoning import Place, Status
from mailflow.mail import worker
from tests.servers.dovecot import Dovecot
from tests.support.batches import drain, letter
from tests.support.doors import House
from tests.support.fake_folder import FakeFolder
from tests.support.fakes import FakeMailbox
from tests.support.judging import RECEIVED_AT
from tests.support.mailbox_places import ServerPlace, a_name, closing

NAMES = {Place.INBOX: "INBOX", Place.PROCESSED: "Processed", Place.QUARANTINE: "Quarantine"}


async def test_mails_under_uids_that_a_server_gives_again_are_answered_as_any_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It was put back to an older state, and kept its UIDVALIDITY."""
    for number in range(2):
        house.mailbox.deliver(letter(number))
    assert (await drain(house.door())).progress.sent == 2
    for first in (2, 4):
        house.mailbox.go_back()
        house.now += timedelta(minutes=5)
        house.mailbox.clock = lambda: house.now
        uids = [house.mailbox.deliver(letter(number)) for number in range(first, first + 2)]
        house.troubles += ["move", "look"]  # they are seen again, and are the same
        caplog.clear()
        drained = await drain(house.door())
        assert (uids, drained.progress.sent, drained.unavailable) == ([1, 2], 2, ())
        assert caplog.messages.count("uid-of-another-mail") == 1
        assert not house.mailbox.inbox
    assert len(house.mailbox.messages(house.door().processed)) == 6


async def test_mails_of_a_server_that_was_put_back_to_an_older_state_are_answered(
    dovecot: Dovecot, house: House
) -> None:
    """It gives their UIDs to others, under the same UIDVALIDITY."""
    place, processed = ServerPlace(dovecot, a_name("In")), a_name("Processed")
    with put_back(dovecot, dovecot.mails / "svc" / dovecot.driver / place.folder):
        put(place, 0, 1)
        async with closing(place.mailbox()) as mailbox:
            before = await mailbox.list()
            assert (await drain(replace(house.door(), mailbox=mailbox, processed=processed))).progress.sent == 2
    later = put(place, 2, 3)
    async with closing(place.mailbox()) as mailbox:
        assert await mailbox.list() == before
        drained = await drain(replace(house.door(), mailbox=mailbox, processed=processed))
    assert (drained.progress.received, drained.progress.sent, drained.waiting) == (2, 2, 0)
    assert place.inbox() == []
    assert {*later} < {*place.moved(processed, processed)}


@contextmanager
def put_back(dovecot: Dovecot, folder: Path) -> Iterator[None]:
    """Whatever the block does to a folder is undone, as when an older state of the disk is restored."""
    older = folder.with_name(f"older-{folder.name}")
    subprocess.run(["cp", "-a", folder, older], check=True)
    yield
    shutil.rmtree(folder)
    older.rename(folder)
    dovecot.restart()


def put(place: ServerPlace, *numbers: int) -> list[bytes]:
    """These letters, each received at a second of its own."""
    mails = {number: letter(number) for number in numbers}
    with place.server.session("svc") as client:
        for number, raw in mails.items():
            received = imaplib.Time2Internaldate(RECEIVED_AT - timedelta(seconds=number))
            assert client.append(place.folder, "", received, raw)[0] == "OK"
    return [*mails.values()]


async def test_a_reconciliation_does_not_take_them_for_mails_that_were_left_there(house: House) -> None:
    """It would move them away, unread."""
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    await worker.receive(house.door())
    terms = Terms(
        account=house.door().account,
        domain="service.example",
        settled=timedelta(0),
        keeps=timedelta(days=90),
        copy_takes=timedelta(0),
        octets=False,
    )
    places = Places(
        mailbox={place: FakeFolder(house.mailbox, name) for place, name in NAMES.items()},
        audit=FakeFolder(FakeMailbox(clock=lambda: house.now, size_bytes_max=1 << 20), "INBOX"),
        copies=house.mailbox,
    )
    reading = Reading(register=house.register, places=places, terms=terms, at=house.now)
    assert (await reading.sheet()).found[Kind.LEFT] == 1
    house.mailbox.remove(1)
    house.mailbox.go_back()
    house.mailbox.clock = lambda: house.now
    assert house.mailbox.deliver(letter(1)) == 1
    sheet = await reading.sheet()
    assert Kind.LEFT not in sheet.found
    assert sheet.mails[Place.INBOX, Status.WAITING] == 1
