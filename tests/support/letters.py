"""Request mails with what must come of them, and the oracle: what was sent decides, never what the register says."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email import message_from_bytes
from enum import Enum
from functools import cache
from itertools import islice
from typing import Any

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE, DeskSoftware, Installation, decryption_key
from mailflow.demo.story import LEFEBVRE, LILLE, MARTIN, NGUYEN, OSEI, PARIS_11, PEREIRA, ROUBAIX
from mailflow.mail import entities
from mailflow.mail.audit import body_digest
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import open_answer
from mailflow.wire.names import return_name
from mailflow.wire.xml import XmlLimits, parse
from tests.support.mail_world import (
    AUDIT_USER,
    MAIL_BYTES_MAX,
    PROCESSED,
    QUARANTINE,
    MailWorld,
)

PLACES = {"059": (LILLE, ROUBAIX), "111": (PARIS_11,)}
LARGE = MAIL_BYTES_MAX + 1_000


class Fate(Enum):
    """What must become of a file."""

    NUMBER = "number"
    REFUSED = "refused"
    RIVAL = "rival"
    """A number, or a refusal: of all files about the same persons in a territory exactly one has a number."""


@dataclass(frozen=True, kw_only=True)
class RequestFile:
    """One file with one request."""

    name: str
    octets: bytes = field(repr=False)
    fate: Fate
    about: str
    """Territory and applicant."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail to the service. Without files nobody may be answered."""

    what: str
    software: DeskSoftware
    message_id: str
    raw: bytes = field(repr=False)
    files: tuple[RequestFile, ...]

    @property
    def is_too_large(self) -> bool:
        return len(self.raw) > MAIL_BYTES_MAX


class Writer:
    """Writes letters of the desks, all made at the same time."""

    def __init__(self, installation: Installation, at: datetime) -> None:
        self._installation = installation
        self._at = at
        self._count = 0

    def file(
        self, software: DeskSoftware, applicant: Person, *, fate: Fate = Fate.NUMBER, co_applicant: Person | None = None
    ) -> RequestFile:
        """A request to be registered; one that is to be refused has its deposit in the future."""
        form: dict[str, Any] = request_form(
            applicant,
            desk=software.desk,
            deposited_on=legal_day(self._at) + timedelta(days=40 * (fate is Fate.REFUSED)),
            municipalities=PLACES[software.territory],
            co_applicant=co_applicant,
        )
        self._count += 1
        return RequestFile(
            name=file_name(software.desk, self._at, self._count),
            octets=request_file([form], made_at=self._at),
            fate=fate,
            about=f"{software.territory} {applicant.surname} {applicant.first_name}",
        )

    def letter(self, what: str, software: DeskSoftware, *files: RequestFile, **form: bool) -> Letter:
        """A signed mail with these files; `form` as `Installation.request` takes it."""
        message_id = self._message_id()
        contents = [(file.name, file.octets) for file in files]
        raw = self._installation.request(software, contents, message_id=message_id, at=self._at, **form)
        return Letter(what=what, software=software, message_id=message_id, raw=raw, files=files)

    def unsigned(self, what: str, software: DeskSoftware, text: str) -> Letter:
        """A mail that proves nothing."""
        message_id = self._message_id()
        headers = [("From", software.address), ("To", SERVICE), ("Subject", "Demandes"), ("Message-ID", message_id)]
        raw = entities.mail(headers, entities.text_part(text))
        return Letter(what=what, software=software, message_id=message_id, raw=raw, files=())

    def _message_id(self) -> str:
        self._count += 1
        return f"<{self._count}.{self._at:%H%M%S}@desks.example>"


