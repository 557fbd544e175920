"""The contract of the port `Mailbox`, against Dovecot, Cyrus and the fake; then what only a real server can do."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailflow.errors import Unavailable
from mailflow.mail.imap import ImapCopies, ImapMailbox
from mailflow.selftest.proxy import Break, Fault, FaultProxy, Rule, Side
from tests.servers.dovecot import Dovecot
from tests.support.available import require
from tests.support.mailbox_places import (
    SIZE_BYTES_MAX,
    Place,
    ServerPlace,
    a_mail,
    a_name,
    an_account,
    closing,
    read,
)

# The contract


async def test_an_empty_inbox_lists_nothing(place: Place) -> None:
    async with closing(place.mailbox()) as mailbox:
        assert (await mailbox.list()).uids == ()


async def test_mails_come_as_they_were_put_there(place: Place) -> None:
    mails = [a_mail(f"m{n}", b"x" * n + b"\r\n.\r\n)\r\nA1 OK no\r\n* 1 EXISTS\r\n{5}\r\n") for n in range(8)]
    place.put(*mails)
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        fetched = await read(mailbox, listing)
    assert list(listing.uids) == sorted(listing.uids)
    assert [mail.raw for mail in fetched] == mails
    assert [mail.size_bytes for mail in fetched] == [len(raw) for raw in mails]
    assert [(mail.uid, mail.uidvalidity) for mail in fetched] == [(uid, listing.uidvalidity) for uid in listing.uids]


async def test_the_time_of_reception_is_an_instant_in_utc(place: Place) -> None:
    place.put(a_mail("now"))
    async with closing(place.mailbox()) as mailbox:
        (mail,) = await read(mailbox, await mailbox.list())
    assert mail.received_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - mail.received_at) < timedelta(minutes=5)


async def test_a_large_body_keeps_every_octet(place: Place) -> None:
    raw = a_mail("large", bytes(range(32, 127)) * 3200 + b"\r\n\r\n \r\n" + b"\xc3\xa9\r\n" * 100)
    place.put(raw)
    async with closing(place.mailbox()) as mailbox:
        (mail,) = await read(mailbox, await mailbox.list())
    assert mail.raw == raw


async def test_a_mail_over_the_limit_comes_without_its_octets(place: Place) -> None:
    small, exact = a_mail("small"), a_mail("exact")
    exact += b"y" * (SIZE_BYTES_MAX - len(exact) - 2) + b"\r\n"
    large = exact[:-2] + b"y\r\n"
    place.put(small, large, exact)
    async with closing(place.mailbox()) as mailbox:
        fetched = await read(mailbox, await mailbox.list())
    assert [mail.raw for mail in fetched] == [small, None, exact]
    assert fetched[1].size_bytes == len(large)


async def test_a_mail_that_arrives_later_is_seen_by_the_next_list(place: Place) -> None:
    async with closing(place.mailbox()) as mailbox:
        before = await mailbox.list()
        place.put(a_mail("later"))
        after = await mailbox.list()
    assert before.uids == ()
    assert len(after.uids) == 1
    assert after.uidvalidity == before.uidvalidity


async def test_moved_mails_lie_in_the_new_folder_only(place: Place) -> None:
    mails = [a_mail(f"m{n}") for n in range(5)]
    place.put(*mails)
    name = a_name("Done")
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids[1:4]), name)
        await mailbox.move(listing, [], name)
        left = await mailbox.list()
    assert left.uids == (listing.uids[0], listing.uids[4])
    assert sorted(place.moved(name, name)) == sorted(mails[1:4])
    assert place.inbox() == [mails[0], mails[4]]


@pytest.mark.parametrize(
    ("name", "in_utf7"), [("Traités", "Trait&AOk-s"), ("R&D et l'eau", "R&-D et l'eau"), ("申請", "&dTOKyw-")]
)
async def test_folders_may_have_any_name(place: Place, name: str, in_utf7: str) -> None:
    raw = a_mail(a_name("to-"))
    place.put(raw)
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), name)
    assert raw in place.moved(in_utf7, name)


async def test_what_another_client_took_away_is_left_out(place: Place) -> None:
    mails = [a_mail(f"m{n}") for n in range(5)]
    place.put(*mails)
    name = a_name("Done")
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        place.take_away(2)
        fetched = await read(mailbox, listing)
        looked_at = await mailbox.look(listing, listing.uids)
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), name)
        assert (await mailbox.list()).uids == ()
    assert [(mail.uid, mail.received_at) for mail in fetched] == [(one.uid, one.received_at) for one in looked_at]
    assert [mail.raw for mail in fetched] == [mails[0], *mails[2:]]
    assert sorted(place.moved(name, name)) == sorted([mails[0], *mails[2:]])


async def test_uids_from_before_a_change_of_uidvalidity_are_refused(place: Place) -> None:
    place.put(a_mail("one"), a_mail("two"))
    async with closing(place.mailbox()) as mailbox:
        old = await mailbox.list()
        seen = await mailbox.look(old, old.uids)
        place.renumber()
        with pytest.raises(Unavailable):
            await read(mailbox, old)
        with pytest.raises(Unavailable):
            await mailbox.look(old, old.uids)
        with pytest.raises(Unavailable):
            await mailbox.move(old, seen, "Nowhere")
        new = await mailbox.list()
        assert new.uidvalidity != old.uidvalidity
        assert len(await read(mailbox, new)) == 2
    assert place.moved("Nowhere", "Nowhere") == []


async def test_over_another_connection_only_what_is_still_the_same_is_moved(place: Place) -> None:
    """A server that was put back to an older state may have given its UID to another mail."""
    mails, name = [a_mail(f"m{number}") for number in range(5)], a_name("Done")
    place.put(*mails)
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        named, sized, dated, gone, same = await mailbox.look(listing, listing.uids)
        await mailbox.close()
        place.take_away(4)
        others = [
            replace(named, message_id="<other@example.test>"),
            replace(sized, size_bytes=1),
            replace(dated, received_at=dated.received_at + timedelta(seconds=1)),
        ]
        with pytest.raises(Unavailable):
            await mailbox.move(listing, [*others, gone, same], name)
        assert (await mailbox.list()).uids == listing.uids[:3]
    assert place.moved(name, name) == mails[4:]


async def test_what_was_read_is_moved_over_another_connection_whatever_its_header(place: Place) -> None:
    """What is compared was looked at before the mail was read, and comes from the same fields."""
    large, long_header = a_mail("large") + b"x" * SIZE_BYTES_MAX, b"X-Line: 1\r\n" * 10_000 + a_mail("long header")
    place.put(large, long_header, a_mail("as any other"))
    name = a_name("Done")
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        mails = await read(mailbox, listing)
        assert len(mails) == 3
        await mailbox.close()
        await mailbox.move(listing, [mail.seen for mail in mails], name)
        assert (await mailbox.list()).uids == ()


async def test_a_folder_that_was_made_anew_is_noticed_by_the_next_list(place: Place) -> None:
    place.put(a_mail("one"))
    async with closing(place.mailbox()) as mailbox:
        old = await mailbox.list()
        place.renumber()
        new = await mailbox.list()
    assert new.uidvalidity != old.uidvalidity
    assert len(new.uids) == 1


async def test_waiting_ends_with_the_time_when_nothing_happens(place: Place) -> None:
    async with closing(place.mailbox()) as mailbox:
        await mailbox.list()
        assert not await mailbox.wait(0.2)


async def test_that_a_mail_arrived_is_told_once(place: Place) -> None:
    """Else who does not look at once, for a good reason, would be told again and again without a pause."""
    async with closing(place.mailbox()) as mailbox:
        await mailbox.list()
        place.put(a_mail("wake"))
        assert await mailbox.wait(60)
        assert not await mailbox.wait(0.2)
        assert len((await mailbox.list()).uids) == 1


async def test_waiting_ends_early_when_a_mail_arrives(place: Place) -> None:
    async with closing(place.mailbox()) as mailbox:
        await mailbox.list()
        waiting = asyncio.create_task(mailbox.wait(60))
        await asyncio.sleep(0.2)
        place.put(a_mail("wake"))
        assert await waiting
        assert len((await mailbox.list()).uids) == 1


async def test_a_closed_mailbox_opens_again(place: Place) -> None:
    place.put(a_mail("one"))
    async with closing(place.mailbox()) as mailbox:
        before = await mailbox.list()
        await mailbox.close()
        assert await mailbox.list() == before


async def test_copies_are_found_by_their_message_id(place: Place) -> None:
    twice = a_mail("twice")
    place.put(twice, a_mail("other"), twice)
    copies = place.copies()
    assert list(await copies.find("<twice@example.test>")) == [twice, twice]
    assert list(await copies.find("<never@example.test>")) == []
    await copies.close()


async def test_a_mail_that_is_larger_than_the_server_says_is_not_kept(folder: ServerPlace) -> None:
    folder.put(a_mail("large", b"z" * SIZE_BYTES_MAX + b"\r\n"))
    lie = Rule(
        side=Side.SERVER,
        fault=Fault.REPLACE,
        match=b"RFC822.SIZE",
        replacement=b'* 1 FETCH (UID 1 RFC822.SIZE 9 INTERNALDATE "01-Nov-2026 00:00:00 +0000")\r\n',
    )
    async with (
        FaultProxy(folder.server.imap_port, lie) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), folder.folder)) as mailbox,
    ):
        (mail,) = await read(mailbox, await mailbox.list())
    assert lie.fired
    assert mail.raw is None
    assert mail.size_bytes > SIZE_BYTES_MAX


# What only a server can do


async def test_reading_leaves_mails_unseen_and_deleted_ones_are_not_listed(folder: ServerPlace) -> None:
    folder.put(a_mail("one"), a_mail("two"), a_mail("three"))
    folder.flag(2, r"\Deleted")
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        assert len(await read(mailbox, listing)) == len(listing.uids) == 2
    assert not any(b"Seen" in flags for flags in folder.flags())


async def test_two_thousand_mails_are_listed_and_moved(folder: ServerPlace) -> None:
    folder.put(*(a_mail(f"m{n}") for n in range(125)))
    with folder.server.session("svc") as client:
        client.select(folder.folder)
        for _ in range(4):
            client.copy("1:*", folder.folder)
            client.noop()
    name = a_name("Done")
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        fetched = await read(mailbox, listing)
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), name)
        assert (await mailbox.list()).uids == ()
    assert [mail.uid for mail in fetched] == list(listing.uids)
    assert len(folder.moved(name, name)) == len(fetched) == 2000


async def test_a_folder_name_may_hold_quotes_and_backslashes(folder: ServerPlace) -> None:
    raw = a_mail("one")
    folder.put(raw)
    name = a_name('A "b" \\ ')
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, await mailbox.look(listing, listing.uids), name)
    assert folder.moved(name, name) == [raw]


async def test_another_call_ends_a_pending_wait(folder: ServerPlace) -> None:
    async with closing(folder.mailbox()) as mailbox:
        await mailbox.list()
        waiting = asyncio.create_task(mailbox.wait(300))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            await mailbox.list()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await mailbox.list()).uids == ()


@pytest.mark.parametrize("kill", [True, False])
async def test_a_restarted_server_is_unavailable_once(tmp_path: Path, kill: bool) -> None:
    require("dovecot")
    with Dovecot(tmp_path) as server:
        server.deliver("svc", a_mail("one"))
        async with closing(ImapMailbox(an_account(port=server.imap_port), "INBOX")) as mailbox:
            before = await mailbox.list()
            server.restart(kill=kill)
            with pytest.raises(Unavailable):
                await mailbox.list()
            assert await mailbox.list() == before


@pytest.mark.parametrize("call", ["list", "fetch", "move", "wait", "find"])
async def test_a_cancelled_call_leaves_the_next_one_a_fresh_connection(folder: ServerPlace, call: str) -> None:
    folder.put(a_mail("one"))
    verbs = {"list": b"SEARCH", "fetch": b"FETCH", "move": b"MOVE", "wait": b"IDLE", "find": b"SEARCH"}
    stall = Rule(side=Side.CLIENT, fault=Fault.STALL, match=verbs[call])
    async with FaultProxy(folder.server.imap_port, stall) as proxy:
        account = an_account(port=proxy.port)
        copies = ImapCopies(account, folder.folder)
        async with closing(ImapMailbox(account, folder.folder)) as mailbox:
            stall.fired = True
            listing = await mailbox.list()
            seen = await mailbox.look(listing, listing.uids)
            stall.fired = False
            calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
                "list": mailbox.list,
                "fetch": lambda: read(mailbox, listing),
                "move": lambda: mailbox.move(listing, seen, "Elsewhere"),
                "wait": lambda: mailbox.wait(60),
                "find": lambda: copies.find("<one@example.test>"),
            }
            task = asyncio.ensure_future(calls[call]())
            await proxy.stalled.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await mailbox.list() == listing
            assert len(await copies.find("<one@example.test>")) == 1
            await copies.close()


@pytest.mark.parametrize("what", [b"BODY[]", b"BODY[HEADER"])
async def test_what_comes_under_the_uid_of_another_mail_is_asked_for_again(folder: ServerPlace, what: bytes) -> None:
    """One mail would be read twice, and the other one never."""
    mails = {name: a_mail(name) for name in ("one", "two", "three")}
    folder.put(*mails.values())
    garbled: list[bytes] = []

    def garble(side: Side, line: bytes) -> Break | None:
        if side is Side.SERVER and not garbled and b"UID 3 " in line and what in line:
            garbled.append(line)
            return Break(fault=Fault.REPLACE, replacement=line.replace(b"UID 3 ", b"UID 2 "))
        return None

    async with (
        FaultProxy(folder.server.imap_port, at_line=garble) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), folder.folder)) as mailbox,
    ):
        found: dict[int, tuple[str, bytes | None]] = {}
        for _ in range(2):  # what could not be read comes again
            listing = await mailbox.list()
            with contextlib.suppress(Unavailable):
                async for mail in mailbox.fetch(listing, listing.uids):
                    found.setdefault(mail.uid, (mail.seen.message_id, mail.raw))
    assert garbled
    assert found == {uid: (f"<{name}@example.test>", mails[name]) for uid, name in enumerate(mails, 1)}


@pytest.mark.parametrize("garbled", [b"* BAD SEARCH 1\r\n", b"* \xd3EARCH 1\r\n"])
async def test_a_copy_is_found_though_the_response_was_garbled(folder: ServerPlace, garbled: bytes) -> None:
    """It would be taken for one that is not there, and the mail sent twice."""
    folder.put(a_mail("one"))
    rule = Rule(side=Side.SERVER, fault=Fault.REPLACE, match=rb"\* SEARCH", replacement=garbled)
    async with FaultProxy(folder.server.imap_port, rule) as proxy:
        copies = ImapCopies(an_account(port=proxy.port), folder.folder)
        assert len(await copies.find("<one@example.test>")) == 1
        await copies.close()
    assert rule.fired


async def test_a_server_without_a_response_when_nothing_is_found_is_believed(folder: ServerPlace) -> None:
    """As iCloud."""

    def left_out(side: Side, line: bytes) -> Break | None:
        silent = side is Side.SERVER and line.startswith(b"* SEARCH")
        return Break(fault=Fault.REPLACE, replacement=b"* OK\r\n") if silent else None

    async with (
        FaultProxy(folder.server.imap_port, at_line=left_out) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), folder.folder)) as mailbox,
    ):
        assert (await mailbox.list()).uids == ()
