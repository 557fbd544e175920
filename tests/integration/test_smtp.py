"""The contract of `ports.Mailer`: the same for Postfix, the embedded host and the fake; and what Postfix adds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mailflow.mail.audit import body_digest
from mailflow.mail.ports import Sending, SendResult
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.servers.tls import make_certificate
from tests.support.available import require
from tests.support.fake_mailer import FakeMailer
from tests.support.mailer_worlds import (
    LATE,
    USERS,
    FakeWorld,
    PostfixWorld,
    World,
    a_mail,
    embedded_world,
    open_mailer,
    plain_server,
)

DIFFICULT = (
    b".\r\n..\r\n.hidden\r\n"
    + b"x" * 998
    + b"\r\nFrom the start\r\n\r\n"
    + b"caf\xc3\xa9 \xe9\xff\r\n"
    + b"  \r\n\t\r\n"
)


class Claim:
    """`before_data` of a test: counts, answers, and looks at nothing else."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.calls = 0

    async def __call__(self) -> bool:
        self.calls += 1
        return self.answer


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postfix, Dovecot]]:
    require("dovecot")
    require("postfix")
    folder = tmp_path_factory.mktemp("servers")
    certificate = make_certificate(folder)
    with Dovecot(folder / "dovecot") as dovecot:
        recipients = (*USERS, LATE)
        lmtp_port = dovecot.lmtp_port
        with Postfix(
            folder / "postfix", lmtp_port=lmtp_port, recipients=recipients, certificate=certificate
        ) as postfix:
            yield postfix, dovecot


@pytest.fixture
async def real(servers: tuple[Postfix, Dovecot]) -> AsyncIterator[PostfixWorld]:
    postfix, dovecot = servers
    async with open_mailer(postfix.port) as mailer:
        yield PostfixWorld(mailer=mailer, postfix=postfix, dovecot=dovecot)


@pytest.fixture(params=["postfix", "embedded", "fake"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    match request.param:
        case "postfix":
            postfix, dovecot = request.getfixturevalue("servers")
            async with open_mailer(postfix.port) as mailer:
                yield PostfixWorld(mailer=mailer, postfix=postfix, dovecot=dovecot)
        case "embedded":
            async with embedded_world() as embedded:
                yield embedded
        case _:
            yield FakeWorld(mailer=FakeMailer(users=USERS))


# The contract


async def test_a_mail_arrives_at_the_recipient_and_at_the_audit_mailbox_with_its_body(world: World) -> None:
    claim = Claim()
    message_id, outgoing = a_mail(DIFFICULT)
    assert await world.mailer.send(outgoing, claim) == SendResult(state=Sending.SENT)
    await world.settle()
    for user in ("ann", "audit"):
        (copy,) = await world.copies(user, message_id)
        assert body_digest(copy) == body_digest(outgoing.raw)
        assert copy.endswith(b"\r\n\r\n" + DIFFICULT)
    assert claim.calls == 1


async def test_a_large_mail_arrives_whole(world: World) -> None:
    message_id, outgoing = a_mail(b"".join(b"%076d\r\n" % i for i in range(20_000)))
    assert (await world.mailer.send(outgoing, Claim())).state is Sending.SENT
    await world.settle()
    (copy,) = await world.copies("ann", message_id)
    assert body_digest(copy) == body_digest(outgoing.raw)


async def test_without_an_audit_address_only_the_recipient_gets_it(world: World) -> None:
    message_id, outgoing = a_mail(audit=None)
    assert (await world.mailer.send(outgoing, Claim())).state is Sending.SENT
    await world.settle()
    assert len(await world.copies("ann", message_id)) == 1
    assert not await world.copies("audit", message_id)


async def test_a_null_sender_is_accepted(world: World) -> None:
    message_id, outgoing = a_mail(envelope_from="")
    assert (await world.mailer.send(outgoing, Claim())).state is Sending.SENT
    await world.settle()
    (copy,) = await world.copies("ann", message_id)
    assert copy.startswith(b"Return-Path: <>\r\n")


async def test_a_detail_in_the_address_does_not_change_the_mailbox(world: World) -> None:
    message_id, outgoing = a_mail(recipient="ann+file-7@example.test")
    assert (await world.mailer.send(outgoing, Claim())).state is Sending.SENT
    await world.settle()
    assert len(await world.copies("ann", message_id)) == 1


async def test_a_refused_recipient_refuses_the_mail_before_anything_is_claimed(world: World) -> None:
    claim = Claim()
    message_id, outgoing = a_mail(recipient="nobody@example.test")
    result = await world.mailer.send(outgoing, claim)
    assert result == SendResult(state=Sending.REFUSED, detail="RCPT 550 5.1.1")
    await world.settle()
    assert claim.calls == 0
    assert not await world.copies("audit", message_id)


async def test_a_refused_audit_mailbox_defers_the_mail(world: World) -> None:
    claim = Claim()
    message_id, outgoing = a_mail(audit="nobody@example.test")
    result = await world.mailer.send(outgoing, claim)
    assert result == SendResult(state=Sending.DEFERRED, detail="RCPT audit 550 5.1.1")
    await world.settle()
    assert claim.calls == 0
    assert not await world.copies("ann", message_id)


async def test_a_mail_that_somebody_else_has_taken_is_not_sent(world: World) -> None:
    claim = Claim(answer=False)
    message_id, outgoing = a_mail()
    assert await world.mailer.send(outgoing, claim) == SendResult(state=Sending.DEFERRED, detail="taken")
    await world.settle()
    assert claim.calls == 1
    assert not await world.copies("ann", message_id)


async def test_after_each_kind_of_refusal_the_next_mail_goes_out(world: World) -> None:
    for refused in (
        a_mail(recipient="nobody@example.test"),
        a_mail(audit="nobody@example.test"),
        a_mail(recipient="not an address"),
    ):
        await world.mailer.send(refused[1], Claim())
    await world.mailer.send(a_mail()[1], Claim(answer=False))
    message_id, outgoing = a_mail()
    assert (await world.mailer.send(outgoing, Claim())).state is Sending.SENT
    await world.settle()
    assert len(await world.copies("ann", message_id)) == 1


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "<ann@example.test>",
        "Ann <ann@example.test>",
        "ann@example.test, bob@example.test",
        "ann@example.test\r\nRCPT TO:<bob@example.test>",
        "ann@example.test> NOTIFY=NEVER",
        "ané@example.test",
        "a" * 250 + "@example.test",
    ],
)
async def test_what_is_not_a_bare_address_is_refused_without_asking_the_server(world: World, address: str) -> None:
    claim = Claim()
    _, outgoing = a_mail(recipient=address)
    result = await world.mailer.send(outgoing, claim)
    assert result.state is Sending.REFUSED
    assert "ann" not in result.detail
    assert claim.calls == 0


