"""What the registrar works on inside one transaction: files and requests on their way to an outcome."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.identity import Likeness
from mailflow.core.life import Action, Life
from mailflow.core.model import (
    Directory,
    EnrolledDesk,
    EnrolledSender,
    Environment,
    FileReceipt,
    Mandate,
    Operation,
    Outcome,
    Refused,
    Request,
    RequestFile,
    Right,
    Submission,
    Submitter,
)
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.signers import Signer
from mailflow.errors import Unavailable
from mailflow.register import Transaction, directory, history
from mailflow.register.homonyms import Release
from mailflow.registrar.subjects import Subject, Version

T = TypeVar("T")

FILE_RECEIPT = TypeAdapter(FileReceipt)
"""How a file receipt is kept."""


class StaleDirectory(Unavailable):
    """Enrolments changed since the sender was proven: prove it again, then submit again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms requests are registered."""

    directory: Directory
    environment: Environment


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A request of a file on its way to an outcome; it is a `Creation` or a `Change`."""

    file: "FileWork"
    position: int
    request: Request
    territory: Territory
    persons: frozenset[object]
    """Whom it may have to do with: those of one chunk that share somebody are decided in turns."""
    warnings: tuple[Anomaly, ...]
    claims: tuple[Signer, ...] = ()
    """Who is to have no other active request in the territory because of it."""
    near: list["Near"] = field(default_factory=list)
    """Requests that may be of the same person."""
    releases: tuple[Release, ...] = ()
    """Of homonyms, that it makes use of."""

    @property
    def element(self) -> str:
        return element_of(self.position)

    @property
    def path(self) -> str:
        """Of what it says."""
        return f"{self.element}/demandeLogement" if self.request.form else self.element

    def path_of(self, signer: Signer) -> str:
        return f"{self.path}/personnePhysique/{signer.element}" if self.request.form else self.element

    @property
    def dated_at(self) -> datetime:
        assert self.file.file.dated_at is not None, "a file without a date is refused"
        return self.file.file.dated_at

    @property
    def origin(self) -> history.Origin:
        work = self.file
        assert work.record is not None, "only a file that bound its name does anything"
        return history.Origin(
            desk=work.file.desk,
            sender=work.sender.code,
            door=work.submission.door,
            intake_id=work.submission.intake,
            file_record=work.record,
            position=self.position,
        )

    @property
    def operation(self) -> Operation:
        assert self.file.file.operation is not None, "a file of no known type is refused"
        return self.file.file.operation

    @property
    def stands(self) -> bool:
        return self.file.outcomes[self.position] is self

    @property
    def may_learn_numbers(self) -> bool:
        """Whether its sender may consult in the territory."""
        return may(self.file.mandates, Right.CONSULT, self.territory)

    @property
    def near_warnings(self) -> tuple[Anomaly, ...]:
        """Of requests that may be of the same person: for who may consult them."""
        if not self.may_learn_numbers:
            return ()
        told = [Anomaly(code=Code.REQUEST_MAY_EXIST, path=near.path, number=near.number) for near in self.near]
        return tuple(dict.fromkeys(anomaly for anomaly in told if anomaly.number is not None))

    def refuse(self, *anomalies: Anomaly) -> None:
        self.file.outcomes[self.position] = Refused(anomalies=(*self.warnings, *anomalies))

    def follow(
        self,
        request_id: str,
        known: "Known | None",
        chunk: Mapping[str, "Candidate"],
        *,
        clash: Code | None,
    ) -> None:
        """Take the outcome from the request that came first; this very chunk may still have to number it."""
        owner = known or chunk[request_id]
        assert isinstance(owner, Known | Creation), "what is changed has its number"
        self.file.outcomes[self.position] = Follower(candidate=self, owner=owner, clash=clash)


@dataclass(slots=True, kw_only=True)
class Creation(Candidate):
    """`CRE` or `CRS`: on its way to a number."""

    form: HousingRequest
    nirs: Mapping[str, str]
    """By where the member stands."""
    life: Life
    revision: int = 1
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    number: UniqueNumber | None = None
    couple: "Change | None" = None
    """Of a `CRS`: what becomes of the couple's request. It happens only with the creation."""
    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By which each of `claims`, by its element, is to be found."""

    @property
    def change(self) -> "Change | None":
        return self.couple

    @property
    def reference(self) -> tuple[DeskCode, str] | None:
        reference = self.request.reference
        return (self.file.file.desk, reference) if reference else None


@dataclass(slots=True, kw_only=True)
class Change(Candidate):
    """What is done to a registered request."""

    subject: Subject
    action: Action
    before: Version | None = None
    """How the request stood when its turn came."""
    after: Version | None = None
    """How it is to stand; None until it is judged."""
    drops: tuple[Signer, ...] = ()
    """Who may have another active request because of it."""
    revision: int = 0
    """Of its subject, once it is done."""

    @property
    def change(self) -> "Change":
        return self

    @property
    def id(self) -> str:
        return self.subject.id

    @property
    def number(self) -> UniqueNumber:
        return self.subject.number

    def judged(self, after: Version) -> None:
        """It is to stand so. Claims and drops follow from it."""
        self.before, self.after = self.subject.version, after
        self.claims = _without(after.holders, self.before.holders)
        self.drops = _without(self.before.holders, after.holders)

    @property
    def alters(self) -> bool:
        """Whether it leaves anything other than it was."""
        assert self.before is not None
        assert self.after is not None
        then, now = ((one.life, one.form, dict(one.nirs)) for one in (self.before, self.after))
        return then != now

    @property
    def moves_persons(self) -> bool:
        """Whether the request's persons are found elsewhere afterwards."""
        assert self.before is not None
        assert self.after is not None
        then, now = (
            [(one.element, one.identity, one.nir) for one in version.holders] for version in (self.before, self.after)
        )
        return then != now

    def apply(self) -> None:
        """Its subject stands so from now on. What alters nothing leaves no entry in the history."""
        subject, before, after = self.subject, self.before, self.after
        assert before is not None
        assert after is not None
        if self.alters:
            said = self.request.deregistration
            entry = history.Entry(
                number=subject.number,
                revision=subject.revision + 1,
                territory=subject.territory,
                operation=self.operation,
                life=after.life,
                origin=self.origin,
                dated_at=self.dated_at,
                said=said.model_dump_json(by_alias=True, exclude_none=True).encode() if said else None,
                content_before=before.content if before.form != after.form else None,
            )
            subject.entries.append(entry)
            subject.others_acted |= self.file.file.desk != subject.desk
        subject.persons_moved |= self.moves_persons
        subject.version, subject.dated_at, subject.applied = after, self.dated_at, True
        self.revision = subject.revision


