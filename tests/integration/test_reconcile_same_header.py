"""Different mails with one Message-ID, received in the same second: desks have software that makes IDs of seconds.

None is taken for another one by the reconciliation: a mail that was never read is told as such.
"""

from collections.abc import AsyncIterator, Sequence
from itertools import permutations

import pytest

from mailflow.ledger.differences import Difference, Kind
from mailflow.ledger.reading import Sheet
from mailflow.mail import worker
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing
from tests.support.fake_folder import FakeFolder
from tests.support.records import rows
from tests.support.restored import FakeTrail, Loser, a_letter
from tests.support.sheets import mend, read_sheet

ONE, OTHER = a_letter(1, name="seconds"), a_letter(2, name="seconds")
LARGE = ONE + b"\r\n" + b"x" * (1 << 20)


async def take_in(loser: Loser, *mails: bytes) -> None:
    for raw in mails:
        loser.house.mailbox.deliver(raw)
    await loser.work()


def lay(loser: Loser, folder: str, *mails: bytes) -> None:
    """By hand, before the service sees them."""
    mailbox = loser.house.mailbox
    mailbox.folders[folder] = [mailbox.inbox.pop(mailbox.deliver(raw)) for raw in mails]


def mail_of(loser: Loser, one: Difference) -> bytes:
    assert one.mail is not None
    return loser.house.mailbox.messages(one.folder)[one.mail.uid - 1]


def kinds(sheet: Sheet) -> list[Kind]:
    return sorted(one.kind for one in sheet.told)


async def test_one_that_was_put_away_unread_is_unknown_whichever_is_met_first(loser: Loser) -> None:
    await take_in(loser, ONE)
    for lie in permutations([ONE, OTHER]):
        lay(loser, "Processed", *lie)
        (told,) = (await read_sheet(loser)).told
        assert (told.kind, mail_of(loser, told)) == (Kind.UNKNOWN, OTHER)
    for lie in permutations([ONE, ONE, OTHER]):
        lay(loser, "Processed", *lie)
        by_kind = {one.kind: mail_of(loser, one) for one in (await read_sheet(loser)).told}
        assert by_kind == {Kind.UNKNOWN: OTHER, Kind.TWICE: ONE}


async def test_it_is_taken_in_and_then_each_is_known(loser: Loser) -> None:
    await take_in(loser, ONE)
    lay(loser, "Quarantine", OTHER)
    sheet = await read_sheet(loser)
    assert kinds(sheet) == [Kind.UNKNOWN]
    assert (await mend(loser, sheet, {Kind.UNKNOWN}))[Kind.UNKNOWN] == 1
    states = await rows(loser.house.register, "SELECT state FROM intake ORDER BY id")
    assert [row.state for row in states] == ["answered", "held"]
    (told,) = (await read_sheet(loser)).told
    assert (told.kind, mail_of(loser, told)) == (Kind.MISPLACED, OTHER)
    lay(loser, "Quarantine")
    lay(loser, "Processed", OTHER, ONE)
    assert not (await read_sheet(loser)).told


@pytest.mark.parametrize("came", [(ONE, LARGE), (LARGE, ONE)])
async def test_of_which_one_was_too_large_each_belongs_into_its_folder(loser: Loser, came: Sequence[bytes]) -> None:
    await take_in(loser, *came)
    assert loser.house.mailbox.messages("Quarantine") == [LARGE]
    assert not (await read_sheet(loser)).told
    lay(loser, "Quarantine", ONE)
    lay(loser, "Processed", LARGE)
    assert kinds(await read_sheet(loser)) == [Kind.MISPLACED] * 2
    lay(loser, "Quarantine", LARGE)
    lay(loser, "Processed", ONE, OTHER)
    assert kinds(await read_sheet(loser)) == [Kind.UNKNOWN]


async def test_too_large_ones_are_told_apart_by_their_size(loser: Loser) -> None:
    await take_in(loser, LARGE)
    for lie in permutations([LARGE, LARGE + b"x"]):
        lay(loser, "Quarantine", *lie)
        (told,) = (await read_sheet(loser)).told
        assert (told.kind, mail_of(loser, told)) == (Kind.UNKNOWN, LARGE + b"x")
    lay(loser, "Quarantine", LARGE, LARGE)
    assert kinds(await read_sheet(loser)) == [Kind.TWICE]


async def test_one_that_waits_in_the_inbox_is_no_copy(loser: Loser, monkeypatch: pytest.MonkeyPatch) -> None:
    await take_in(loser, ONE)
    uid = loser.house.mailbox.deliver(OTHER)
    loser.house.mailbox.deliver(a_letter(3))
    assert not (await read_sheet(loser)).found[Kind.TWICE]
    unmarked = FakeFolder.list

    async def listed(folder: FakeFolder, *, marked: bool = False) -> Listing:
        listing = await unmarked(folder)
        return Listing(uidvalidity=1, uids=(uid,) if folder.name == "INBOX" else ()) if marked else listing

    monkeypatch.setattr(FakeFolder, "list", listed)
    (told,) = [one for one in (await read_sheet(loser)).told if one.kind is not Kind.WAITS]
    assert (told.kind, told.mail and told.mail.uid) == (Kind.MARKED, uid), "nobody takes it in but who is told of it"


async def test_the_same_delivery_seen_again_stands_for_no_other_mail(loser: Loser) -> None:
    """After a change of UIDVALIDITY there are two rows of it."""
    house = loser.house
    house.mailbox.deliver(ONE)
    house.troubles += ["move"]
    await worker.receive(loser.door())
    house.mailbox.renumber()
    await loser.work()
    assert len(await rows(house.register, "SELECT id FROM intake WHERE state = 'same_delivery'")) == 1
    assert not (await read_sheet(loser)).told
    for lie in permutations([ONE, OTHER]):
        lay(loser, "Processed", *lie)
        (told,) = (await read_sheet(loser)).told
        assert (told.kind, mail_of(loser, told)) == (Kind.UNKNOWN, OTHER)


async def test_mails_that_their_headers_tell_are_not_read(loser: Loser, monkeypatch: pytest.MonkeyPatch) -> None:
    await take_in(loser, ONE, ONE, a_letter(3), LARGE.replace(b"<seconds@", b"<large@"))
    read: list[int] = []

    async def fetch(_: object, __: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        read.extend(uids)
        return
        yield

    for folder in (FakeFolder, FakeTrail):
        monkeypatch.setattr(folder, "fetch", fetch)
    assert not (await read_sheet(loser)).told
    assert read == []