async def test_line_ends_that_a_client_would_have_to_mend_are_refused(world: World) -> None:
    for body in (b"one\ntwo\r\n", b"one\rtwo\r\n", b"no end"):
        result = await world.mailer.send(a_mail(body)[1], Claim())
        assert result == SendResult(state=Sending.REFUSED, detail="line ends are not CRLF")


async def test_many_mails_side_by_side_arrive_once_each(world: World) -> None:
    mails = [a_mail(b"mail %d\r\n" % i) for i in range(20)]
    async with asyncio.TaskGroup() as group:
        sends = [group.create_task(world.mailer.send(outgoing, Claim())) for _, outgoing in mails]
    assert {send.result().state for send in sends} == {Sending.SENT}
    await world.settle()
    for message_id, _ in mails:
        assert len(await world.copies("ann", message_id)) == 1


async def test_an_error_of_the_claim_is_passed_on_and_nothing_is_sent(world: World) -> None:
    async def fail() -> bool:
        raise OSError("the database is away")

    message_id, outgoing = a_mail()
    with pytest.raises(OSError, match="the database"):
        await world.mailer.send(outgoing, fail)
    await world.settle()
    assert not await world.copies("ann", message_id)
    assert (await world.mailer.send(a_mail()[1], Claim())).state is Sending.SENT


# What Postfix adds


async def test_a_delivery_report_carries_our_envelope_id(real: PostfixWorld) -> None:
    message_id, outgoing = a_mail(recipient=f"{LATE}@example.test", envelope_from="svc+812@example.test")
    assert (await real.mailer.send(outgoing, Claim())).state is Sending.SENT
    await real.settle()
    reports = [raw for raw in real.dovecot.messages("svc") if message_id.encode() in raw]
    assert len(reports) == 1
    assert f"\r\nOriginal-Envelope-Id: {outgoing.envelope_id}\r\n".encode() in reports[0]
    assert b"\r\nDelivered-To: svc+812@example.test\r\n" in reports[0]
    # RET=HDRS: the answer itself, which may carry personal data, does not come back.
    assert b"Number" not in reports[0]


async def test_a_failure_of_the_audit_copy_is_not_reported(real: PostfixWorld) -> None:
    message_id, outgoing = a_mail(audit=f"{LATE}@example.test")
    assert (await real.mailer.send(outgoing, Claim())).state is Sending.SENT
    await real.settle()
    assert len(await real.copies("ann", message_id)) == 1
    assert not [raw for raw in real.dovecot.messages("svc") if message_id.encode() in raw]


