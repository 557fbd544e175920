"""A server that was put back to an older state gives UIDs again, under the UIDVALIDITY that it had: nothing is lost."""

import imaplib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow.errors import Unavailable
from mailflow.ledger.differences import Kind
from mailflow.ledger.reading import Places, Reading, Terms
from mailflow.ledger.reckoning import Place, Status
from mailflow.mail import worker
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.model import Lying
from mailflow.mail.ports import Listing
from tests.servers.dovecot import Dovecot
from tests.support.batches import drain, letter
from tests.support.doors import House
from tests.support.fake_folder import FakeFolder
from tests.support.fakes import FakeMailbox
from tests.support.judging import RECEIVED_AT
from tests.support.mailbox_places import ServerPlace, a_name, closing
from tests.support.records import rows

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
        told = [vars(one)["pairs"] for one in caplog.records if one.message == "uid-of-another-mail"]
        assert [one["uid"] for one in told] == ["1", "2"]
        assert not house.mailbox.inbox
    assert len(house.mailbox.messages(house.door().processed)) == 6


async def test_a_mail_of_the_same_second_is_answered_as_any_other(house: House) -> None:
    """The clock of the server was put back, too, and it gives the same UIDs at the same time."""
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    await worker.receive(house.door())
    house.mailbox.go_back()
    house.mailbox.deliver(later := another(1))
    assert (await drain(house.door())).progress.sent == 2
    assert house.mailbox.messages(house.door().processed) == [later]


async def test_a_mail_without_a_name_of_its_own_is_told_by_its_octets(house: House) -> None:
    unnamed = [letter(number).replace(b"Message-ID: <1@mairie.example>\r\n", b"") for number in range(2)]
    house.mailbox.deliver(unnamed[0])
    for progress in (1, 0):
        house.troubles += ["move"]
        if progress:
            await worker.receive(house.door())
        else:
            with pytest.raises(Unavailable):
                await worker.receive(house.door())
    house.mailbox.go_back()
    house.mailbox.deliver(unnamed[1])
    assert (await drain(house.door())).progress.sent == 2
    assert house.mailbox.messages(house.door().processed) == [unnamed[1]]


async def test_a_mail_without_a_name_that_reads_otherwise_at_each_poll_is_another_one_once(house: House) -> None:
    """Some servers render a mail anew each time. What cannot be moved meanwhile is not answered again and again."""
    unnamed = letter(0).replace(b"Message-ID: <1@mairie.example>\r\n", b"")
    uid = house.mailbox.deliver(unnamed)
    for poll in range(4):
        house.mailbox.inbox[uid] = replace(house.mailbox.inbox[uid], raw=b"X-Poll: %d\r\n" % poll + unnamed)
        house.troubles += ["move"]
        with suppress(Unavailable):
            await worker.receive(house.door())
    assert len(await rows(house.register, "SELECT id FROM intake")) == 2


def another(number: int) -> bytes:
    """A letter with a Message-ID of its own."""
    return letter(number).replace(b"<1@mairie.example>", f"<another{number}@mairie.example>".encode())


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


class Overtaken(ImapMailbox):
    """Something happens between reading and moving, once."""

    happens: Callable[[], object] | None = None

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        happens, self.happens = self.happens, None
        if happens:
            happens()
        await super().move(listing, mails, folder)


async def test_mails_that_have_the_uids_of_those_just_read_are_not_put_away_in_their_place(
    dovecot: Dovecot, house: House
) -> None:
    """The server was put back while they were committed, and the move goes over a fresh connection."""
    place, processed = ServerPlace(dovecot, a_name("In")), a_name("Processed")
    mailbox = Overtaken(place.account, place.folder)
    async with closing(mailbox):
        door = replace(house.door(), mailbox=mailbox, processed=processed)
        with ExitStack() as older:
            older.enter_context(put_back(dovecot, dovecot.mails / "svc" / dovecot.driver / place.folder))
            put(place, 0, 1)
            later: list[bytes] = []

            def goes_back() -> None:
                older.close()
                later.extend(put(place, 2, 3))

            mailbox.happens = goes_back
            assert (await worker.receive(door)).received == 2
        assert place.inbox() == later, "none was read yet"
        drained = await drain(door)
    assert (drained.progress.received, drained.progress.sent, drained.waiting) == (2, 4, 0)
    assert place.inbox() == []
    assert place.moved(processed, processed) == later


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


def reconciliation(house: House) -> Reading:
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
    return Reading(register=house.register, places=places, terms=terms, at=house.now)


@pytest.mark.parametrize("seconds", [0, 60])
async def test_a_reconciliation_does_not_take_them_for_mails_that_were_left_there(house: House, seconds: int) -> None:
    """It would move them away, unread; also those of the same second."""
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    await worker.receive(house.door())
    assert (await reconciliation(house).sheet()).found[Kind.LEFT] == 1
    house.mailbox.go_back()
    house.mailbox.clock = lambda: RECEIVED_AT + timedelta(seconds=seconds)
    assert house.mailbox.deliver(another(1)) == 1
    sheet = await reconciliation(house).sheet()
    assert Kind.LEFT not in sheet.found
    assert sheet.mails[Place.INBOX, Status.WAITING] == 1


async def test_a_reconciliation_knows_one_of_them_that_was_left_there(house: House) -> None:
    house.mailbox.deliver(letter(0))
    await drain(house.door())
    house.mailbox.go_back()
    house.mailbox.deliver(another(1))
    house.troubles += ["move"]
    assert (await worker.receive(house.door())).received == 1
    (left,) = (await reconciliation(house).sheet()).told
    (last,) = await rows(house.register, "SELECT max(id) AS id FROM intake")
    assert (left.kind, left.intake) == (Kind.LEFT, last.id)


async def test_a_reconciliation_knows_a_mail_that_was_left_there_and_has_lost_its_date(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    await worker.receive(house.door())
    house.mailbox.inbox[1] = replace(house.mailbox.inbox[1], received_at=RECEIVED_AT + timedelta(hours=1))
    assert [one.kind for one in (await reconciliation(house).sheet()).told] == [Kind.LEFT]
