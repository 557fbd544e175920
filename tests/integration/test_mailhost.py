"""The embedded mail host is a mail server that our own doors can work with."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.demo.mailhost import MailHost
from mailflow.mail.imap import ImapCopies, ImapMailbox
from mailflow.mail.imap_session import Authentication, ImapAccount
from mailflow.mail.ports import Outgoing, Sending
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer

RETURN_PATH = b"Return-Path: <back+7@desk.test>\r\n"
MAIL = b"Message-ID: <1@desk.test>\r\n\r\n.one\r\n..\r\n\xff\xfe\xe9\r\n\r\n"
LARGE = b"Message-ID: <2@desk.test>\r\n\r\n" + b"\r\n".join(b"%05d" % i * 15 for i in range(4_000)) + b"\r\n"


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with MailHost(users={"svc": "secret", "audit": "other secret"}) as host:
        yield host


@pytest.fixture
async def mailer(host: MailHost) -> AsyncIterator[SmtpMailer]:
    server = SmtpServer(
        host=host.host,
        port=host.smtp_port,
        security=Security.PLAIN,
        tls=None,
        user=None,
        secret=None,
        timeout_seconds=10,
        data_timeout_seconds=10,
        local_hostname="desk.test",
    )
    mailer = SmtpMailer(server, 2)
    yield mailer
    await mailer.close()


@pytest.fixture
async def mailbox(host: MailHost) -> AsyncIterator[ImapMailbox]:
    mailbox = ImapMailbox(account_of(host, "svc"), "INBOX")
    yield mailbox
    await mailbox.close()


def account_of(host: MailHost, user: str) -> ImapAccount:
    return ImapAccount(
        host=host.host,
        port=host.imap_port,
        security=Security.PLAIN,
        tls=None,
        authentication=Authentication.LOGIN,
        user=user,
        secret=lambda: host.users[user],
        timeout_seconds=10,
        size_bytes_max=1_000_000,
        fetch_batch=20,
        move_batch=200,
    )


async def send(mailer: SmtpMailer, raw: bytes, *, recipient: str = "svc+demande@service.test") -> Sending:
    async def go_on() -> bool:
        return True

    outgoing = Outgoing(
        envelope_from="back+7@desk.test",
        recipient=recipient,
        audit="audit@service.test",
        envelope_id="7",
        raw=raw,
    )
    return (await mailer.send(outgoing, go_on)).state


async def read(mailbox: ImapMailbox) -> list[bytes | None]:
    listing = await mailbox.list()
    return [mail.raw async for mail in mailbox.fetch(listing, listing.uids)]


async def test_a_mail_comes_back_octet_for_octet(mailer: SmtpMailer, mailbox: ImapMailbox) -> None:
    assert len(LARGE) > 300_000
    assert await send(mailer, MAIL) is Sending.SENT
    assert await send(mailer, LARGE) is Sending.SENT
    assert await read(mailbox) == [RETURN_PATH + MAIL, RETURN_PATH + LARGE]


async def test_a_mailbox_that_was_read_before_shows_what_is_new(mailer: SmtpMailer, mailbox: ImapMailbox) -> None:
    assert await read(mailbox) == []
    await send(mailer, MAIL)
    assert len(await read(mailbox)) == 1
    await send(mailer, LARGE)
    assert len(await read(mailbox)) == 2


async def test_a_mail_is_dated_by_its_arrival(host: MailHost, mailbox: ImapMailbox) -> None:
    await host.deliver("svc", MAIL)
    listing = await mailbox.list()
    (mail,) = [mail async for mail in mailbox.fetch(listing, listing.uids)]
    assert mail.received_at.tzinfo is not None
    assert abs(mail.received_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_mail_that_was_moved_is_in_the_folder_and_no_longer_in_the_inbox(
    host: MailHost, mailbox: ImapMailbox
) -> None:
    for raw in (MAIL, LARGE):
        await host.deliver("svc", raw)
    listing = await mailbox.list()
    await mailbox.move(listing, await mailbox.look(listing, listing.uids[:1]), "Processed")
    assert await read(mailbox) == [LARGE]
    processed = ImapMailbox(account_of(host, "svc"), "Processed")
    assert await read(processed) == [MAIL]
    await processed.close()


async def test_waiting_ends_when_a_mail_arrives(host: MailHost, mailbox: ImapMailbox) -> None:
    await mailbox.list()
    waiting = asyncio.create_task(mailbox.wait(300))
    await asyncio.sleep(0.2)
    await host.deliver("svc", MAIL)
    assert await asyncio.wait_for(waiting, 60)


async def test_a_copy_is_found_by_its_message_id(host: MailHost, mailer: SmtpMailer) -> None:
    await send(mailer, MAIL)
    await send(mailer, LARGE)
    copies = ImapCopies(account_of(host, "audit"), "INBOX")
    assert await copies.find("<1@desk.test>") == [RETURN_PATH + MAIL]
    await copies.close()


async def test_an_unknown_user_is_refused(mailer: SmtpMailer) -> None:
    assert await send(mailer, MAIL, recipient="nobody@service.test") is Sending.REFUSED