async def test_mails_one_after_the_other_share_one_connection(real: PostfixWorld) -> None:
    before = real.postfix.log().count(": connect from")
    for recipient in ("ann", "bob", "nobody", "ann"):
        await real.mailer.send(a_mail(recipient=f"{recipient}@example.test")[1], Claim())
    await real.settle()
    assert real.postfix.log().count(": connect from") - before == 1


async def test_mails_side_by_side_use_no_more_connections_than_allowed(real: PostfixWorld) -> None:
    before = real.postfix.log().count(": connect from")
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(real.mailer.send(a_mail()[1], Claim()))
    await real.settle()
    assert 1 <= real.postfix.log().count(": connect from") - before <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {"default_process_limit": "3"},
        {"smtpd_client_connection_count_limit": "3", "smtpd_client_event_limit_exceptions": ""},
    ],
    ids=["silent", "421"],
)
async def test_a_server_that_lets_only_a_few_connections_in_gets_all_mails_through_these(
    servers: tuple[Postfix, Dovecot], settings: dict[str, str], tmp_path: Path
) -> None:
    _, dovecot = servers
    with Postfix(tmp_path / "postfix", lmtp_port=dovecot.lmtp_port, recipients=USERS, settings=settings) as narrow:
        async with open_mailer(narrow.port, connections=12) as mailer:
            results = await asyncio.gather(*(mailer.send(a_mail()[1], Claim()) for _ in range(60)))
    assert {result.state for result in results} == {Sending.SENT}


@pytest.mark.parametrize("kill", [False, True])
async def test_a_connection_that_died_while_idle_is_replaced(real: PostfixWorld, kill: bool) -> None:
    assert (await real.mailer.send(a_mail()[1], Claim())).state is Sending.SENT
    await asyncio.to_thread(real.postfix.restart, kill=kill)
    assert (await real.mailer.send(a_mail()[1], Claim())).state is Sending.SENT


async def test_a_mail_over_the_limit_of_the_server_is_refused_before_data(real: PostfixWorld) -> None:
    claim = Claim()
    _, outgoing = a_mail(b"x" * 76 + b"\r\n")
    too_large = type(outgoing)(
        envelope_from=outgoing.envelope_from,
        recipient=outgoing.recipient,
        audit=outgoing.audit,
        envelope_id=outgoing.envelope_id,
        raw=outgoing.raw + (b"x" * 76 + b"\r\n") * 400_000,
    )
    result = await real.mailer.send(too_large, claim)
    assert result == SendResult(state=Sending.REFUSED, detail="MAIL 552 5.3.4")
    assert claim.calls == 0


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_protected_connection_delivers(servers: tuple[Postfix, Dovecot], security: Security) -> None:
    mailer = SmtpMailer(_protected(servers[0], security, trusted=True), 1)
    assert (await mailer.send(a_mail()[1], Claim())).state is Sending.SENT
    assert (await mailer.send(a_mail()[1], Claim())).state is Sending.SENT
    await mailer.close()


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_server_with_an_untrusted_certificate_gets_nothing(
    servers: tuple[Postfix, Dovecot], security: Security, tmp_path: Path
) -> None:
    claim = Claim()
    mailer = SmtpMailer(_protected(servers[0], security, trusted=False, folder=tmp_path), 1)
    result = await mailer.send(a_mail()[1], claim)
    assert result == SendResult(state=Sending.DEFERRED, detail="connect lost")
    assert claim.calls == 0
    await mailer.close()


def _protected(postfix: Postfix, security: Security, *, trusted: bool, folder: Path | None = None) -> SmtpServer:
    certificate = postfix.certificate
    if not trusted:
        assert folder is not None
        certificate = make_certificate(folder)
    assert certificate is not None
    return SmtpServer(
        host="localhost",
        port=postfix.smtps_port if security is Security.TLS else postfix.port,
        security=security,
        tls=certificate.client_context(),
        user=None,
        secret=None,
        timeout_seconds=10,
        data_timeout_seconds=10,
        local_hostname="client.example.test",
    )


async def test_a_server_that_is_not_there_defers(unused_tcp_port: int) -> None:
    claim = Claim()
    mailer = SmtpMailer(plain_server(unused_tcp_port), 1)
    result = await mailer.send(a_mail()[1], claim)
    assert result == SendResult(state=Sending.DEFERRED, detail="connect lost")
    assert claim.calls == 0
    await mailer.close()
