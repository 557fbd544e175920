"""What a desk may ask: how a file of its own fares, how a request stands. Nothing is changed. Every door's words."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mailflow.core.anomalies import Anomaly
from mailflow.core.model import Operation, RequestState, Submitter
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.core.order import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing asked after: a file, a request with its holder, or a request by the desk's own reference.

    Just one of the three, unless one of `anomalies` blocks.
    """

    file_name: str | None = None
    """Of a `DEM` file."""
    number: str | None = None
    """`numUnique` as it was given."""
    holder: Holder | None = None
    """Who holds that request according to the sender: a number alone proves nothing."""
    reference: str | None = None
    anomalies: tuple[Anomaly, ...] = ()
    """All that reading found."""

    @property
    def blocked(self) -> bool:
        """Whether it cannot be answered, whatever the register knows."""
        return any(anomaly.blocks for anomaly in self.anomalies)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionFile:
    """One `GES` file, from signed bytes."""

    name: str
    desk: DeskCode
    """The desk named in the file name, for which is asked; empty when there is none."""
    digest: str
    """SHA-256 (hex) of the file's bytes."""
    questions: tuple[Question, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    """Faults of the file as a whole; a blocking one leaves every question in it unanswered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """The waist for what changes nothing: doors produce it, `registrar.answer_questions` consumes it."""

    submitter: Submitter
    files: tuple[QuestionFile, ...]


class Situation(StrEnum):
    """How a file fares."""

    UNKNOWN = "inconnu"
    """It did not come, it came a moment ago, its sender was not proven, or it was refused without being kept."""
    WAITING = "en_attente"
    """It is here and will be decided."""
    WITH_OPERATOR = "retenu"
    """It is here, and a person has to look at it first."""
    DECIDED = "decide"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStatus:
    """How a request stands now. Of one that was refused only `reference` and `anomalies` are told."""

    number: UniqueNumber | None = None
    reference: str | None = None
    """The desk's own, where the file gave one."""
    state: RequestState | None = None
    expires_on: date | None = None
    """The last day on which it is active; None in another state."""
    operation: Operation | None = None
    """The last one, by whomever."""
    operated_on: date | None = None
    """Legal day of it."""
    anomalies: tuple[Anomaly, ...] = ()
    """As they were told when the file was decided, without existing numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """What is told on one question; only `anomalies` when it cannot be answered."""

    situation: Situation | None = None
    """Of the file asked after; None for a question about a request."""
    since: datetime | None = None
    """When the file arrived; once decided, when that was."""
    digest: str | None = None
    """SHA-256 (hex) of the content that is known under the name."""
    registered: int | None = None
    """How many of its requests are; None, like `refused`, while it is not decided."""
    refused: int | None = None
    requests: tuple[RequestStatus, ...] = ()
    """The request asked after, or those of the file in its order."""
    anomalies: tuple[Anomaly, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionReceipt:
    """What is answered to one file. `answers` matches `file.questions` one to one; empty when the file is refused."""

    file: QuestionFile
    answered_at: datetime
    """The moment that the answers speak of."""
    answers: tuple[StatusAnswer, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    """Of the file as a whole: those it was read with, and those that the enrolments added."""
