"""Reports that an answer of ours did not arrive: an operator has it sent again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import default
from enum import Enum

from mailflow.mail.ports import Outgoing


class Naming(Enum):
    """By what a report says which mail it is about."""

    ENVELOPE_ID = "Original-Envelope-Id"
    MESSAGE_ID = "the header that is returned"
    VERP = "the address that it goes to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """A report."""

    message_id: str
    """Of our mail."""
    at: datetime
    """When it arrives."""
    raw: bytes = field(repr=False)


def is_answer(raw: bytes) -> bool:
    """Whether a mail of ours is one, by its subject: receipts and what else we send bounce in peace."""
    return "Réponse à votre envoi" in str(BytesHeaderParser(policy=default).parsebytes(raw)["Subject"])


def report(outgoing: Outgoing, message_id: str, naming: Naming, number: int) -> bytes:
    """As a mail server writes it; `number` tells those of one story apart."""
    tag = f"+{outgoing.envelope_id}" if naming is Naming.VERP else ""
    envelope = f"Original-Envelope-Id: {outgoing.envelope_id}\n" if naming is Naming.ENVELOPE_ID else ""
    returned = f"Message-ID: {message_id}\n" if naming is Naming.MESSAGE_ID else "Subject: Demandes\n"
    text = f"""Return-Path: <>
From: MAILER-DAEMON@mx.example
To: bounces{tag}@service.example
Subject: Undelivered Mail
Message-ID: <{number}.bounce@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_report"

--=_report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
{envelope}
Final-Recipient: rfc822; {outgoing.recipient}
Action: failed
Status: 5.1.1

--=_report
Content-Type: text/rfc822-headers

{returned}
--=_report--
"""
    return text.replace("\n", "\r\n").encode()


def findings(bounces: Iterable[Bounced], sent: Iterable[tuple[str, datetime]], aside: set[bytes]) -> Iterator[str]:
    """Nobody answers a report, and what it is about goes out once more. `sent`: Message-IDs of ours, and when."""
    last = dict(sorted(sent, key=lambda one: one[1]))
    for one in bounces:
        if one.message_id in last and last[one.message_id] <= one.at:  # it may be of a decision that has never been
            yield f"{one.message_id} did not arrive, as was reported, and was not sent again"
        if one.raw not in aside:
            yield f"the report on {one.message_id} was not set aside"
