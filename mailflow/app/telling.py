"""The ways by which operators are told: mail and webhook, each bounded in time, none through the outbox (DESIGN.md)."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mailflow.app.parts import smtp_server, tls_context
from mailflow.core.alerting import Channel
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail import alert
from mailflow.mail.ports import Mailer, Outgoing, Sending
from mailflow.mail.smtp import SmtpMailer
from mailflow.ops.messages import Message
from mailflow.ops.webhook import Endpoint
from mailflow.settings import Settings, read_secret

REPLY_SECONDS_MAX = 20
"""For each reply of the mail server: who is to be woken should not wait for a server that hangs."""
DATA_SECONDS_MAX = 60

log = logging.getLogger(__name__)

Tell = Callable[[Message], Awaitable[None]]
"""Raises Unavailable, or Misconfigured, when nobody was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tellers:
    """Who can be told, and who hears that we live."""

    tell: Mapping[Channel, Tell]
    ping: Callable[[], Awaitable[None]] | None


@contextlib.asynccontextmanager
async def tellers(settings: Settings, clock: Callable[[], datetime]) -> AsyncIterator[Tellers]:
    """As the settings say. Raises Misconfigured when an address cannot be read."""
    alerts = settings.alerts
    server = replace(smtp_server(settings), timeout_seconds=REPLY_SECONDS_MAX, data_timeout_seconds=DATA_SECONDS_MAX)
    mailer = SmtpMailer(server, connections=1)
    tell: dict[Channel, Tell] = {}
    for channel, recipients in ((Channel.FIRST, alerts.mail_to), (Channel.SECOND, alerts.escalation_mail_to)):
        if recipients:
            tell[channel] = by_mail(settings, mailer, recipients, clock)
    if alerts.webhook_url_file:
        tell[Channel.WEBHOOK] = by_webhook(
            _endpoint("alerts.webhook_url_file", alerts.webhook_url_file, alerts.ca_file)
        )
    ping = alerts.ping_url_file and _endpoint("alerts.ping_url_file", alerts.ping_url_file, alerts.ca_file).ping
    try:
        yield Tellers(tell=tell, ping=ping or None)
    finally:
        await mailer.close()


def _endpoint(name: str, file: Path, ca_file: Path | None) -> Endpoint:
    endpoint = Endpoint(name=name, url=lambda: read_secret(file), tls=tls_context(ca_file))
    endpoint.check()
    return endpoint


def by_webhook(endpoint: Endpoint) -> Tell:
    """One document with all of it."""

    async def tell(message: Message) -> None:
        await endpoint.post(message.document)

    return tell


def by_mail(settings: Settings, mailer: Mailer, recipients: tuple[str, ...], clock: Callable[[], datetime]) -> Tell:
    """A mail to each. It is told when one of them has it: who was told already is not told again for the others."""
    service = settings.service

    async def one(message: Message, recipient: str) -> Sending:
        token = os.urandom(12).hex()
        raw = alert.compose(
            message, name=service.name, address=service.address, recipient=recipient, token=token, at=clock()
        )
        outgoing = Outgoing(
            envelope_from=service.bounce_address, recipient=recipient, audit=None, envelope_id=token, raw=raw
        )
        result = await mailer.send(outgoing, _go_on)
        if result.state is not Sending.SENT:
            reply = result.detail.lower().replace(" ", "-") or None
            event(log, "alert-not-sent", level=logging.WARNING, reply=reply)
        return result.state

    async def tell(message: Message) -> None:
        ends = await asyncio.gather(*(one(message, recipient) for recipient in recipients))
        if Sending.SENT not in ends:
            raise Unavailable("smtp: the alert was not taken")

    return tell


async def _go_on() -> bool:
    return True
