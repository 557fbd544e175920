"""What the SMTP client makes of every kind of reply, and what it says to a server that offers more or less."""

import asyncio
from dataclasses import replace

import pytest

from mailflow.errors import Misconfigured
from mailflow.mail import smtp
from mailflow.mail.ports import Sending, SendResult
from mailflow.mail.smtp import Security, SmtpMailer
from tests.servers.tls import make_certificate
from tests.support.mailer_worlds import a_mail, plain_server
from tests.support.scripted_smtp import HANG, HANG_UP, HERE, OFFERS_NOTHING, Way, scripted

SECRET_TEXT = b"ann@example.test"
SHORT = 0.5
"""Seconds, where a reply never comes."""


@pytest.fixture(params=list(Way), ids=str, autouse=True)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Way:
    HERE.way = request.param
    under_tls = request.param is Way.TOGETHER_UNDER_TLS
    HERE.certificate = make_certificate(tmp_path_factory.mktemp("tls")) if under_tls else None
    return HERE.way


@pytest.fixture
def in_clear(way: Way) -> None:
    """For a test that says itself how it connects."""
    HERE.certificate = None


async def go_on() -> bool:
    return True


async def test_the_dialogue_asks_for_failure_reports_by_envelope_id_and_for_none_of_the_copy() -> None:
    async with scripted({}) as (server, mailer):
        _, outgoing = a_mail(b"caf\xc3\xa9\r\n")
        outgoing = replace(outgoing, envelope_id="a+b=c é")
        assert (await mailer.send(outgoing, go_on)).state is Sending.SENT
        assert server.commands == [
            "EHLO client.example.test",
            f"MAIL FROM:<svc@example.test> SIZE={len(outgoing.raw)} BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc+20+C3+A9",
            "RCPT TO:<ann@example.test> NOTIFY=FAILURE",
            "RCPT TO:<audit@example.test> NOTIFY=NEVER",
            "DATA",
            ".",
        ]


async def test_a_server_that_offers_pipelining_need_not_reply_before_the_whole_envelope_is_there(way: Way) -> None:
    late = {"MAIL": [b""], "RCPT": [b"", b"250 ok\r\n250-2.1.5 yes\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n"]}
    async with scripted(late, timeout_seconds=SHORT if way is Way.ONE_BY_ONE else 60) as (server, mailer):
        result = await mailer.send(a_mail()[1], go_on)
    assert result.state is (Sending.SENT if way is not Way.ONE_BY_ONE else Sending.DEFERRED)
    assert len(server.mails) == (way is not Way.ONE_BY_ONE)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
async def test_a_reply_too_many_is_never_taken_for_the_reply_to_data(verb: str) -> None:
    async with scripted({verb: [b"250 ok\r\n354 go on\r\n250 ok\r\n"]}) as (server, mailer):
        result = await mailer.send(a_mail()[1], go_on)
    assert result.state is Sending.DEFERRED
    assert not server.mails


async def test_a_refusal_that_comes_after_replies_nobody_asked_for_is_not_overlooked() -> None:
    async def slowly() -> bool:
        while len(server.commands) < 4:  # noqa: ASYNC110  the server sets no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return True

    script = {"MAIL": [b"250 ok\r\n250 ok\r\n"], "RCPT": [b"250 ok\r\n", b"550 no such audit mailbox\r\n"]}
    async with scripted(script) as (server, mailer):
        result = await mailer.send(a_mail()[1], slowly)
    assert result.state in {Sending.DEFERRED, Sending.DOUBTFUL}
    assert not server.mails


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
async def test_what_a_server_says_last_counts(verb: str) -> None:
    async with scripted({verb: [b"550 5.7.1 no\r\n" + HANG_UP]}) as (_, mailer):
        result = await mailer.send(a_mail()[1], go_on)
    assert (result.state, result.detail.split()[-2:]) == (Sending.REFUSED, ["550", "5.7.1"])


async def test_a_server_that_goes_on_talking_is_left() -> None:
    async with scripted({".": [b"250 ok\r\n" + 5_000 * b"250 and another thing\r\n", b"250 ok\r\n"]}) as (
        server,
        mailer,
    ):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        await asyncio.wait_for(server.gone.wait(), 30)
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert (server.connections, len(server.mails)) == (2, 2)


