"""Mails that an IMAP server cannot read, in every way in which it may fail at them: on two servers."""

import asyncio
import imaplib
import re
from dataclasses import replace

import pytest

from mailflow.errors import Unavailable
from mailflow.mail.door import MailDoor
from mailflow.mail.imap import ImapCopies
from mailflow.mail.imap_halves import AGAIN_FIRST_SECONDS
from mailflow.mail.stages import Drained, Stages
from mailflow.mail.worker import receive
from mailflow.selftest.proxy import Break, Fault, FaultProxy, Rule, Side
from tests.servers.dovecot import Dovecot
from tests.support.doors import House
from tests.support.imap_failing import BODIES, HEADERS, MOVE, SIZES, WAYS, Clock, Failing, a_mailbox
from tests.support.judging import RECEIVED_AT, dem_part
from tests.support.judging import a_mail as a_request
from tests.support.mailbox_places import ImapServer, ServerPlace, a_mail, a_name, an_account, closing, read

SECONDS_MAX = 60
NEVER_SECONDS = 3600.0
ALONE = 4


@pytest.fixture(params=["dovecot", "cyrus"])
def place(request: pytest.FixtureRequest) -> ServerPlace:
    server: ImapServer = request.getfixturevalue(request.param)
    return ServerPlace(server, a_name("In"))


def elsewhere(place: ServerPlace) -> list[str]:
    """A folder that is not there, and one whose latest mail has a UID that none of `ALONE` mails has."""
    done = ServerPlace(place.server, a_name("Done"))
    done.put(*(a_mail(f"done{number}") for number in range(ALONE + 1)))
    return [a_name("Missing"), done.folder]


# Reading


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "command"), WAYS, ids=[f"{way} at {c[-6:].decode()}" for way, c in WAYS])
async def test_what_cannot_be_read_comes_last_until_it_can(place: ServerPlace, way: str, command: bytes) -> None:
    """Three among good ones, the oldest too. The second failure may be at once; from then on only now and then."""
    mails, clock = [a_mail(f"m{number}") for number in range(9)], Clock()
    place.put(*mails)
    failing = Failing(way, command, ())
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port, clock)) as mailbox,
    ):
        listing = await mailbox.list()
        uids = listing.uids
        bad, good = [uids[0], uids[3], uids[4]], [uids[n] for n in (1, 2, 5, 6, 7, 8)]
        failing.bad.update(bad)
        assert sorted(mail.uid for mail in await read(mailbox, listing)) == good
        assert (await mailbox.list()).uids == (*good, *bad)
        again = replace(listing, uids=tuple(bad))
        assert await read(mailbox, again) == []
        failing.bad.clear()
        assert await read(mailbox, again) == [], "twice is enough for now"
        clock.now += AGAIN_FIRST_SECONDS
        assert [mail.raw for mail in await read(mailbox, again)] == [mails[0], *mails[3:5]]
        assert (await mailbox.list()).uids == uids


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "command"), WAYS, ids=[f"{way} at {c[-6:].decode()}" for way, c in WAYS])
async def test_a_server_that_fails_at_every_mail_is_unavailable(place: ServerPlace, way: str, command: bytes) -> None:
    mails = [a_mail(f"m{number}") for number in range(20)]
    place.put(*mails)
    failing = Failing(way, command, ())
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        failing.bad.update(listing.uids)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await read(mailbox, listing)
        assert failing.commands < 3 * 10
        failing.bad.clear()
        assert sorted(mail.raw or b"" for mail in await read(mailbox, listing)) == sorted(mails), "none was to blame"


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "command"), WAYS, ids=[f"{way} at {c[-6:].decode()}" for way, c in WAYS])
async def test_mails_that_are_alone_in_the_mailbox_are_told_from_the_server_by_others_that_it_reads(
    place: ServerPlace, caplog: pytest.LogCaptureFixture, way: str, command: bytes
) -> None:
    """A process that has just begun has read none yet; where every other one is, the server still can read."""
    mails, clock = [a_mail(f"m{number}") for number in range(ALONE)], Clock()
    place.put(*mails)
    failing = Failing(way, command, range(1, 1000))
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port, clock, elsewhere=elsewhere(place))) as mailbox,
    ):
        listing = await mailbox.list()
        with pytest.raises(Unavailable):
            await read(mailbox, listing)
        assert "unreadable-in-mailbox" not in caplog.text, "the server fails at everything"
        failing.bad = set(listing.uids)
        assert await read(mailbox, listing) == []
        assert caplog.text.count("unreadable-in-mailbox") == len(mails)
        assert (await mailbox.list()).troubled == len(mails)
        failing.bad.clear()
        clock.now += AGAIN_FIRST_SECONDS
        assert [mail.raw for mail in await read(mailbox, listing)] == mails


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "command"), WAYS, ids=[f"{way} at {c[-6:].decode()}" for way, c in WAYS])
async def test_a_copy_that_cannot_be_read_is_not_taken_for_none(place: ServerPlace, way: str, command: bytes) -> None:
    """Else the answer would be sent once more."""
    place.put(a_mail("other"), a_mail("sent"))
    failing = Failing(way, command, ())
    async with FaultProxy(place.server.imap_port, at_line=failing) as proxy:
        copies = ImapCopies(an_account(port=proxy.port), place.folder)
        assert list(await copies.find("<sent@example.test>")) == [a_mail("sent")]
        failing.bad.update(range(1, 1000))
        with pytest.raises(Unavailable):
            await copies.find("<sent@example.test>")
        failing.bad.clear()
        assert len(await copies.find("<sent@example.test>")) == 1
        await copies.close()


