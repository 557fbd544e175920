"""The contract of the port `Mailbox`, against Dovecot, Cyrus and the fake; then what only a real server can do."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail.imap import ImapCopies, ImapMailbox, Security
from mailflow.mail.imap_session import Authentication
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing, Mailbox
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import PASSWORD, USERS, Dovecot
from tests.servers.faultproxy import Fault, FaultProxy, Rule, Side
from tests.support.available import require
from tests.support.mailbox_places import SIZE_BYTES_MAX, FakePlace, Place, ServerPlace, an_account

ODD_PASSWORDS = {"quotes": 'a "quoted\\ word', "umlaut": "pässwörd"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(tmp_path_factory.mktemp("dovecot"), users={**USERS, **ODD_PASSWORDS}) as server:
        yield server


@pytest.fixture(scope="module")
def cyrus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cyrus]:
    require("cyrus")
    with Cyrus(tmp_path_factory.mktemp("cyrus")) as server:
        yield server


@pytest.fixture(params=["dovecot", "cyrus", "fake"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "fake":
        return FakePlace()
    return ServerPlace(request.getfixturevalue(request.param), f"In{next(_numbers)}")


@pytest.fixture
def folder(dovecot: Dovecot) -> ServerPlace:
    """An empty folder on Dovecot."""
    return ServerPlace(dovecot, f"In{next(_numbers)}")


def a_mail(subject: str, body: bytes = b"Bonjour\r\n") -> bytes:
    head = f"From: ann@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.test>\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def closing(mailbox: Mailbox) -> AsyncIterator[Mailbox]:
    try:
        yield mailbox
    finally:
        await mailbox.close()


async def read(mailbox: Mailbox, listing: Listing) -> list[FetchedMail]:
    return [mail async for mail in mailbox.fetch(listing, listing.uids)]


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
    name = f"Done{next(_numbers)}"
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, listing.uids[1:4], name)
        await mailbox.move(listing, [], name)
        left = await mailbox.list()
    assert left.uids == (listing.uids[0], listing.uids[4])
    assert sorted(place.moved(name, name)) == sorted(mails[1:4])
    assert place.inbox() == [mails[0], mails[4]]


@pytest.mark.parametrize(
    ("name", "in_utf7"), [("Traités", "Trait&AOk-s"), ("R&D et l'eau", "R&-D et l'eau"), ("申請", "&dTOKyw-")]
)
async def test_folders_may_have_any_name(place: Place, name: str, in_utf7: str) -> None:
    raw = a_mail(f"to-{next(_numbers)}")
    place.put(raw)
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, listing.uids, name)
    assert raw in place.moved(in_utf7, name)


async def test_what_another_client_took_away_is_left_out(place: Place) -> None:
    mails = [a_mail(f"m{n}") for n in range(5)]
    place.put(*mails)
    name = f"Done{next(_numbers)}"
    async with closing(place.mailbox()) as mailbox:
        listing = await mailbox.list()
        place.take_away(2)
        fetched = await read(mailbox, listing)
        await mailbox.move(listing, listing.uids, name)
        assert (await mailbox.list()).uids == ()
    assert [mail.raw for mail in fetched] == [mails[0], *mails[2:]]
    assert sorted(place.moved(name, name)) == sorted([mails[0], *mails[2:]])


async def test_uids_from_before_a_change_of_uidvalidity_are_refused(place: Place) -> None:
    place.put(a_mail("one"), a_mail("two"))
    async with closing(place.mailbox()) as mailbox:
        old = await mailbox.list()
        place.renumber()
        with pytest.raises(Unavailable):
            await read(mailbox, old)
        with pytest.raises(Unavailable):
            await mailbox.move(old, old.uids, "Nowhere")
        new = await mailbox.list()
        assert new.uidvalidity != old.uidvalidity
        assert len(await read(mailbox, new)) == 2
    assert place.moved("Nowhere", "Nowhere") == []


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


# Connecting


@pytest.mark.parametrize("security", Security)
@pytest.mark.parametrize("authentication", Authentication)
async def test_every_way_to_connect_and_to_log_in(
    dovecot: Dovecot, security: Security, authentication: Authentication
) -> None:
    account = an_account(
        server=dovecot,
        port=dovecot.imaps_port if security is Security.TLS else dovecot.imap_port,
        security=security,
        authentication=authentication,
        secret=lambda: PASSWORD if authentication is Authentication.LOGIN else dovecot.token("svc"),
    )
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        assert (await mailbox.list()).uidvalidity > 0


@pytest.mark.parametrize("user", ODD_PASSWORDS)
async def test_passwords_may_hold_quotes_and_letters_beyond_ascii(dovecot: Dovecot, user: str) -> None:
    account = an_account(port=dovecot.imap_port, user=user, secret=lambda: ODD_PASSWORDS[user])
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        assert (await mailbox.list()).uids == ()


@pytest.mark.parametrize("authentication", Authentication)
@pytest.mark.parametrize("secret", ["wrong-secret", "wröng-secret"])
async def test_a_refused_login_is_for_the_operator_and_hides_the_secret(
    dovecot: Dovecot, authentication: Authentication, secret: str
) -> None:
    account = an_account(port=dovecot.imap_port, authentication=authentication, secret=lambda: secret)
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        with pytest.raises(Misconfigured) as refused:
            await mailbox.list()
    assert secret not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("authentication", [Authentication.XOAUTH2, Authentication.OAUTHBEARER])
async def test_an_expired_token_and_the_token_of_another_are_refused(
    dovecot: Dovecot, authentication: Authentication
) -> None:
    for token in (dovecot.token("svc", lifetime_seconds=-60), dovecot.token("bob")):
        account = an_account(port=dovecot.imap_port, authentication=authentication, secret=lambda t=token: t)  # type: ignore[misc]
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Misconfigured):
                await mailbox.list()


async def test_a_rotated_token_is_read_at_the_next_connection(dovecot: Dovecot, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(dovecot.token("svc", lifetime_seconds=-60))
    account = an_account(port=dovecot.imap_port, authentication=Authentication.XOAUTH2, secret=file.read_text)
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        with pytest.raises(Misconfigured):
            await mailbox.list()
        file.write_text(dovecot.token("svc"))
        assert (await mailbox.list()).uidvalidity > 0
        await mailbox.close()
        file.unlink()
        with pytest.raises(Unavailable):
            await mailbox.list()


async def test_starttls_that_somebody_strips_is_a_failure_and_no_secret_leaves(dovecot: Dovecot) -> None:
    strip = Rule(side=Side.SERVER, fault=Fault.REPLACE, match=b"STARTTLS", replacement=b"* CAPABILITY IMAP4rev1\r\n")
    greeting = Rule(side=Side.SERVER, fault=Fault.REPLACE, match=b"^\\* OK", replacement=b"* OK hello\r\n")
    async with FaultProxy(dovecot.imap_port, greeting, strip) as proxy:
        account = an_account(server=dovecot, port=proxy.port, security=Security.STARTTLS)
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Misconfigured, match="STARTTLS"):
                await mailbox.list()
    assert not any(
        b"LOGIN" in octets or b"AUTHENTICATE" in octets for side, _, octets in proxy.trace if side == "client"
    )


@pytest.mark.parametrize("injected", [b"* CAPABILITY IMAP4rev1\r\n", b"* CAPA", b"X1 OK done\r\n"])
async def test_octets_injected_before_tls_begins_are_refused(dovecot: Dovecot, injected: bytes) -> None:
    class Injecting(Rule):
        def hits(self, side: Side, line: int, octets: bytes) -> bool:
            self.replacement = octets + injected
            return super().hits(side, line, octets)

    rule = Injecting(side=Side.SERVER, fault=Fault.REPLACE, match=b"OK Begin TLS")
    async with FaultProxy(dovecot.imap_port, rule) as proxy:
        account = an_account(server=dovecot, port=proxy.port, security=Security.STARTTLS)
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Unavailable):
                await mailbox.list()
            assert rule.fired
            assert (await mailbox.list()).uidvalidity > 0


@pytest.mark.parametrize("greeting", [b"* PREAUTH you are in\r\n", b"* BYE too many\r\n", b"SSH-2.0-x\r\n"])
async def test_a_greeting_that_does_not_ask_who_we_are_is_refused(dovecot: Dovecot, greeting: bytes) -> None:
    rule = Rule(side=Side.SERVER, fault=Fault.REPLACE, line=1, replacement=greeting)
    async with (
        FaultProxy(dovecot.imap_port, rule) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), "INBOX")) as mailbox,
    ):
        with pytest.raises(Unavailable):
            await mailbox.list()
    assert not any(side is Side.CLIENT for side, _, _ in proxy.trace)


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_a_certificate_of_somebody_else_is_refused(dovecot: Dovecot, tmp_path: Path, security: Security) -> None:
    with Dovecot(tmp_path) as other:
        account = an_account(
            server=other,
            port=dovecot.imaps_port if security is Security.TLS else dovecot.imap_port,
            security=security,
        )
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Unavailable, match="certificate not trusted"):
                await mailbox.list()


async def test_a_folder_that_is_not_there_is_for_the_operator(dovecot: Dovecot) -> None:
    async with closing(ImapMailbox(an_account(port=dovecot.imap_port), "Missing")) as mailbox:
        with pytest.raises(Misconfigured):
            await mailbox.list()


async def test_nobody_listening_is_unavailable(dovecot: Dovecot) -> None:
    async with FaultProxy(dovecot.imap_port) as proxy:
        port = proxy.port
    async with closing(ImapMailbox(an_account(port=port), "INBOX")) as mailbox:
        with pytest.raises(Unavailable):
            await mailbox.list()


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
    name = f"Done{next(_numbers)}"
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        fetched = await read(mailbox, listing)
        await mailbox.move(listing, listing.uids, name)
        assert (await mailbox.list()).uids == ()
    assert [mail.uid for mail in fetched] == list(listing.uids)
    assert len(folder.moved(name, name)) == len(fetched) == 2000


async def test_a_folder_name_may_hold_quotes_and_backslashes(folder: ServerPlace) -> None:
    raw = a_mail("one")
    folder.put(raw)
    name = f'A "b" \\ {next(_numbers)}'
    async with closing(folder.mailbox()) as mailbox:
        listing = await mailbox.list()
        await mailbox.move(listing, listing.uids, name)
    assert folder.moved(name, name) == [raw]


async def test_another_call_ends_a_pending_wait(folder: ServerPlace) -> None:
    async with closing(folder.mailbox()) as mailbox:
        await mailbox.list()
        waiting = asyncio.create_task(mailbox.wait(60))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
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
            stall.fired = False
            calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
                "list": mailbox.list,
                "fetch": lambda: read(mailbox, listing),
                "move": lambda: mailbox.move(listing, listing.uids, "Elsewhere"),
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


# Servers that can do less


async def test_without_move_the_mails_are_copied_and_only_they_are_expunged(tmp_path: Path) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["MOVE", "IDLE", "SASL-IR"]) as server:
        place = ServerPlace(server, "In")
        mails = [a_mail("deleted-by-a-person"), a_mail("ours"), a_mail("other")]
        place.put(*mails)
        place.flag(1, r"\Deleted")
        async with closing(place.mailbox()) as mailbox:
            listing = await mailbox.list()
            await mailbox.move(listing, listing.uids[:1], "Processed")
            assert not await mailbox.wait(0.1)
        assert place.moved("Processed", "Processed") == [mails[1]]
        assert place.inbox() == [mails[0], mails[2]]


@pytest.mark.parametrize("authentication", Authentication)
async def test_a_server_without_initial_responses_is_answered_when_it_asks(
    tmp_path: Path, authentication: Authentication
) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["SASL-IR"], users={"svc": "é"}) as server:
        secret = "é" if authentication is Authentication.LOGIN else server.token("svc")
        for given, outcome in ((secret, None), ("ü", Misconfigured)):
            account = an_account(port=server.imap_port, authentication=authentication, secret=lambda s=given: s)  # type: ignore[misc]
            async with closing(ImapMailbox(account, "INBOX")) as mailbox:
                if outcome is None:
                    assert (await mailbox.list()).uids == ()
                else:
                    with pytest.raises(outcome):
                        await mailbox.list()


async def test_without_move_and_uidplus_nothing_is_touched(tmp_path: Path) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["MOVE", "UIDPLUS"]) as server:
        place = ServerPlace(server, "In")
        place.put(a_mail("one"))
        async with closing(place.mailbox()) as mailbox:
            listing = await mailbox.list()
            with pytest.raises(Misconfigured):
                await mailbox.move(listing, listing.uids, "Processed")
            assert await mailbox.list() == listing


# Faults at every line


async def _dialogue(mailbox: Mailbox, done: str) -> None:
    """Everything that the worker does in one round."""
    listing = await mailbox.list()
    for mail in await read(mailbox, listing):
        assert mail.raw
    await mailbox.move(listing, listing.uids, done)
    await mailbox.wait(0.02)
    await mailbox.list()


async def _lines_of_a_dialogue(server: Dovecot) -> list[tuple[Side, int]]:
    place = ServerPlace(server, f"In{next(_numbers)}")
    place.put(a_mail("a"), a_mail("b"))
    async with (
        FaultProxy(server.imap_port) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), place.folder)) as mailbox,
    ):
        await _dialogue(mailbox, f"Done{next(_numbers)}")
    return sorted({(side, line) for side, line, octets in proxy.trace if octets.endswith(b"\r\n")})


async def _survives(server: Dovecot, rule: Rule, gate: asyncio.Semaphore) -> str:
    """What is wrong with the behaviour at this fault, or an empty string."""
    place = ServerPlace(server, f"In{next(_numbers)}")
    mails = [a_mail("a"), a_mail("b")]
    done = f"Done{next(_numbers)}"
    async with gate, FaultProxy(server.imap_port, rule) as proxy:
        place.put(*mails)
        account = an_account(port=proxy.port, timeout_seconds=0.7)
        async with closing(ImapMailbox(account, place.folder)) as mailbox:
            failures: list[str] = []
            # Three times: a fault at the very end shows only when the connection is used again.
            for _ in range(3):
                try:
                    async with asyncio.timeout(10):
                        await _dialogue(mailbox, done)
                except Unavailable as error:
                    failures.append(str(error))
                except TimeoutError:
                    return f"{rule}: hangs"
            if len(failures) > 1:
                return f"{rule}: {failures}"
    if not rule.fired:
        return ""  # the stream was cut in other places than when it was recorded
    if place.inbox() or set(place.moved(done, done)) != set(mails):
        return f"{rule}: mails are not where they belong"
    return ""


async def _sweep(server: Dovecot, *faults: Fault, stall_every: int) -> None:
    lines = await _lines_of_a_dialogue(server)
    rules = [Rule(side=side, fault=fault, line=line) for side, line in lines for fault in faults]
    rules += [Rule(side=side, fault=Fault.STALL, line=line) for side, line in lines if line % stall_every == 0]
    gate = asyncio.Semaphore(8)
    wrong = [found for found in await asyncio.gather(*(_survives(server, rule, gate) for rule in rules)) if found]
    assert not wrong, "\n".join(wrong)
    assert sum(rule.fired for rule in rules) > len(rules) * 0.9


async def test_a_connection_that_is_reset_at_any_line_is_survived(dovecot: Dovecot) -> None:
    await _sweep(dovecot, Fault.RESET_BEFORE, stall_every=7)


@pytest.mark.slow
async def test_a_connection_that_breaks_in_any_way_at_any_line_is_survived(dovecot: Dovecot) -> None:
    await _sweep(dovecot, Fault.RESET_WITHIN, Fault.CLOSE_AFTER, Fault.DRIBBLE, stall_every=1)