async def test_a_server_that_leaves_after_each_mail_gets_the_next_one_on_a_fresh_connection() -> None:
    async with scripted({".": [b"250 ok\r\n" + HANG_UP]}, timeout_seconds=60) as (server, mailer):
        for _ in range(3):
            assert (await asyncio.wait_for(mailer.send(a_mail()[1], go_on), 30)).state is Sending.SENT
        assert (server.connections, len(server.mails)) == (3, 3)


@pytest.mark.parametrize("after", [b"what?\r\n", b"", HANG_UP])
async def test_a_refusal_stands_whatever_becomes_of_the_replies_after_it(after: bytes, way: Way) -> None:
    script = {"MAIL": [b"550 5.7.1 no\r\n", b"250 ok\r\n"], "RCPT": [after, b"250 ok\r\n"]}
    async with scripted(script, timeout_seconds=SHORT if after == b"" else 60) as (server, mailer):
        assert await mailer.send(a_mail()[1], go_on) == SendResult(state=Sending.REFUSED, detail="MAIL 550 5.7.1")
        if way is not Way.ONE_BY_ONE:
            assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
            assert (server.connections, len(server.mails)) == (2, 1), "the first is of no more use"


async def test_a_server_that_offers_nothing_gets_no_parameters() -> None:
    async with scripted({"EHLO": [OFFERS_NOTHING]}) as (server, mailer):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert server.commands[1:4] == [
            "MAIL FROM:<svc@example.test>",
            "RCPT TO:<ann@example.test>",
            "RCPT TO:<audit@example.test>",
        ]


async def test_lines_that_begin_with_a_dot_are_stuffed_once_and_nothing_else_changes() -> None:
    async with scripted({}) as (server, mailer):
        _, outgoing = a_mail(b".\r\n..\r\n...\r\na.\r\n\r\n")
        await mailer.send(outgoing, go_on)
        assert server.mails == [outgoing.raw.replace(b"\r\n.", b"\r\n..")]


