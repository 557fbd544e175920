"""The port `Folder` on two IMAP servers: mails by their headers alone, marks, and folders that are not there."""

from datetime import UTC, date, datetime

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import imap_folder, imap_syntax
from mailflow.mail.imap import ImapFolder
from mailflow.mail.ports import Listing
from tests.support.mailbox_places import ImapServer, ServerPlace, a_mail, a_name

NO_NAME = b"From: ann@example.test\r\n\r\nBonjour\r\n"
TWO_NAMES = b"Message-ID: <a@example.test>\r\nMessage-ID: <b@example.test>\r\n\r\nBonjour\r\n"
FOLDED = b"Message-ID:\r\n <folded@example.test>\r\nX-Other: Message-ID\r\n\r\nMessage-ID: <body@example.test>\r\n"


@pytest.fixture(params=["dovecot", "cyrus"])
def place(request: pytest.FixtureRequest) -> ServerPlace:
    server: ImapServer = request.getfixturevalue(request.param)
    return ServerPlace(server, a_name("Stock"))


async def test_a_folder_is_looked_through_by_headers(place: ServerPlace) -> None:
    mails = [a_mail("one"), NO_NAME, TWO_NAMES, FOLDED, *(a_mail(f"many-{n}") for n in range(20))]
    place.put(*mails)
    folder = ImapFolder(place.account, place.folder, read_only=False)
    listing = await folder.list()
    seen = await folder.look(listing, [*listing.uids, 9_999])
    assert [one.message_id for one in seen][:5] == [
        *("<one@example.test>", "", "", "<folded@example.test>", "<many-0@example.test>"),
    ]
    assert [(one.uid, one.size_bytes) for one in seen] == list(zip(listing.uids, map(len, mails), strict=True))
    async for mail in folder.fetch(listing, listing.uids[:1]):
        assert (mail.raw, mail.received_at) == (mails[0], seen[0].received_at)

    place.flag(2, r"\Deleted")
    assert (await folder.list(marked=True)).uids == listing.uids[1:2]
    assert (await folder.list()).uids == listing.uids, "what is marked is there, too"
    await folder.unmark(listing, listing.uids)
    assert (await folder.list(marked=True)).uids == ()
    assert b"Seen" not in b"".join(place.flags())

    target = a_name("Target")
    await folder.move(listing, await folder.look(listing, listing.uids[:2]), target)
    assert place.moved(target, target) == mails[:2]
    there = ImapFolder(place.account, target, read_only=True)
    moved = await there.look(await there.list(), (await there.list()).uids)
    assert [(one.message_id, one.received_at) for one in moved] == [
        (one.message_id, one.received_at) for one in seen[:2]
    ]
    with pytest.raises(Unavailable):
        await folder.move(Listing(uidvalidity=listing.uidvalidity + 1, uids=()), seen[2:], target)
    await folder.close()
    await there.close()


async def test_from_a_day_on_all_is_listed_that_came_there_since_whatever_its_own_day(place: ServerPlace) -> None:
    """A mail that is moved keeps the day on which it was received."""
    for name, day in (("old", 1), ("first", 20), ("moved", 2), ("last", 21)):
        place.put(a_mail(name), received_at=datetime(2026, 11, day, 12, tzinfo=UTC))
    folder = ImapFolder(place.account, place.folder, read_only=True)
    everything = (await folder.list()).uids
    assert (await folder.list(since=date(2026, 11, 10))).uids == everything[1:]
    assert (await folder.list(since=date(2026, 11, 21))).uids == everything[3:]
    assert (await folder.list(since=date(2026, 11, 30))).uids == ()
    await folder.close()


async def test_a_folder_that_is_not_there_is_empty(place: ServerPlace) -> None:
    folder = ImapFolder(place.account, a_name("Nowhere"), read_only=True)
    assert (await folder.list()).uids == ()
    assert (await folder.list(marked=True)).uids == ()
    await folder.close()


async def test_a_folder_that_is_made_while_it_is_looked_for_is_read(
    place: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two workers that begin together one makes it just after the other was told that there is none."""
    absent = ImapFolder(place.account, a_name("Made"), read_only=False)
    maker = imap_folder.OpenFolder(place.account, place.folder, read_only=False)
    exists = imap_folder.OpenFolder.exists

    async def made_meanwhile(folder: imap_folder.OpenFolder) -> bool:
        async with maker.session() as session:
            await session.run("CREATE", imap_syntax.mailbox_name(folder.name))
        return await exists(folder)

    place.put(a_mail("one"))
    monkeypatch.setattr(imap_folder.OpenFolder, "exists", made_meanwhile)
    listing = await absent.list()
    assert (listing.uids, listing.uidvalidity > 0) == ((), True)
    await absent.close()
    await maker.close()