async def test_a_mail_whose_file_cannot_be_read_keeps_no_other_one_waiting(
    dovecot: Dovecot, folder: ServerPlace
) -> None:
    mails = [a_mail(f"m{number}") for number in range(7)]
    folder.put(*mails)
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        third = dovecot.file_of("svc", folder.folder, 3)
        third.chmod(0)
        assert sorted(mail.uid for mail in await read(mailbox, listing)) == [uid for uid in listing.uids if uid != 3]
        assert (await mailbox.list()).uids == (*(uid for uid in listing.uids if uid != 3), 3)
        third.chmod(0o600)
        assert [mail.raw for mail in await read(mailbox, listing)] == [*mails[:2], *mails[3:], mails[2]]
        assert (await mailbox.list()).uids == listing.uids


async def test_a_server_whose_files_cannot_be_read_is_unavailable(dovecot: Dovecot, folder: ServerPlace) -> None:
    folder.put(*(a_mail(f"m{number}") for number in range(7)))
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        for uid in listing.uids:
            dovecot.file_of("svc", folder.folder, uid).chmod(0)
        with pytest.raises(Unavailable):
            await read(mailbox, listing)


async def test_mails_whose_files_cannot_be_read_are_left_where_they_are_when_those_elsewhere_can(
    dovecot: Dovecot, folder: ServerPlace
) -> None:
    folder.put(*(a_mail(f"m{number}") for number in range(7)))
    done = elsewhere(folder)
    async with closing(a_mailbox(folder, dovecot.imap_port, elsewhere=done)) as mailbox:
        listing = await mailbox.list()
        for uid in listing.uids:
            dovecot.file_of("svc", folder.folder, uid).chmod(0)
        assert await read(mailbox, listing) == []
        assert (await mailbox.list()).troubled == 7
    for uid in range(1, ALONE + 2):
        dovecot.file_of("svc", done[-1], uid).chmod(0)
    async with closing(a_mailbox(folder, dovecot.imap_port, elsewhere=done)) as mailbox:
        with pytest.raises(Unavailable):
            await read(mailbox, listing)


async def test_a_server_that_is_away_is_no_fault_of_a_mail(
    place: ServerPlace, caplog: pytest.LogCaptureFixture
) -> None:
    """It hangs up when the mail is asked for, and is not there any more when it is asked for again."""
    place.put(a_mail("one"))
    away = False

    def hangs_up(side: Side, line: bytes) -> Break | None:
        asks = side is Side.CLIENT and re.search(rb"LOGIN|FETCH", line)
        return Break(fault=Fault.RESET_BEFORE) if away and asks else None

    async with (
        FaultProxy(place.server.imap_port, at_line=hangs_up) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        away = True
        for _ in range(3):
            with pytest.raises(Unavailable):
                await read(mailbox, listing)
        away = False
        assert len(await read(mailbox, listing)) == 1
    assert "unreadable-in-mailbox" not in caplog.text


@pytest.mark.parametrize(
    ("way", "command"), [("left out", HEADERS), ("refused", HEADERS), ("no date", SIZES), ("an open list", SIZES)]
)
async def test_what_cannot_be_looked_at_is_told_and_put_off(
    place: ServerPlace, caplog: pytest.LogCaptureFixture, way: str, command: bytes
) -> None:
    """Else it would lie in the inbox for ever, and nobody would know."""
    place.put(*(a_mail(f"m{number}") for number in range(3)))
    failing, clock = Failing(way, command, ()), Clock()
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port, clock)) as mailbox,
    ):
        listing = await mailbox.list()
        bad, *good = listing.uids
        failing.bad.add(bad)
        for _ in range(3):
            assert [mail.uid for mail in await mailbox.look(listing, listing.uids)] == good
        assert ((await mailbox.list()).troubled, caplog.text.count("unreadable-in-mailbox")) == (1, 2)
        failing.bad.clear()
        clock.now += AGAIN_FIRST_SECONDS
        assert len(await mailbox.look(listing, listing.uids)) == 3
        place.take_away(1)
        assert [mail.uid for mail in await mailbox.look(listing, listing.uids)] == good
    assert caplog.text.count("unreadable-in-mailbox") == 2, "what somebody took away is no trouble"


