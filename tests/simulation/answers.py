"""Answers as the desks read them: opened with their own keys, `RET` files taken apart by nothing of the service."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import AnswerRefused, OpenedAnswer, open_answer
from tests.simulation.cast import Cast, Software, the_cast
from tests.simulation.world import Transfer

NUU = "{http://nuu.application.i2/}"
OURS = "{urn:mailflow:interface:1}"
HINTS = {Code.REQUEST_MAY_EXIST.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was said of one request: its number and state, or the codes of what is wrong with it."""

    number: str | None
    """None when it was refused: then only the number is repeated that was sent."""
    state: str | None
    codes: frozenset[str]
    """But of what is only a hint."""
    hinted: bool
    """Whether it may be the request of somebody who has one: whoever may consult is told so."""


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
class Stand:
    """How one request stands, or the codes of what was wrong with it."""

    number: str | None
    state: str | None
    expires_on: date | None
    operation: str | None
    codes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was said to one question."""

    situation: str | None
    digest: str | None
    stands: tuple[Stand, ...]
    codes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An `RGE` file."""

    name: str
    """Of the file that it answers, and its digest."""
    digest: str
    answers: tuple[Answered, ...]


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
    statuses: tuple[Status, ...]
    to_next: bool
    """Whether it was encrypted to the next certificate."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSuccession:
    """What tells a sender of a certificate that was offered in its name."""

    sender: Software
    message_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDispatch:
    """What tells a desk of what others did."""

    sender: Software
    message_id: str
    desk: str
    sequence: int
    at: datetime
    octets: bytes = field(repr=False)
    numbers: tuple[str, ...]


AnyOpened = Opened | OpenedReceipt | OpenedNotice | OpenedSuccession | OpenedDispatch


def read(transfer: Transfer, cast: Cast) -> AnyOpened:
    """Raises AnswerRefused, and StopIteration when it went to nobody that we know."""
    sender = next(one for one in cast.senders if one.address == transfer.recipient)
    try:
        opened, to_next = _open(transfer, sender.next_decryption_key), True
    except AnswerRefused:
        opened, to_next = _open(transfer, sender.decryption_key), False
    if not opened.files:
        return OpenedSuccession(sender=sender, message_id=transfer.message_id, text=opened.text)
    if all(name.startswith("preavis-") for name in opened.files):
        (table,) = opened.files.values()
        rows = [line.split(";") for line in table.decode().splitlines()[1:]]
        return OpenedNotice(message_id=transfer.message_id, ends=frozenset((row[0], row[1]) for row in rows))
    if any(name.startswith("DIS") for name in opened.files):
        return _dispatch(opened.files, sender, transfer)
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
        statuses=tuple(_status(octets) for name, octets in _files(opened.files) if name.startswith("RGE")),
        to_next=to_next,
        attestations=tuple(octets for name, octets in _files(opened.files) if name.startswith("ATT")),
    )


def _open(transfer: Transfer, key: DecryptionKey) -> OpenedAnswer:
    return open_answer(transfer.raw, [key], [the_cast().service.der], transfer.at)


def _dispatch(files: Mapping[str, bytes], sender: Software, transfer: Transfer) -> OpenedDispatch:
    ((name, octets),) = files.items()
    elements = etree.fromstring(octets).findall(f"{NUU}demande")
    return OpenedDispatch(
        sender=sender,
        message_id=transfer.message_id,
        desk=name[3:8],
        sequence=int(name.removesuffix(".xml").rpartition("-")[2]),
        at=transfer.at,
        octets=octets,
        numbers=tuple(_text(element, f"{NUU}numUnique") for element in elements),
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
    codes = _codes(element)
    return Told(number=number, state=state, codes=codes - HINTS, hinted=bool(codes & HINTS))


def _status(octets: bytes) -> Status:
    root = etree.fromstring(octets)
    return Status(
        name=root.get(f"{OURS}fichier") or "",
        digest=root.get(f"{OURS}empreinte") or "",
        answers=tuple(
            _answered(element) for element in root.iterfind(f"{OURS}listeQuestion/{OURS}question/{OURS}reponse")
        ),
    )


def _answered(element: etree._Element) -> Answered:
    return Answered(
        situation=element.findtext(f"{OURS}situation"),
        digest=element.findtext(f"{OURS}empreinte"),
        stands=tuple(_stand(one) for one in element.iterfind(f"{OURS}listeDemande/{OURS}demande")),
        codes=_codes(element, OURS),
    )


def _stand(element: etree._Element) -> Stand:
    last = element.findtext(f"{OURS}echeance")
    return Stand(
        number=element.findtext(f"{OURS}numUnique"),
        state=element.findtext(f"{OURS}etat"),
        expires_on=date.fromisoformat(last) if last else None,
        operation=element.findtext(f"{OURS}derniereOperation"),
        codes=_codes(element, OURS) - HINTS,
    )


def _codes(element: etree._Element, of: str = NUU) -> frozenset[str]:
    found = element.findall(f"{of}listeAnomalie/{of}anomalie")
    return frozenset(code for anomaly in found if (code := anomaly.get("code")) and re.fullmatch(r"CTRL_\w+", code))


def _text(element: etree._Element, name: str) -> str:
    text = element.findtext(name)
    assert text, f"the acknowledgement has no {name}"
    return text