@pytest.mark.parametrize(
    ("verb", "reply", "state", "detail"),
    [
        ("greeting", b"421 4.3.2 later\r\n", Sending.DEFERRED, "connect 421 4.3.2"),
        ("greeting", b"554 no\r\n", Sending.DEFERRED, "connect 554"),
        ("greeting", HANG, Sending.DEFERRED, "connect timeout"),
        ("greeting", HANG_UP, Sending.DEFERRED, "connect lost"),
        ("greeting", b"\xff\xff\r\n", Sending.DEFERRED, "connect -1"),
        ("EHLO", b"550 no\r\n", Sending.DEFERRED, "connect 550"),
        ("MAIL", b"450 4.1.8 no\r\n", Sending.DEFERRED, "MAIL 450 4.1.8"),
        ("MAIL", b"550 5.7.1 " + SECRET_TEXT + b"\r\n", Sending.REFUSED, "MAIL 550 5.7.1"),
        ("MAIL", b"530 5.7.0 log in\r\n", Sending.DEFERRED, "MAIL 530 5.7.0"),
        ("MAIL", b"500 5.5.2 what\r\n", Sending.DEFERRED, "MAIL 500 5.5.2"),
        ("MAIL", HANG_UP, Sending.DEFERRED, "MAIL lost"),
        ("MAIL", HANG, Sending.DEFERRED, "MAIL timeout"),
        ("RCPT", b"550-5.1.1 no\r\n550 5.1.1 such " + SECRET_TEXT + b"\r\n", Sending.REFUSED, "RCPT 550 5.1.1"),
        ("RCPT", b"502 5.5.2 what\r\n", Sending.DEFERRED, "RCPT 502 5.5.2"),
        ("RCPT", b"452 too many\r\n", Sending.DEFERRED, "RCPT 452"),
        ("RCPT", b"421 4.3.2 later\r\n", Sending.DEFERRED, "RCPT 421 4.3.2"),
        ("RCPT", b"what?\r\n", Sending.DEFERRED, "RCPT -1"),
        ("RCPT", HANG_UP, Sending.DEFERRED, "RCPT lost"),
        ("RCPT", HANG, Sending.DEFERRED, "RCPT timeout"),
        ("DATA", b"451 4.3.0 later\r\n", Sending.DEFERRED, "DATA 451 4.3.0"),
        ("DATA", b"554 5.5.1 no\r\n", Sending.REFUSED, "DATA 554 5.5.1"),
        ("DATA", b"502 5.5.2 what\r\n", Sending.DEFERRED, "DATA 502 5.5.2"),
        ("DATA", b"503 5.5.1 no\r\n", Sending.DEFERRED, "DATA 503 5.5.1"),
        ("DATA", b"250 2.0.0 what\r\n", Sending.DOUBTFUL, "DATA 250 2.0.0"),
        ("DATA", HANG_UP, Sending.DOUBTFUL, "DATA lost"),
        ("DATA", HANG, Sending.DOUBTFUL, "DATA timeout"),
        (".", b"451 4.3.0 later\r\n", Sending.DEFERRED, "DATA 451 4.3.0"),
        (".", b"421 4.3.0 later\r\n", Sending.DEFERRED, "DATA 421 4.3.0"),
        (".", b"552 5.2.2 " + SECRET_TEXT + b"\r\n", Sending.REFUSED, "DATA 552 5.2.2"),
        (".", b"252 2.0.0 well\r\n", Sending.DOUBTFUL, "DATA 252 2.0.0"),
        (".", b"354 go on\r\n", Sending.DOUBTFUL, "DATA 354"),
        (".", b"what?\r\n", Sending.DOUBTFUL, "DATA -1"),
        (".", b"999 5.5.5 what\r\n", Sending.DOUBTFUL, "DATA 999 5.5.5"),
        (".", HANG_UP, Sending.DOUBTFUL, "DATA lost"),
        (".", HANG, Sending.DOUBTFUL, "DATA timeout"),
    ],
)
async def test_each_reply_has_one_meaning_and_its_text_is_not_kept(
    verb: str, reply: bytes, state: Sending, detail: str
) -> None:
    async with scripted({verb: [reply]}, timeout_seconds=SHORT if reply == HANG else 60) as (_, mailer):
        assert await mailer.send(a_mail()[1], go_on) == SendResult(state=state, detail=detail)


@pytest.mark.parametrize("reply", [b"450 4.2.0 full\r\n", b"550 5.1.1 no\r\n", b"552 5.2.2 full\r\n"])
async def test_a_refused_audit_mailbox_defers_and_resets(reply: bytes) -> None:
    async with scripted({"RCPT": [b"250 ok\r\n", reply]}) as (server, mailer):
        result = await mailer.send(a_mail()[1], go_on)
        assert result.state is Sending.DEFERRED
        assert server.commands[-1] == "RSET"
        assert not server.mails


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
async def test_after_a_plain_refusal_the_same_connection_serves_the_next_mail(verb: str) -> None:
    good = b"354 go on\r\n" if verb == "DATA" else b"250 ok\r\n"
    async with scripted({verb: [b"450 4.0.0 later\r\n", good]}) as (server, mailer):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.DEFERRED
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert server.connections == 1


@pytest.mark.parametrize("reply", [b"421 4.4.2 idle for too long\r\n", HANG_UP, HANG, b"what?\r\n"])
async def test_a_connection_found_dead_at_mail_is_replaced_once(reply: bytes) -> None:
    script = {"MAIL": [b"250 ok\r\n", reply, b"250 ok\r\n"]}
    async with scripted(script, timeout_seconds=SHORT if reply == HANG else 60) as (server, mailer):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert server.connections == 2
        assert len(server.mails) == 2


async def test_a_connection_idle_for_too_long_is_ended_and_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted({}) as (server, mailer):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        monkeypatch.setattr(smtp, "IDLE_SECONDS_MAX", -1.0)
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        await asyncio.wait_for(server.gone.wait(), 60)
        assert server.connections == 2