# The worker


async def drain(door: MailDoor) -> Drained:
    async with asyncio.timeout(SECONDS_MAX):
        return await Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS).drain(asyncio.Event())


def requests(place: ServerPlace, count: int) -> list[bytes]:
    """So many request mails, received when the door's clock says so."""
    mails = [a_request(dem_part(number, surname="Nom" + chr(97 + number))) for number in range(count)]
    with place.server.session("svc") as client:
        for raw in mails:
            assert client.append(place.folder, "", imaplib.Time2Internaldate(RECEIVED_AT), raw)[0] == "OK"
    return mails


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "command"), WAYS, ids=[f"{way} at {c[-6:].decode()}" for way, c in WAYS])
async def test_a_batch_ends_though_mails_cannot_be_read(
    folder: ServerPlace, house: House, way: str, command: bytes
) -> None:
    requests(folder, 6)
    failing, clock = Failing(way, command, (1, 2, 4)), Clock()
    async with (
        FaultProxy(folder.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(folder, proxy.port, clock)) as mailbox,
    ):
        door = replace(house.door(), mailbox=mailbox, processed=a_name("Processed"))
        drained = await drain(door)
        assert (drained.progress.received, drained.progress.sent, drained.unavailable) == (3, 3, ())
        assert drained.waiting == 3, "they wait to be mended"
        assert not await receive(door), "no progress"
        failing.bad.clear()
        clock.now += AGAIN_FIRST_SECONDS
        drained = await drain(door)
    assert (drained.progress.received, drained.progress.sent, drained.unavailable) == (3, 3, ())
    assert folder.inbox() == []


@pytest.mark.parametrize("way", ["refused", "cut", "left out"])
async def test_a_batch_ends_though_the_only_mails_cannot_be_read(folder: ServerPlace, house: House, way: str) -> None:
    requests(folder, ALONE)
    failing = Failing(way, BODIES, range(1, ALONE + 1))
    async with (
        FaultProxy(folder.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(folder, proxy.port, elsewhere=elsewhere(folder))) as mailbox,
    ):
        drained = await drain(replace(house.door(), mailbox=mailbox, processed=a_name("Processed")))
    assert (drained.progress.received, drained.unavailable, drained.waiting) == (0, (), ALONE)
    assert len(folder.inbox()) == ALONE


@pytest.mark.parametrize("way", ["refused", "cut"])
async def test_a_batch_ends_though_a_mail_cannot_be_moved(folder: ServerPlace, house: House, way: str) -> None:
    mails, processed = requests(folder, 4), a_name("Processed")
    async with (
        FaultProxy(folder.server.imap_port, at_line=Failing(way, MOVE, {1})) as proxy,
        closing(a_mailbox(folder, proxy.port)) as mailbox,
    ):
        door = replace(house.door(), mailbox=mailbox, processed=processed)
        drained = await drain(door)
        assert (drained.progress.received, drained.progress.sent, drained.unavailable) == (4, 4, ())
        assert drained.waiting == 1, "it waits to be moved"
        assert not await receive(door), "no progress"
    assert folder.inbox() == mails[:1]
    assert sorted(folder.moved(processed, processed)) == sorted(mails[1:])


async def test_a_batch_during_which_the_connection_is_cut_at_the_move_leaves_nothing(
    folder: ServerPlace, house: House
) -> None:
    requests(folder, 1)
    cut = Rule(side=Side.CLIENT, fault=Fault.RESET_BEFORE, match=MOVE)
    async with (
        FaultProxy(folder.server.imap_port, cut) as proxy,
        closing(a_mailbox(folder, proxy.port)) as mailbox,
    ):
        drained = await drain(replace(house.door(), mailbox=mailbox, processed=a_name("Processed")))
    assert cut.fired
    assert (drained.progress.received, drained.progress.sent) == (1, 1)
    assert (drained.unavailable, drained.waiting) == ((), 0)
    assert folder.inbox() == []
