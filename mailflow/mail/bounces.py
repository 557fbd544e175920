"""What must never be answered: bounces, automatic replies, bulk mail, our own mails come back, loops.

Asked only of mails that no enrolled sender signed: a valid signature decides first.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from mailflow.core.anomalies import Code
from mailflow.mail.fields import usable_message_id
from mailflow.mail.mime import Entity, MimeError, from_address, message_id

HOPS_MAX = 30
"""Received fields of a mail that is not looping; RFC 5321 section 6.3 wants a limit, MTAs have 30 to 100."""
SCANNED_BYTES_MAX = 64 * 1024
"""Of a report, and of a header returned in one, that is looked at."""
RECIPIENTS_MAX = 100
"""Recipients of a report that are told."""

_DELIVERY_PARTS = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_PARTS = ("text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers")
_ENVELOPE_FIELDS = ("to", "delivered-to", "x-original-to", "envelope-to")
_VERP = re.compile(r"\+([0-9a-f]{40})@", re.IGNORECASE)
_ENVELOPE_ID = re.compile(r"^original-envelope-id[ \t]*:[ \t]*([!-~]{1,100})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_ACTION = re.compile(r"^action[ \t]*:[ \t]*(failed|delayed|delivered|relayed|expanded)\b", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"^status[ \t]*:[ \t]*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b", re.IGNORECASE | re.MULTILINE)
_ADDRESS = r"[ \t]*:[^;\r\n]*;[ \t]*(?:\r?\n[ \t]+)?<?([^\s<>;]{1,320})"
_ORIGINAL_RECIPIENT = re.compile(r"^original-recipient" + _ADDRESS, re.IGNORECASE | re.MULTILINE)
_FINAL_RECIPIENT = re.compile(r"^final-recipient" + _ADDRESS, re.IGNORECASE | re.MULTILINE)
_BLOCK_END = re.compile(r"\n[ \t]*\r?\n")
_MESSAGE_ID = re.compile(r"^message-id[ \t]*:[ \t]*(?:\r?\n[ \t]+)?(<[!-~]{3,250}>)", re.IGNORECASE | re.MULTILINE)
# No run after + or - goes past a place where the next one may begin: a header of nothing else costs linear time.
_DAEMON = re.compile(r"\bmailer-daemon\b|(?:^|[<\s])(?:postmaster|bounces?)(?:[+-][^@<\s]*+)?@", re.IGNORECASE)
_ROBOT = re.compile(r"(?:^|[<\s])(?:no-?reply|do-?not-?reply|ne-?pas-?repondre)(?:[+-][^@<\s]*+)?@", re.IGNORECASE)
_AUTOMATIC_FIELDS = (
    "x-autoreply",
    "x-autorespond",
    "x-mail-autoreply",
    "x-auto-response-suppress",
    "x-ms-exchange-inbox-rules-loop",
    "x-loop",
)
_BULK_FIELDS = ("list-id", "list-unsubscribe", "list-post", "feedback-id")


class Key(StrEnum):
    """By what a bounce names the mail of ours that it is about."""

    ENVELOPE_ID = "envelope-id"
    MESSAGE_ID = "message-id"
    VERP = "verp"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What became of one recipient (RFC 3464 section 2.3). Address and diagnostic text are left behind."""

    action: str
    """failed, delayed, delivered, relayed or expanded."""
    status: str
    """Enhanced status code (RFC 3463); empty when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A report of delivery, as far as it could be read. All of it is claimed by whoever wrote the mail."""

    envelope_id: str = ""
    """Original-Envelope-Id, which we gave as ENVID."""
    message_id: str = ""
    """Message-ID in the returned header, with its brackets."""
    verp: str = ""
    """The envelope identifier again, from the address (`…+<identifier>@…`) that the report was sent to."""
    recipients: tuple[RecipientReport, ...] | None = None
    """Those beside mailboxes of ours, so none when only the copy for audit is told of. None when nothing is said that a
    program could read; it is then to be taken as a failure."""

    @property
    def failed(self) -> bool:
        """Whether a mail did not arrive for good, as against being late or a confirmation."""
        return self.recipients is None or any(recipient.action == "failed" for recipient in self.recipients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """A mail that nobody is to answer."""

    code: Code
    detail: str
    """The mark that it was known by, never its content."""
    bounce: Bounce | None = None
    """With `MAIL_IS_BOUNCE` only."""


def classify(
    entity: Entity, *, own_addresses: Collection[str], own_message_id: Callable[[str], bool]
) -> Automatic | None:
    """Say what kind of automatic mail this is; None for what a person or a desk's software may have sent.

    `own_addresses` are in lower case, that of the audit mailbox among them; `own_message_id` tells whether a Message-ID
    is ours. Never raises.
    Sources: RFC 3464 (reports), RFC 3834 (automatic replies), RFC 2919 and 2369 (lists).
    """
    return (
        _as_bounce(entity, own_addresses)
        or _as_loop(entity, own_addresses, own_message_id)
        or _as_automatic(entity)
        or _as_bulk(entity)
    )


def bounced(bounce: Bounce) -> tuple[tuple[Key, str], ...]:
    """The keys to find our mail by, most reliable first: the first that is known in the outbox is the mail."""
    keys = (
        (Key.ENVELOPE_ID, bounce.envelope_id),
        (Key.MESSAGE_ID, bounce.message_id),
        (Key.VERP, bounce.verp),
    )
    return tuple((key, value) for key, value in keys if value)


def _as_bounce(entity: Entity, own_addresses: Collection[str]) -> Automatic | None:
    if entity.content_type == "multipart/report":
        parts = _parts(entity)
        if _report_type(entity) not in ("delivery-status", "global-delivery-status") and not any(
            part.content_type in _DELIVERY_PARTS for part in parts
        ):
            return None
        mark = "delivery status report"
    else:
        if entity.value("x-failed-recipients"):
            mark = "X-Failed-Recipients"
        elif any(_DAEMON.search(value) for value in entity.values("from")) and not _is_mere_reply(entity):
            mark = "From a mail daemon"
        else:
            return None
        parts = (entity, *_parts(entity))  # OpenSMTPD has a delivery status in a multipart/mixed
    bounce = _reported(entity, parts, own_addresses)
    if bounce.recipients == ():
        mark += " on a mailbox of ours"
    return Automatic(code=Code.MAIL_IS_BOUNCE, detail=mark, bounce=bounce)


def _is_mere_reply(entity: Entity) -> bool:
    """Whether a mail says that it is an automatic reply (RFC 3834 section 5) and returns no header of another mail.

    Such are the warnings of older Exim that a mail is late, and what a postmaster's mailbox acknowledges. Bounces may
    call themselves replies too, but have X-Failed-Recipients or return what did not arrive. Where it was sent to tells
    nothing: replies go to the envelope sender as well (section 4).
    """
    return _auto_submitted(entity).startswith("auto-replied") and not _MESSAGE_ID.search(_text(entity))


def _as_loop(entity: Entity, own_addresses: Collection[str], own_message_id: Callable[[str], bool]) -> Automatic | None:
    found = message_id(entity)
    if found and own_message_id(found):
        return Automatic(code=Code.MAIL_IS_OUR_OWN, detail="Message-ID of ours")
    try:
        if from_address(entity) in own_addresses:
            return Automatic(code=Code.MAIL_IS_OUR_OWN, detail="From address of ours")
    except MimeError:
        pass  # an ambiguous From is somebody else's finding
    if len(entity.values("received")) > HOPS_MAX:
        return Automatic(code=Code.MAIL_LOOPS, detail=f"more than {HOPS_MAX} hops")
    return None


def _as_automatic(entity: Entity) -> Automatic | None:
    if entity.content_type == "multipart/report":
        mark = "report"
    elif _auto_submitted(entity) not in ("", "no"):
        mark = "Auto-Submitted"
    elif any(value.replace(" ", "") == "<>" for value in entity.values("return-path")):
        mark = "null sender"
    elif entity.value("precedence").lower() == "auto_reply":
        mark = "Precedence"
    elif found := next((name for name in _AUTOMATIC_FIELDS if entity.values(name)), None):
        mark = found
    elif any(_ROBOT.search(value) for value in entity.values("from")):
        mark = "From an address that takes no replies"
    else:
        return None
    return Automatic(code=Code.MAIL_IS_AUTOMATIC, detail=mark)


def _as_bulk(entity: Entity) -> Automatic | None:
    if entity.value("precedence").lower() in ("bulk", "junk", "list"):
        return Automatic(code=Code.MAIL_IS_BULK, detail="Precedence")
    found = next((name for name in _BULK_FIELDS if entity.values(name)), None)
    return Automatic(code=Code.MAIL_IS_BULK, detail=found) if found else None


def _auto_submitted(entity: Entity) -> str:
    return entity.value("auto-submitted").partition(";")[0].strip().lower()


def _report_type(entity: Entity) -> str:
    try:
        return entity.parameter("report-type").lower()
    except MimeError:
        return ""


def _parts(entity: Entity) -> tuple[Entity, ...]:
    """The parts of a report; none when it is cut off or otherwise broken, which makes it no less a report."""
    try:
        return entity.parts
    except MimeError:
        return ()


def _reported(entity: Entity, parts: tuple[Entity, ...], own_addresses: Collection[str]) -> Bounce:
    """All that a report says, in the places where Postfix, Exim, Exchange and Gmail were seen to say it."""
    status = "\n\n".join(_text(part) for part in parts if part.content_type in _DELIVERY_PARTS)
    returned = "\n\n".join(_text(part) for part in parts if part.content_type in _RETURNED_PARTS or part is entity)
    envelope_id = _ENVELOPE_ID.search(status)
    original = _MESSAGE_ID.search(returned)
    verp = next(
        (found for name in _ENVELOPE_FIELDS for found in map(_VERP.search, entity.values(name)) if found),
        None,
    )
    told = _told(status) or _told_by_header(entity)
    others = tuple(report for address, report in told if address not in own_addresses)
    return Bounce(
        envelope_id=envelope_id[1] if envelope_id else "",
        # Exchange and newer Exim name our mail in a header of their own even when they return nothing of it.
        message_id=usable_message_id(original[1] if original else entity.value("in-reply-to")),
        verp=verp[1].lower() if verp else "",
        recipients=others[:RECIPIENTS_MAX] if told else None,
    )


def _told(status: str) -> list[tuple[str, RecipientReport]]:
    """Each recipient of a delivery status as we had named it, which is the final one where no other is given."""
    told = []
    for block in _BLOCK_END.split(status):
        if action := _ACTION.search(block):
            code = _STATUS.search(block)
            address = _ORIGINAL_RECIPIENT.search(block) or _FINAL_RECIPIENT.search(block)
            report = RecipientReport(action=action[1].lower(), status=code[1] if code else "")
            told.append((address[1].lower() if address else "", report))
    return told


def _told_by_header(entity: Entity) -> list[tuple[str, RecipientReport]]:
    """The same by X-Failed-Recipients, the addresses of which Exim and Gmail part by commas."""
    addresses = ",".join(entity.values("x-failed-recipients")).lower().split(",")
    failed = RecipientReport(action="failed", status="")
    return [(address.strip(), failed) for address in addresses if address.strip()]


def _text(part: Entity) -> str:
    """The beginning of a part as text, decoded where that is possible."""
    try:
        octets = part.decoded(len(part.raw))
    except MimeError:
        octets = part.body
    return octets[:SCANNED_BYTES_MAX].decode("utf-8", "replace")
