"""Mails that an IMAP server cannot move, on two servers: the others are moved, none twice."""

import re
from dataclasses import replace

import pytest

from mailflow.errors import Unavailable
from mailflow.mail.imap import ImapFolder, ImapMailbox
from mailflow.mail.imap_halves import AGAIN_FIRST_SECONDS
from mailflow.selftest.proxy import Break, Fault, FaultProxy, Rule, Side
from tests.support.imap_failing import MOVE, Clock, Failing, a_mailbox
from tests.support.mailbox_places import ImapServer, ServerPlace, a_mail, a_name, an_account, closing, read


@pytest.fixture(params=["dovecot", "cyrus"])
def place(request: pytest.FixtureRequest) -> ServerPlace:
    server: ImapServer = request.getfixturevalue(request.param)
    return ServerPlace(server, a_name("In"))


async def test_what_can_be_read_and_cannot_be_moved_is_put_off_all_the_same(place: ServerPlace) -> None:
    """A mail that is not surely the one on record is read at each poll before it is moved."""
    place.put(a_mail("good"), a_mail("bad"))
    failing, clock, done = Failing("refused", MOVE, ()), Clock(), a_name("Done")
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port, clock)) as mailbox,
    ):
        listing = await mailbox.list()
        bad = listing.uids[1]
        failing.bad.add(bad)
        read_at = []
        for poll in range(6):
            clock.now += AGAIN_FIRST_SECONDS / 4
            seen = await mailbox.look(listing, listing.uids)
            read_at += [poll for mail in await read(mailbox, listing) if mail.uid == bad]
            await mailbox.move(listing, seen, done)
        assert read_at == [0, 1, 5]


@pytest.mark.parametrize("way", ["refused", "cut"])
async def test_what_cannot_be_moved_keeps_no_other_one_from_it(place: ServerPlace, way: str) -> None:
    mails, clock, done = [a_mail(f"m{number}") for number in range(9)], Clock(), a_name("Done")
    place.put(*mails)
    failing = Failing(way, MOVE, ())
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port, clock)) as mailbox,
    ):
        listing = await mailbox.list()
        bad = [listing.uids[n] for n in (0, 3, 4)]
        failing.bad.update(bad)
        for _ in range(3):
            await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
            assert (await mailbox.list()).uids == tuple(bad)
        assert sorted(place.moved(done, done)) == sorted([*mails[1:3], *mails[5:]])
        failing.bad.clear()
        clock.now += AGAIN_FIRST_SECONDS
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
        assert (await mailbox.list()).uids == ()
    assert sorted(place.moved(done, done)) == sorted(mails)


async def test_a_server_that_moves_nothing_is_unavailable(place: ServerPlace) -> None:
    place.put(*(a_mail(f"m{number}") for number in range(9)))
    failing, done = Failing("refused", MOVE, range(1, 1000)), a_name("Done")
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        with pytest.raises(Unavailable):
            await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
        failing.bad.clear()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
        assert (await mailbox.list()).uids == ()


async def test_a_mail_that_is_not_the_same_any_more_vouches_for_no_server(place: ServerPlace) -> None:
    """It is not asked to be moved, so it says nothing of a server that moves nothing: nobody is blamed for that."""
    place.put(*(a_mail(f"m{number}") for number in range(9)))
    failing, done = Failing("cut", MOVE, range(1, 1000)), a_name("Done")
    async with (
        FaultProxy(place.server.imap_port, at_line=failing) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        other, *mails = await mailbox.look(listing, listing.uids)
        await mailbox.close()
        for _ in range(3):
            with pytest.raises(Unavailable, match="fails at every mail"):
                await mailbox.move(listing, [replace(other, size_bytes=1), *mails], done)
        failing.bad.clear()
        listing = await mailbox.list()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
        assert (await mailbox.list()).uids == ()


async def test_a_move_that_is_not_answered_keeps_no_other_mail_from_being_read(place: ServerPlace) -> None:
    """The folder of what was taken in hangs, say, and reading works: what is asked for again and again comes last."""
    mails, done = [a_mail(f"m{number}") for number in range(9)], a_name("Done")
    place.put(*mails)
    hanging = Rule(side=Side.CLIENT, fault=Fault.STALL, match=MOVE)
    async with FaultProxy(place.server.imap_port, hanging) as proxy:
        account = an_account(port=proxy.port, timeout_seconds=1)
        async with closing(ImapMailbox(account, place.folder)) as mailbox:
            listing = await mailbox.list()
            first, others = listing.uids[:4], listing.uids[4:]
            with pytest.raises(Unavailable):
                await mailbox.move(listing, await mailbox.look(listing, first), done)
            assert (await mailbox.list()).uids == (*others, *first)
            listing = await mailbox.list()
            await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
            assert (await mailbox.list()).uids == ()
    assert hanging.fired == 1
    assert sorted(place.moved(done, done)) == sorted(mails)


async def test_who_moves_mails_of_a_folder_hears_of_one_that_stays(place: ServerPlace) -> None:
    place.put(*(a_mail(f"m{number}") for number in range(4)))
    failing, done = Failing("refused", MOVE, ()), a_name("Done")
    async with FaultProxy(place.server.imap_port, at_line=failing) as proxy:
        folder = ImapFolder(an_account(port=proxy.port), place.folder, read_only=False)
        listing = await folder.list()
        failing.bad.add(listing.uids[1])
        with pytest.raises(Unavailable):
            await folder.move(listing, await folder.look(listing, listing.uids), done)
        assert (await folder.list()).uids == listing.uids[1:2]
        await folder.close()


async def test_a_move_whose_connection_is_cut_once_is_made_over_a_fresh_one(place: ServerPlace) -> None:
    place.put(a_mail("one"))
    cut, done = Rule(side=Side.CLIENT, fault=Fault.RESET_BEFORE, match=MOVE), a_name("Done")
    async with (
        FaultProxy(place.server.imap_port, cut) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
        assert (await mailbox.list()).uids == ()
    assert cut.fired
    assert place.moved(done, done) == [a_mail("one")]


async def test_mails_that_a_server_has_copied_and_cannot_remove_are_copied_once(place: ServerPlace) -> None:
    """Without MOVE. To do it by halves would copy each of them again and again."""
    mails, done = [a_mail(f"m{number}") for number in range(8)], a_name("Done")
    place.put(*mails)
    copying = Failing("refused", rb"UID COPY (\S+) ", ())

    def without_move(side: Side, line: bytes) -> Break | None:
        if side is Side.SERVER and b"CAPABILITY" in line:
            return Break(fault=Fault.REPLACE, replacement=re.sub(rb" MOVE\b", b"", line))
        if side is Side.CLIENT and b"UID STORE" in line:
            return Break(fault=Fault.REPLACE, replacement=line.split()[0] + b" NONSENSE\r\n")
        return copying(side, line)

    async with (
        FaultProxy(place.server.imap_port, at_line=without_move) as proxy,
        closing(a_mailbox(place, proxy.port)) as mailbox,
    ):
        listing = await mailbox.list()
        with pytest.raises(Unavailable):
            await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
    assert copying.commands == 2, "the first made the folder"
    assert sorted(place.moved(done, done)) == sorted(mails)
