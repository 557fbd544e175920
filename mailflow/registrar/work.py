"""What the registrar works on inside one transaction: files and requests on their way to an outcome."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.identity import Likeness
from mailflow.core.life import Life
from mailflow.core.model import (
    Directory,
    EnrolledDesk,
    EnrolledSender,
    Environment,
    FileReceipt,
    Mandate,
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
from mailflow.register import Transaction, directory
from mailflow.register.homonyms import Release

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
    """A request on its way to a number."""

    file: "FileWork"
    position: int
    request: Request
    form: HousingRequest
    territory: Territory
    life: Life
    signers: tuple[Signer, ...]
    """Applicant and co-applicant."""
    warnings: tuple[Anomaly, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    number: UniqueNumber | None = None
    near: list["Near"] = field(default_factory=list)
    """Requests that may be of the same person."""
    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By which each of `signers`, by its element, is to be found."""
    releases: tuple[Release, ...] = ()
    """Of homonyms, that it makes use of."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What nobody else may hold in the territory: identities and NIR."""
        nirs = (f"nir {signer.nir}" for signer in self.signers if signer.nir)
        return tuple(dict.fromkeys((*(signer.key for signer in self.signers), *nirs)))

    @property
    def reference(self) -> tuple[DeskCode, str] | None:
        reference = self.request.reference
        return (self.file.file.desk, reference) if reference else None

    @property
    def path(self) -> str:
        return request_path(self.position)

    @property
    def dated_at(self) -> datetime:
        assert self.file.file.dated_at is not None, "a file without a date is refused"
        return self.file.file.dated_at

    @property
    def stands(self) -> bool:
        return self.file.outcomes[self.position] is self

    @property
    def may_learn_numbers(self) -> bool:
        """Whether its sender may consult in the territory (decision 12)."""
        return may(self.file.mandates, Right.CONSULT, self.territory)

    @property
    def near_warnings(self) -> tuple[Anomaly, ...]:
        """Of requests that may be of the same person: for who may consult them (decision 12)."""
        if not self.may_learn_numbers:
            return ()
        told = [Anomaly(code=Code.REQUEST_MAY_EXIST, path=near.path, number=near.number) for near in self.near]
        return tuple(dict.fromkeys(anomaly for anomaly in told if anomaly.number is not None))

    def refuse(self, anomaly: Anomaly) -> None:
        self.file.outcomes[self.position] = Refused(anomalies=(*self.warnings, anomaly))

    def follow(
        self,
        request_id: str,
        number: UniqueNumber | None,
        life: Life | None,
        chunk: Mapping[str, "Candidate"],
        *,
        clash: Code | None,
    ) -> None:
        """Take the outcome from the request that came first; this very chunk may still have to number it."""
        owner = Known(number=number, life=life) if number else chunk[request_id]
        self.file.outcomes[self.position] = Follower(candidate=self, owner=owner, clash=clash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A request that was registered before."""

    number: UniqueNumber
    life: Life | None
    """None where nobody asks."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """A request whose outcome hangs on one that came before it."""

    candidate: Candidate
    owner: Known | Candidate
    clash: Code | None
    """Why it is refused: another request of the same person. None: the same one again, by the desk's own reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A request that may be of the same person as a candidate."""

    owner: UniqueNumber | Candidate
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
    """By position. A candidate here still stands: it is to have its number."""
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


def request_path(position: int) -> str:
    return f"/interfaceNuu/demande[{position + 1}]/demandeLogement"
