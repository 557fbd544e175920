"""Answers as the desks read them: opened with their own keys, `RET` files taken apart by nothing of the service."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import product
from typing import TypedDict

from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.mail.desk import AnswerRefused, OpenedAnswer, open_answer
from tests.simulation.cast import Cast, Software
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
class OpenedMail:
    """What the service sent, in the hands of a desk."""

    sender: Software
    """Whose software has it."""
    message_id: str
    at: datetime
    """When it left."""
    signed_by_next: bool
    """By the service's next key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(OpenedMail):
    """An answer."""

    in_reply_to: str
    intake: str
    decided_at: datetime
    returns: tuple[Return, ...]
    statuses: tuple[Status, ...]
    to_next: bool
    """Whether it was encrypted to the next certificate."""
    attestations: tuple[bytes, ...] = field(repr=False)
    """What stands for each, with its number (`service.InProcess.typeset`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedReceipt(OpenedMail):
    """A technical receipt."""

    in_reply_to: str
    intake: str
    digests: frozenset[str]
    """Of the files that came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNotice(OpenedMail):
    """What tells a desk of requests that end soon."""

    ends: frozenset[tuple[str, str]]
    """Numbers, with their last days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSuccession(OpenedMail):
    """What tells a sender of a certificate that was offered in its name."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDispatch(OpenedMail):
    """What tells a desk of what others did."""

    desk: str
    sequence: int
    octets: bytes = field(repr=False)
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedServiceCertificate(OpenedMail):
    """What tells a sender of the service's next key."""

    use: str


class _About(TypedDict):
    """As in `OpenedMail`."""

    sender: Software
    message_id: str
    at: datetime
    signed_by_next: bool


AnyOpened = Opened | OpenedReceipt | OpenedNotice | OpenedSuccession | OpenedDispatch | OpenedServiceCertificate


def read(transfer: Transfer, cast: Cast) -> AnyOpened:
    """Raises AnswerRefused, and StopIteration when it went to nobody that we know."""
    sender = next(one for one in cast.senders if one.address == transfer.recipient)
    opened, to_next, signed_by_next = _open(transfer, sender, cast)
    about: _About = {
        "sender": sender,
        "message_id": transfer.message_id,
        "at": transfer.at,
        "signed_by_next": signed_by_next,
    }
    if not opened.files:
        return OpenedSuccession(text=opened.text, **about)
    if all(name.startswith("preavis-") for name in opened.files):
        (table,) = opened.files.values()
        rows = [line.split(";") for line in table.decode().splitlines()[1:]]
        return OpenedNotice(ends=frozenset((row[0], row[1]) for row in rows), **about)
    if any(name.startswith("DIS") for name in opened.files):
        return _dispatch(opened.files, about)
    if any(name.startswith("certificat-") for name in opened.files):
        ((name, _),) = opened.files.items()
        return OpenedServiceCertificate(use=name.split("-")[1], **about)
    if any(name.startswith("accuse-technique-") for name in opened.files):
        (octets,) = opened.files.values()
        reception = etree.fromstring(octets)
        return OpenedReceipt(
            in_reply_to=opened.in_reply_to,
            intake=_text(reception, f"{OURS}identifiant"),
            digests=frozenset(element.text or "" for element in reception.iter(f"{OURS}empreinte")),
            **about,
        )
    (acknowledgement,) = (octets for name, octets in opened.files.items() if name.startswith("accuse-"))
    receipt = etree.fromstring(acknowledgement)
    return Opened(
        in_reply_to=opened.in_reply_to,
        intake=_text(receipt, f"{OURS}identifiant"),
        decided_at=datetime.fromisoformat(_text(receipt, f"{OURS}dateDecision")),
        returns=tuple(_return(octets) for name, octets in _files(opened.files) if name.startswith("RET")),
        statuses=tuple(_status(octets) for name, octets in _files(opened.files) if name.startswith("RGE")),
        to_next=to_next,
        attestations=tuple(octets for name, octets in _files(opened.files) if name.startswith("ATT")),
        **about,
    )


def _open(transfer: Transfer, sender: Software, cast: Cast) -> tuple[OpenedAnswer, bool, bool]:
    """Also whether it is encrypted to the sender's next certificate, and signed by the service's next key."""
    keys = ((sender.decryption_key, False), (sender.next_decryption_key, True))
    services = ((cast.service, False), (cast.service_next, True))
    for (key, to_next), (service, by_next) in product(keys, services):
        with contextlib.suppress(AnswerRefused):
            return open_answer(transfer.raw, [key], [service.der], transfer.at), to_next, by_next
    raise AnswerRefused("neither certificate of the service proves it, or neither key opens it")


def _dispatch(files: Mapping[str, bytes], about: _About) -> OpenedDispatch:
    ((name, octets),) = files.items()
    elements = etree.fromstring(octets).findall(f"{NUU}demande")
    return OpenedDispatch(
        desk=name[3:8],
        sequence=int(name.removesuffix(".xml").rpartition("-")[2]),
        octets=octets,
        numbers=tuple(_text(element, f"{NUU}numUnique") for element in elements),
        **about,
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