def a_batch(writer: Writer, software: Sequence[DeskSoftware]) -> list[Letter]:
    """One of each: good ones, a refused one, two files in one, a rival, a repeat, one unsigned, one too large."""
    lille, region, editor = software
    couple = writer.file(lille, LEFEBVRE, co_applicant=PEREIRA)
    martin = writer.letter("one person", lille, writer.file(lille, MARTIN, fate=Fate.RIVAL))
    return [
        martin,
        writer.letter("a couple", lille, couple, opaque=True),
        writer.letter("two files", region, writer.file(region, NGUYEN), writer.file(region, OSEI)),
        writer.letter("refused", editor, writer.file(editor, OSEI, fate=Fate.REFUSED), encrypted=False),
        writer.letter("rival", editor, writer.file(editor, MARTIN, fate=Fate.RIVAL)),
        writer.unsigned("unsigned", lille, "Bonjour"),
        writer.unsigned("too large", lille, "Bonjour\r\n" * (LARGE // 9)),
        martin,
    ]


def many(writer: Writer, software: Sequence[DeskSoftware], count: int) -> list[Letter]:
    """`count` mails: every tenth is the same file again, every tenth a person whom another desk sends too."""
    return list(islice(without_end(writer, software), count))


def without_end(writer: Writer, software: Sequence[DeskSoftware]) -> Iterator[Letter]:
    """Such mails, one after the other."""
    lille, region, editor = software
    last: Letter | None = None
    for number in itertools.count():
        match number % 10:
            case 3 | 4:
                desk = lille if number % 10 == 3 else editor
                rival = writer.file(desk, _person("Rival", number // 10), fate=Fate.RIVAL)
                last = writer.letter("rival", desk, rival)
            case 7:
                assert last is not None
                last = writer.letter("the same file", last.software, *last.files)
            case 8:
                pass
            case rest:
                desk = (lille, region, editor)[rest % 3]
                last = writer.letter("one person", desk, writer.file(desk, _person("Essai", number)))
        assert last is not None
        yield last


def _person(name: str, number: int) -> Person:
    """Another for every number, and not alike."""
    letters = ""
    while number or len(letters) < NAME_LETTERS:
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return Person(surname=name + letters, first_name="Ève", born_on=BORN)


NAME_LETTERS = 2
BORN = date(1988, 4, 2)


# The oracle


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in a desk's mailbox."""

    message_id: str
    digest: str
    in_reply_to: str
    files: dict[str, bytes]


def verdict(
    world: MailWorld, letters: Sequence[Letter], at: datetime, *, restored: bool = False, late: bool = False
) -> list[str]:
    """What is wrong, in sentences; nothing when every letter came to exactly its end.

    A second identical copy of an answer is told as well. `restored`: the register has been, so desks may have answers
    once more; all of them have to tell the same, and nothing else is excused. `late`: answers are, so that one
    technical receipt may have gone before each.
    """
    wrong: list[str] = []
    returns: dict[str, set[bytes]] = {}
    answers: set[str] = set()
    for software in world.software:
        found = [_open(world, software, raw, at) for raw in world.dovecot.messages(software.sender)]
        answers |= {answer.message_id for answer in found}
        sent = Counter(letter.message_id for letter in letters if letter.software == software and letter.files)
        by_id = {letter.message_id: letter for letter in letters}
        found = [*without_receipts(found, sent)] if late else found
        wrong += _compare_answers(found, sent, by_id, restored=restored)
        for answer in found:
            for name, octets in answer.files.items():
                if name.startswith("RET"):
                    returns.setdefault(name, set()).add(octets)
    wrong += _compare_returns(letters, returns, restored=restored)
    audit = [_header(raw, "message-id") for raw in world.dovecot.messages(AUDIT_USER)]
    if set(audit) != answers or (len(audit) != len(answers) and not restored):
        wrong.append(f"the audit mailbox has {len(audit)} mails, the desks {len(answers)} different answers")
    return [*wrong, *_compare_folders(world, letters)]


def without_receipts(found: Iterable[Found], sent: Counter[str]) -> Iterator[Found]:
    """What came, in its order, but for the first receipt of each mail that was not answered yet."""
    told: set[str] = set()
    answered: Counter[str] = Counter()
    for one in found:
        receipts = {name for name in one.files if name.startswith("accuse-technique-")}
        if (
            len(receipts) == len(one.files) == 1
            and not receipts & told
            and answered[one.in_reply_to] < sent[one.in_reply_to]
        ):
            told |= receipts
        else:
            answered[one.in_reply_to] += 1
            yield one


def _compare_answers(
    found: Sequence[Found], sent: Counter[str], by_id: dict[str, Letter], *, restored: bool
) -> Iterator[str]:
    bodies: dict[str, set[str]] = {}
    for answer in found:
        bodies.setdefault(answer.message_id, set()).add(answer.digest)
    if (copies := len(found) - len(bodies)) and not restored:
        yield f"{copies} identical copies of an answer"
    if any(len(digests) > 1 for digests in bodies.values()) and not restored:
        yield "two different answers under one Message-ID"
    answered = Counter({answer.message_id: answer.in_reply_to for answer in found}.values())
    for message_id in sent.keys() | answered.keys():
        once_more = restored and 0 < sent[message_id] < answered[message_id]
        if sent[message_id] != answered[message_id] and not once_more:
            what = by_id[message_id].what if message_id in by_id else message_id
            yield f"{what}: sent {sent[message_id]} times, {answered[message_id]} answers"
    for answer in found:
        expected = {return_name(file.name) for file in by_id[answer.in_reply_to].files}
        if {name for name in answer.files if name.startswith("RET")} != expected:
            yield f"{by_id[answer.in_reply_to].what}: the answer holds {sorted(answer.files)}"


def _compare_returns(letters: Sequence[Letter], returns: dict[str, set[bytes]], *, restored: bool) -> Iterator[str]:
    files = {file.name: file for letter in letters for file in letter.files}
    given: Counter[str] = Counter()
    by_person: Counter[str] = Counter({file.about: 0 for file in files.values() if file.fate is not Fate.REFUSED})
    for file in files.values():
        versions = returns.get(return_name(file.name), set())
        outcomes = {_outcome(octets) for octets in versions}
        if len(outcomes if restored else versions) != 1:
            yield f"{file.name}: {len(versions)} different RET files"
        for numbers, anomalies in outcomes:
            given.update(numbers)
            if file.about in by_person:
                by_person[file.about] += len(numbers)
            fits = {
                Fate.NUMBER: len(numbers) == 1 and not anomalies,
                Fate.REFUSED: not numbers and anomalies,
                Fate.RIVAL: bool(numbers) != bool(anomalies),
            }
            if not fits[file.fate]:
                yield f"{file.name}: numbers {[*numbers]} and {anomalies} anomalies"
    yield from (f"{person}: {count} numbers" for person, count in by_person.items() if count != 1)
    yield from (f"given twice: {number}" for number, times in given.items() if times > 1)
    yield from _holes(given)


def _holes(numbers: Iterable[str]) -> Iterator[str]:
    """Sequences are dense in each territory and month: a hole is a number that somebody should have."""
    sequences: dict[str, list[int]] = {}
    for number in numbers:
        sequences.setdefault(number[:7], []).append(int(number[7:13]))
    for place, sequence in sequences.items():
        if sorted(sequence) != list(range(1, len(sequence) + 1)):
            yield f"{place}: the sequence is {sorted(sequence)}"


def _outcome(octets: bytes) -> tuple[tuple[str, ...], int]:
    """Numbers in a RET file, and how many anomalies."""
    root = parse(octets, XmlLimits(bytes_max=1 << 24, nodes_max=1 << 20))
    numbers = tuple(element.text or "" for element in root.iterfind(".//{*}numUnique"))
    return numbers, len(list(root.iterfind(".//{*}anomalie")))


def _compare_folders(world: MailWorld, letters: Sequence[Letter]) -> Iterator[str]:
    expected = {
        world.inbox: Counter[str](),
        PROCESSED: Counter(_digest(one.raw) for one in letters if not one.is_too_large),
        QUARANTINE: Counter(_digest(one.raw) for one in letters if one.is_too_large),
    }
    for folder, mails in expected.items():
        there = Counter(map(_digest, world.lying(folder)))
        if there != mails:
            missing, more = (mails - there).total(), (there - mails).total()
            yield f"{folder}: {missing} mails are missing, {more} too many"


def _open(world: MailWorld, software: DeskSoftware, raw: bytes, at: datetime) -> Found:
    opened = open_answer(raw, [_key_of(software.decrypts or software.identity)], [world.installation.identity.der], at)
    return Found(
        message_id=_header(raw, "message-id"),
        digest=body_digest(raw),
        in_reply_to=opened.in_reply_to,
        files=dict(opened.files),
    )


@cache
def _key_of(identity: Identity) -> DecryptionKey:
    """Reading a key takes as long as deciding a mail, and a sweep reads thousands of answers."""
    return decryption_key(identity)


def _header(raw: bytes, name: str) -> str:
    return str(message_from_bytes(raw)[name])


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
