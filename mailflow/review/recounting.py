"""What a mail should have brought about, read by other means than those that decided it, and held against the record.

The mail is taken apart by Python's `email`, the files are read by expat: none of the code that accepted the mail takes
part. Of a file is read who asks for how many requests, of which number, territory and month. Pure.
"""

import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from xml.parsers import expat

from mailflow.core.numbers import territory_of
from mailflow.core.promises import Promise

REQUEST_FILE = re.compile(r"DEM[0-9A-Z]{5}-[0-9]{12}-[0-9]{6}\.xml")
ZIP_BYTES_MAX = 64 << 20
CREATION, SEPARATION = "CRE", "CRS"

Broken = Iterator[tuple[Promise, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as a file has it, or as it comes back."""

    number: str = ""
    desk: str = ""
    deposited: str = ""
    communes: tuple[str, ...] = ()
    anomalies: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A file, as far as it can be read."""

    operation: str
    requests: tuple[Asked, ...]
    anomalies: int
    """Of the file as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An outcome, as the answer was ordered to tell it."""

    number: str | None
    anomalies: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldFile:
    """A file, likewise."""

    name: str
    digest: str
    record: str | None
    repeated: bool
    anomalies: int
    outcomes: tuple[Told, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An answer as it was ordered."""

    sender: str
    recipient: str
    anomalies: int
    """Of the mail as a whole."""
    files: tuple[ToldFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A number on record, with the request that made it."""

    record: str
    position: int
    """Within the file, from 0."""
    intake: int | None
    desk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is on record of one mail."""

    intake: int
    sender: str | None
    proven: str
    """Whom the evidence names."""
    order: Order | None
    recipients: frozenset[str]
    """To whom its answer goes, or went."""
    address: str
    """Of the sender, for answers, today."""
    is_frozen: bool
    """The answer was composed, so that its `RET` files are what was sent."""
    returned: Mapping[str, bytes] = field(default_factory=dict)
    """`RET` files, by the record of the file that they answer."""
    made: Mapping[str, Made] = field(default_factory=dict)
    """By number, of every number in the answer, and of those that this mail made."""


# Read


def files_in(content: bytes) -> list[tuple[str, bytes]]:
    """The request files in signed content, by name, in the order in which they stand there."""
    found: list[tuple[str, bytes]] = []
    message = message_from_bytes(content, policy=policy.default)
    for part in message.walk():
        if part.is_multipart() or not isinstance(part, EmailMessage):
            continue
        name = part.get_filename() or ""
        octets = part.get_payload(decode=True)
        if not isinstance(octets, bytes):
            continue
        if REQUEST_FILE.fullmatch(name):
            found.append((name, octets))
        elif name.lower().endswith(".zip"):
            found += _unzipped(octets)
    return found


def _unzipped(octets: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            members = [one for one in archive.infolist() if REQUEST_FILE.fullmatch(one.filename)]
            if sum(one.file_size for one in members) > ZIP_BYTES_MAX:
                return []
            return [(one.filename, archive.read(one)) for one in members]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, OSError):
        return []  # a zip that is none was told as such


class _Unreadable(Exception):
    """This file is not for us."""


def read_file(octets: bytes) -> ReadFile | None:
    """None: expat does not read it, so that nothing can be said."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(octets, True)
    except (expat.ExpatError, _Unreadable, LookupError, ValueError):
        return None
    return ReadFile(operation=reader.operation, requests=tuple(reader.requests), anomalies=reader.anomalies)


class _Reader:
    """Remembers where it is, and no more of what it sees than is compared."""

    def __init__(self) -> None:
        self.operation = ""
        self.anomalies = 0
        self.requests: list[Asked] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._now: dict[str, Any] = {}

    def refuse(self, *_: object) -> None:
        raise _Unreadable

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._path.append(name.rpartition(" ")[2])
        self._text = []
        inside = self._path[1:2] == ["demande"]
        match self._path[1:]:
            case ["demande"]:
                self._now = {"communes": (), "anomalies": 0}
            case [*_, "localisationSouhaite", "commune"] if inside:
                self._now["communes"] = (*self._now["communes"], attributes.get("code", ""))
            case ["demande", *_, "listeAnomalie", "anomalie"]:
                self._now["anomalies"] += 1
            case [*_, "listeAnomalie", "anomalie"]:
                self.anomalies += 1

    def text(self, said: str) -> None:
        self._text.append(said)

    def end(self, _name: str) -> None:
        said = "".join(self._text).strip()
        match self._path[1:]:
            case ["entete", "typeFichier"]:
                self.operation = said
            case ["demande", "numUnique"]:
                self._now["number"] = said
            case ["demande", "demandeLogement", "numGuichet"]:
                self._now["desk"] = said
            case ["demande", "demandeLogement", "dateCreationDemande"]:
                self._now["deposited"] = said
            case ["demande"]:
                self.requests.append(Asked(**self._now))
        self._path.pop()
        self._text = []


def read_order(payload: Mapping[str, Any]) -> Order:
    """An order for an answer, as it lies in the outbox. Raises KeyError and TypeError for what is none."""
    return Order(
        sender=payload["context"]["sender"],
        recipient=payload["context"]["recipient"],
        anomalies=len(payload["anomalies"]),
        files=tuple(
            ToldFile(
                name=file["file"]["name"],
                digest=file["file"]["digest"],
                record=file["record"],
                repeated=file["repeated"],
                anomalies=len(file["anomalies"]),
                outcomes=tuple(
                    Told(
                        number=one.get("number"),
                        anomalies=len(one["anomalies"]),
                        replayed=bool(one.get("replayed")),
                    )
                    for one in file["outcomes"]
                ),
            )
            for file in payload["files"]
        ),
    )


# Hold against


def broken(content: bytes, record: Record) -> Broken:
    """Every promise that was not kept with this mail, with what it is about."""
    order = record.order
    if order is None:
        yield Promise.TOLD, "no answer is on record"
        return
    yield from _recipient(record, order)
    came = files_in(content)
    yield from _files(came, order)
    octets = {(name, hashlib.sha256(file).hexdigest()): file for name, file in came}
    for place, told in enumerate(order.files, 1):
        file = octets.get((told.name, told.digest))
        asked = read_file(file) if file is not None else None
        if asked is not None:
            yield from _outcomes(place, asked, told)
        for position, outcome in enumerate(told.outcomes):
            where = f"file {place}, request {position + 1}"
            request = asked.requests[position] if asked and position < len(asked.requests) else None
            if outcome.number and asked and request:
                yield from _follows(where, asked.operation, request, outcome.number)
            if outcome.number:
                yield from _one(where, asked, told, position, outcome, record)
        yield from _returned(place, told, record)
    yield from _told(order, record)


def _recipient(record: Record, order: Order) -> Broken:
    if not record.sender == record.proven == order.sender:
        yield Promise.RECIPIENT, "the answer was ordered for another sender than the proven one"
    if record.recipients - {order.recipient, record.address}:
        yield Promise.RECIPIENT, "an answer goes to another address than the sender's"


def _files(came: Sequence[tuple[str, bytes]], order: Order) -> Broken:
    brought = Counter((name, hashlib.sha256(octets).hexdigest()) for name, octets in came)
    told = Counter((one.name, one.digest) for one in order.files if REQUEST_FILE.fullmatch(one.name))
    if told - brought:
        yield Promise.FILES, f"{(told - brought).total()} files that did not come were answered"
    # What is wrong with the mail as a whole is said of all that is missing.
    if brought - told and not order.anomalies:
        yield Promise.FILES, f"{(brought - told).total()} files that came were not answered"


def _outcomes(place: int, asked: ReadFile, told: ToldFile) -> Broken:
    refused_whole = not told.outcomes and told.anomalies
    if len(told.outcomes) != len(asked.requests) and not refused_whole:
        yield Promise.OUTCOMES, f"file {place}: {len(asked.requests)} requests, {len(told.outcomes)} outcomes"
    for position, one in enumerate(told.outcomes, 1):
        if not one.number and not one.anomalies and not told.anomalies:
            yield Promise.OUTCOMES, f"file {place}, request {position}: neither a number nor why there is none"


def _follows(where: str, operation: str, asked: Asked, number: str) -> Broken:
    if operation not in (CREATION, SEPARATION):
        if asked.number != number:
            yield Promise.FOLLOWS, f"{where}: another number than the file names"
        return
    territories = {territory_of(commune) for commune in asked.communes}
    if territories != {number[:3]} or number[13:] != asked.desk:
        yield Promise.FOLLOWS, f"{where}: of another territory or desk"
    if operation == CREATION and number[3:7] != asked.deposited[5:7] + asked.deposited[2:4]:
        yield Promise.FOLLOWS, f"{where}: of another month"


def _one(where: str, asked: ReadFile | None, told: ToldFile, position: int, one: Told, record: Record) -> Broken:
    assert one.number is not None
    made = record.made.get(one.number)
    if made is None:
        yield Promise.ONE, f"{where}: the number is not on record"
        return
    if asked is None or asked.operation not in (CREATION, SEPARATION):
        return
    if told.repeated or one.replayed:
        if made.desk != one.number[13:]:
            yield Promise.ONE, f"{where}: the number was made for another desk"
    elif (made.record, made.position, made.intake) != (told.record, position, record.intake):
        yield Promise.ONE, f"{where}: the number was made by another request"


def _returned(place: int, told: ToldFile, record: Record) -> Broken:
    if told.record is None or not record.is_frozen:
        return
    octets = record.returned.get(told.record)
    back = read_file(octets) if octets is not None else None
    if back is None or len(back.requests) != len(told.outcomes):
        yield Promise.RETURNED, f"file {place}: the RET file is missing, or has not each request"
        return
    for position, (one, said) in enumerate(zip(told.outcomes, back.requests, strict=True), 1):
        if one.number and one.number != said.number:
            yield Promise.RETURNED, f"file {place}, request {position}: another number"
        if not one.number and not (said.anomalies or back.anomalies):
            yield Promise.RETURNED, f"file {place}, request {position}: not why it was refused"


def _told(order: Order, record: Record) -> Broken:
    told = {one.number for file in order.files for one in file.outcomes}
    unsaid = [number for number, made in record.made.items() if made.intake == record.intake and number not in told]
    if unsaid:
        yield Promise.TOLD, f"{len(unsaid)} numbers of this mail are not in its answer"
