"""Answers as the desks read them: opened with their own keys, `RET` files taken apart by nothing of the service."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lxml import etree

from mailflow.mail.desk import open_answer
from tests.simulation.cast import Cast, Software
from tests.simulation.world import Transfer

NUU = "{http://nuu.application.i2/}"
OURS = "{urn:mailflow:interface:1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was said of one request: its number and state, or the codes of what is wrong with it."""

    number: str | None
    """None when it was refused: then only the number is repeated that was sent."""
    state: str | None
    codes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A `RET` file."""

    name: str
    """Of the file that it answers."""
    digest: str
    """Likewise."""
    octets: bytes = field(repr=False)
    codes: frozenset[str]
    """Of the file as a whole."""
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An answer in the hands of a desk."""

    sender: Software
    message_id: str
    in_reply_to: str
    intake: str
    at: datetime
    decided_at: datetime
    returns: tuple[Return, ...]
    attestations: tuple[bytes, ...] = field(repr=False)
    """What stands for each, with its number (`service.InProcess.typeset`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedReceipt:
    """A technical receipt in the hands of a desk."""

    sender: Software
    message_id: str
    in_reply_to: str
    intake: str
    at: datetime
    digests: frozenset[str]
    """Of the files that came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNotice:
    """What tells a desk of requests that end soon."""

    message_id: str
    ends: frozenset[tuple[str, str]]
    """Numbers, with their last days."""


def read(transfer: Transfer, cast: Cast) -> Opened | OpenedReceipt | OpenedNotice:
    """Raises AnswerRefused, and StopIteration when it went to nobody that we know."""
    sender = next(one for one in cast.senders if one.address == transfer.recipient)
    opened = open_answer(transfer.raw, [sender.decryption_key], [cast.service.der], transfer.at)
    if all(name.startswith("preavis-") for name in opened.files):
        (table,) = opened.files.values()
        rows = [line.split(";") for line in table.decode().splitlines()[1:]]
        return OpenedNotice(message_id=transfer.message_id, ends=frozenset((row[0], row[1]) for row in rows))
    if any(name.startswith("accuse-technique-") for name in opened.files):
        (octets,) = opened.files.values()
        reception = etree.fromstring(octets)
        return OpenedReceipt(
            sender=sender,
            message_id=transfer.message_id,
            in_reply_to=opened.in_reply_to,
            intake=_text(reception, f"{OURS}identifiant"),
            at=transfer.at,
            digests=frozenset(element.text or "" for element in reception.iter(f"{OURS}empreinte")),
        )
    (acknowledgement,) = (octets for name, octets in opened.files.items() if name.startswith("accuse-"))
    receipt = etree.fromstring(acknowledgement)
    return Opened(
        sender=sender,
        message_id=transfer.message_id,
        in_reply_to=opened.in_reply_to,
        intake=_text(receipt, f"{OURS}identifiant"),
        at=transfer.at,
        decided_at=datetime.fromisoformat(_text(receipt, f"{OURS}dateDecision")),
        returns=tuple(_return(octets) for name, octets in _files(opened.files) if name.startswith("RET")),
        attestations=tuple(octets for name, octets in _files(opened.files) if name.startswith("ATT")),
    )


def _files(files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    return sorted(files.items())


def _return(octets: bytes) -> Return:
    root = etree.fromstring(octets)
    return Return(
        name=root.get(f"{OURS}fichier") or "",
        digest=root.get(f"{OURS}empreinte") or "",
        octets=octets,
        codes=_codes(root),
        told=tuple(_told(element) for element in root.findall(f"{NUU}demande")),
    )


def _told(element: etree._Element) -> Told:
    state = element.get(f"{OURS}etat")
    number = element.findtext(f"{NUU}numUnique") if state else None
    return Told(number=number, state=state, codes=_codes(element))


def _codes(element: etree._Element) -> frozenset[str]:
    found = element.findall(f"{NUU}listeAnomalie/{NUU}anomalie")
    return frozenset(code for anomaly in found if (code := anomaly.get("code")) and re.fullmatch(r"CTRL_\w+", code))


def _text(element: etree._Element, name: str) -> str:
    text = element.findtext(name)
    assert text, f"the acknowledgement has no {name}"
    return text