def _without(signers: Sequence[Signer], others: Sequence[Signer]) -> tuple[Signer, ...]:
    """Those whose identity and NIR is not that of one of `others`."""
    known = {(one.key, one.nir) for one in others}
    return tuple(one for one in signers if (one.key, one.nir) not in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A request that was registered before."""

    number: UniqueNumber
    life: Life | None = None
    """None, like the revision, where nobody asks."""
    revision: int | None = None


@dataclass(slots=True, kw_only=True)
class Follower:
    """A request whose outcome hangs on one that came before it."""

    candidate: Candidate
    owner: Known | Creation
    clash: Code | None
    """Why it is refused: another request of the same person. None: the same one again, by the desk's own reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A request that may be of the same person as a candidate."""

    owner: UniqueNumber | Creation
    likeness: Likeness
    path: str
    """Of the candidate's person."""

    @property
    def number(self) -> UniqueNumber | None:
        """None when it came to nothing, earlier in this chunk."""
        return self.owner if isinstance(self.owner, str) else self.owner.number


@dataclass(slots=True, kw_only=True)
class FileWork:
    """A file on its way to a receipt."""

    submission: Submission
    file: RequestFile
    sender: EnrolledSender
    desk: EnrolledDesk | None
    """None when there is none of that code."""
    mandates: tuple[Mandate, ...]
    """Those of the sender that hold today, for whichever desk."""
    anomalies: list[Anomaly]
    decided_at: datetime
    record: str | None = None
    outcomes: dict[int, Outcome | Candidate | Follower] = field(default_factory=dict)
    """By position. A candidate here still stands: it is to be done."""
    same_as: FileReceipt | None = None
    """What was decided about the same file before."""
    decided: FileReceipt | None = None

    @property
    def blocked(self) -> bool:
        return any(anomaly.blocks for anomaly in self.anomalies)

    @property
    def receipt(self) -> FileReceipt:
        assert self.decided is not None, "every file is decided"
        return self.decided

    @property
    def may_bind_its_name(self) -> bool:
        """A name is bound, and its answer repeated, only for a sender who may do this for the desk now.

        Else others could use it up, or a suspension would still be told when it is over.
        """
        never = {
            Code.FILE_NAME_WRONG,
            Code.DESK_NOT_MANDATED,
            Code.DESK_SUSPENDED,
            Code.OPERATION_NOT_MANDATED,
            Code.SCHOOL_DESK,
            Code.NOT_A_SCHOOL_DESK,
            Code.FILE_NAME_REPEATED,
            Code.FILE_NAME_TAKEN,
        }
        return not any(anomaly.code in never for anomaly in self.anomalies)


async def require_current(tx: Transaction, terms: Terms, submitters: Iterable[Submitter]) -> None:
    """Raises StaleDirectory unless every sender was proven against the enrolments of now, and the terms are theirs."""
    generations = {terms.directory.generation, *(submitter.trust_generation for submitter in submitters)}
    if generations != {await directory.generation(tx)}:
        raise StaleDirectory("the enrolments have changed")


def may(mandates: Iterable[Mandate], right: str, territory: Territory | None = None) -> bool:
    return any(right in m.rights and territory in (None, m.territory) for m in mandates)


def in_turns(items: Iterable[T], keys: Callable[[T], set[object]]) -> list[list[T]]:
    """All items, those that share a key in successive turns and in their order. Linear, whatever they share."""
    turns: list[list[T]] = []
    last: dict[object, int] = {}
    for item in items:
        mine = keys(item)
        turn = max((last[key] + 1 for key in mine if key in last), default=0)
        last |= dict.fromkeys(mine, turn)
        if turn == len(turns):
            turns.append([])
        turns[turn].append(item)
    return turns


def element_of(position: int) -> str:
    """Path of a request in its file."""
    return f"/interfaceNuu/demande[{position + 1}]"
