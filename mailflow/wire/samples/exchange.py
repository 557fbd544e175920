"""What an exchange is: one mail with its files, and what is answered to each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailflow.core.calendar import PARIS
from mailflow.core.inquiry import StatusAnswer
from mailflow.core.model import Operation, Outcome
from mailflow.core.numbers import DeskCode
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.management import QuestionElement
from mailflow.wire.names import FileName, Kind
from mailflow.wire.questions import write_questions

MADE_BEFORE = timedelta(minutes=1)
"""How long before the mail is received its files were made."""
DECIDED_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSample:
    """A `DEM` file, and what becomes of its requests."""

    sequence: int
    operation: Operation
    requests: tuple[RequestElement, ...]
    outcomes: tuple[Outcome | None, ...]
    """None: refused for what reading finds. What reading only warns of is added to the others."""

    def content(self, made_at: datetime) -> bytes:
        """The octets of the file."""
        document = InterfaceFile(
            version=VERSIONS[-1],
            header=Header(file_type=self.operation, dated_at=made_at.astimezone(PARIS)),
            requests=self.requests,
        )
        return to_bytes(write(document, ROOT, NUU))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSample:
    """A `GES` file, and what is answered to its questions."""

    sequence: int
    questions: tuple[QuestionElement, ...]
    answers: tuple[StatusAnswer, ...]

    def content(self, made_at: datetime) -> bytes:
        """The octets of the file."""
        return write_questions(self.questions, made_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One mail and its answer."""

    folder: str
    title: str
    """What it shows, in French."""
    desk: DeskCode
    received_at: datetime
    files: Sequence[FileSample | QuestionSample] = field(repr=False)

    @property
    def made_at(self) -> datetime:
        """When the files were made."""
        return self.received_at - MADE_BEFORE

    @property
    def decided_at(self) -> datetime:
        """When the service decides."""
        return self.received_at + DECIDED_AFTER

    def name(self, file: FileSample | QuestionSample) -> str:
        """The name of one of the files."""
        kind = Kind.REQUEST if isinstance(file, FileSample) else Kind.QUESTION
        minute = self.made_at.astimezone(PARIS).strftime("%Y%m%d%H%M")
        return str(FileName(kind=kind, desk=self.desk, minute=minute, sequence=f"{file.sequence:06}"))