async def test_a_server_that_dies_at_every_mail_is_not_tried_for_ever() -> None:
    async with scripted({"MAIL": [b"250 ok\r\n", HANG_UP]}) as (server, mailer):
        await mailer.send(a_mail()[1], go_on)
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.DEFERRED
        assert server.connections == 2


@pytest.mark.parametrize("verb", ["RCPT", "DATA", "."])
async def test_a_connection_lost_later_is_not_replaced(verb: str) -> None:
    first = b"354 go on\r\n" if verb == "DATA" else b"250 ok\r\n"
    script = {verb: [first, first, HANG_UP] if verb == "RCPT" else [first, HANG_UP]}
    async with scripted(script) as (server, mailer):
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        expected = Sending.DEFERRED if verb == "RCPT" else Sending.DOUBTFUL
        assert (await mailer.send(a_mail()[1], go_on)).state is expected
        assert server.connections == 1


async def test_a_cancelled_send_closes_its_connection_and_stays_cancelled() -> None:
    async with scripted({".": [HANG, b"250 ok\r\n"]}, timeout_seconds=300) as (server, mailer):
        claimed = asyncio.Event()

        async def claim() -> bool:
            claimed.set()
            return True

        sending = asyncio.create_task(mailer.send(a_mail()[1], claim))
        await claimed.wait()
        await server.received.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(server.gone.wait(), 60)
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.SENT
        assert server.connections == 2


async def test_close_says_quit_and_a_hanging_server_cannot_prevent_it() -> None:
    async with scripted({"QUIT": [HANG]}) as (server, mailer):
        await mailer.send(a_mail()[1], go_on)
        await asyncio.wait_for(mailer.close(), 60)
        assert server.commands[-1] == "QUIT"
        await asyncio.wait_for(server.gone.wait(), 60)
        assert server.open == 0


@pytest.mark.usefixtures("in_clear")
async def test_the_password_is_read_anew_for_each_connection_and_a_refused_one_defers() -> None:
    async with scripted({"AUTH": [b"235 ok\r\n", b"535 5.7.8 no\r\n"], ".": [HANG_UP]}) as (server, _):
        passwords = iter(["first", "second"])
        account = replace(plain_server(server.port), user="svc", secret=lambda: next(passwords))
        mailer = SmtpMailer(account, 1)
        assert (await mailer.send(a_mail()[1], go_on)).state is Sending.DOUBTFUL
        result = await mailer.send(a_mail()[1], go_on)
        assert result == SendResult(state=Sending.DEFERRED, detail="connect 535 5.7.8")
        assert [c for c in server.commands if c.startswith("AUTH")] == [
            "AUTH PLAIN AHN2YwBmaXJzdA==",
            "AUTH PLAIN AHN2YwBzZWNvbmQ=",
        ]


@pytest.mark.parametrize("error", [FileNotFoundError("smtp"), UnicodeError("smtp"), Misconfigured("smtp")])
async def test_a_password_that_cannot_be_read_defers(error: Exception) -> None:
    def unreadable() -> str:
        raise error

    async with scripted({}) as (server, _):
        mailer = SmtpMailer(replace(plain_server(server.port), user="svc", secret=unreadable), 1)
        result = await mailer.send(a_mail()[1], go_on)
        assert result == SendResult(state=Sending.DEFERRED, detail="connect no secret")
        assert server.connections == 0


@pytest.mark.usefixtures("in_clear")
async def test_starttls_that_is_not_offered_is_no_reason_to_send_in_clear(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    context = make_certificate(tmp_path_factory.mktemp("tls")).client_context()
    async with scripted({}) as (server, _):
        mailer = SmtpMailer(replace(plain_server(server.port), security=Security.STARTTLS, tls=context), 1)
        result = await mailer.send(a_mail()[1], go_on)
        assert result == SendResult(state=Sending.DEFERRED, detail="connect lost")
        assert server.commands == ["EHLO client.example.test"]


def test_settings_that_would_leave_a_connection_unprotected_or_unnamed_are_refused() -> None:
    good = plain_server(25)
    for change in (
        {"security": Security.TLS},
        {"security": Security.STARTTLS},
        {"user": "svc"},
        {"secret": lambda: "secret"},
    ):
        with pytest.raises(Misconfigured):
            replace(good, **change)
