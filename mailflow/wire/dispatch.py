"""The `DIS` file: what became of requests by the acts of others. Written by the service, read by a desk's software."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mailflow.core.calendar import PARIS
from mailflow.core.form import HousingRequest, digest_of
from mailflow.core.life import Life
from mailflow.core.model import Environment, Operation, RequestState
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.core.order import Deregistration
from mailflow.errors import MailflowError
from mailflow.wire.codec import NUU, read, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.names import FileName, FileNameError, Kind, parse_name
from mailflow.wire.writer import STATES
from mailflow.wire.xml import XmlLimits, XmlRefused, parse

SEQUENCES = 1_000_000
"""Six digits: past them the numbers of a desk's dispatches begin again, under another minute."""
_LIMITS = XmlLimits(bytes_max=64 << 20, nodes_max=2_000_000)


class NotOfTheService(MailflowError, ValueError):
    """The document is no `RET` or `DIS` file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """A request as it stands when it is told."""

    number: UniqueNumber
    life: Life
    revision: int
    """The number of its changes, whoever made them: what is higher is newer, and true."""
    changed_at: datetime
    """Of the last of them."""
    operation: Operation
    """The last one that the desk has no other way to learn of."""
    actor: DeskCode | None
    """The desk that did it; None: the service itself."""
    form: HousingRequest | None
    """What it says; None for one that is not active, and once its content was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a `RET` or `DIS` file says of one request, for whoever keeps a copy of the register's state."""

    environment: str
    """`production` or `ecole`: of which register it speaks."""
    number: str
    state: str
    """`active`, `radiee` or `supprimee`."""
    expires_on: date | None
    revision: int
    """Of two that say something of one request the higher is true."""
    form: HousingRequest | None


def dispatch_name(desk: DeskCode, number: int, at: datetime) -> str:
    """`DIS<desk>-<minute>-<number>.xml`; numbers are counted for each desk, without holes."""
    minute = at.astimezone(PARIS).strftime("%Y%m%d%H%M")
    return str(FileName(kind=Kind.DISPATCH, desk=desk, minute=minute, sequence=f"{number % SEQUENCES:06}"))


def write_dispatch(dispatched: Sequence[Dispatched], *, environment: Environment, at: datetime) -> bytes:
    """The `DIS` document; valid against the published schema."""
    document = InterfaceFile(
        version=VERSIONS[-1],
        environment=environment,
        header=Header(file_type=Operation.DISPATCH, dated_at=_second(at)),
        requests=tuple(map(_element, dispatched)),
    )
    return to_bytes(write(document, ROOT, NUU))


def _element(told: Dispatched) -> RequestElement:
    life = told.life
    return RequestElement(
        state=STATES[life.state],
        expires_on=life.expires_on if life.state is RequestState.ACTIVE else None,
        revision=told.revision,
        changed_at=_second(told.changed_at),
        operation=told.operation,
        actor=told.actor,
        number=told.number,
        form=told.form,
        deregistration=Deregistration(motive=life.motive) if life.motive else None,
    )


def _second(at: datetime) -> datetime:
    return at.astimezone(PARIS).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedCreations:
    """What a `RET` file says of the requests that a file of a desk created."""

    desk: str
    digest: str
    """SHA-256 (hex) of the file that it answers."""
    numbers: tuple[tuple[int, str], ...]
    """By the position of the request in that file."""
    repeatable: tuple[tuple[str, str, str], ...]
    """Of those with a reference of the desk: it, the digest of what they ask for (`form.digest_of`), the number."""
    named: tuple[str, ...]
    """Of other requests: what was done to them, or anomalies name them."""


def read_creations(content: bytes) -> ReturnedCreations:
    """Which numbers a `RET` file gives. Raises NotOfTheService."""
    document = _document(content)
    if not document.answered_digest or not document.answered_file:
        raise NotOfTheService("the document is no RET file")
    try:
        desk = parse_name(document.answered_file).desk
    except FileNameError:
        raise NotOfTheService("the document answers no file of the interface") from None
    created = [(n, one, one.number) for n, one in enumerate(document.requests) if one.number and one.revision == 1]
    return ReturnedCreations(
        desk=desk,
        digest=document.answered_digest,
        numbers=tuple((position, number) for position, _, number in created),
        repeatable=tuple(
            (one.reference, digest_of(one.form), number) for _, one, number in created if one.reference and one.form
        ),
        named=(
            # Of a refused change the number is what the desk has written, which may be any.
            *(one.number for one in document.requests if one.number and one.revision and one.revision > 1),
            *(one.number for element in document.requests for one in element.anomalies if one.number),
        ),
    )


def _document(content: bytes) -> InterfaceFile:
    try:
        root = parse(content, _LIMITS)
    except XmlRefused:
        raise NotOfTheService("the document cannot be read") from None
    if root.tag != f"{{{NUU}}}{ROOT}":
        raise NotOfTheService("the document is none of the interface")
    document, _ = read(root, InterfaceFile, f"/{ROOT}")
    header = document.header
    if header is None or header.file_type not in (Operation.RETURN, Operation.DISPATCH):
        raise NotOfTheService("the document is no RET or DIS file")
    return document


def read_told(content: bytes) -> tuple[Told, ...]:
    """What a `RET` or `DIS` file of the service says of requests; refused ones say nothing. Raises NotOfTheService."""
    document = _document(content)
    return tuple(
        Told(
            environment=document.environment or "",
            number=element.number,
            state=element.state,
            expires_on=element.expires_on,
            revision=element.revision,
            form=element.form,
        )
        for element in document.requests
        if element.number and element.state and element.revision
    )
