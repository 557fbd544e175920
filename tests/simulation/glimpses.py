"""What desks that asked were told: one of the states that the file or request may have had just then.

When a mail was decided is told to the second that its decision began, which a worker that stands still lets pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mailflow.core.anomalies import Code
from mailflow.core.model import Operation
from tests.simulation.answers import Answered, Opened, Return, Stand
from tests.simulation.cast import CONSULTING, KNOWN
from tests.simulation.letters import Asked, Document, Letter
from tests.simulation.lives import ACTIVE, CREATOR, Explanation, Life
from tests.simulation.questions import unsent_name
from tests.simulation.world import STALL

BLUR = STALL + timedelta(minutes=1)
LAST_DAY, RENEWED_PAST = date(2026, 3, 20), date(2027, 3, 1)
"""Of the registered requests; and what the last day is beyond once they are renewed."""
DECIDED, UNDECIDED = "decide", ("inconnu", "en_attente", "retenu")
NUMBERS = frozenset(known.number for known in KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One question with its answer."""

    letter: Letter
    desk: str
    asked: Asked
    answer: Answered
    at: datetime
    """When it was answered."""

    def __str__(self) -> str:
        return f"{self.letter.message_id} asked for {self.desk} and was told {self.answer}"

    @property
    def of_a_life(self) -> bool:
        """Whether it is about a registered request that mails may be changing: `lives` has what may be said."""
        return self.asked.fault is None and self.asked.number in NUMBERS

    def fits(self, life: Life) -> bool:
        """Whether it is true of a registered request that stands so."""
        if self.asked.holder not in life.persons or self.desk not in (CREATOR, *CONSULTING):
            return self.is_refused(Code.QUESTION_UNKNOWN)
        (stand,) = self.answer.stands or (None,)
        if stand is None or self.answer.codes:
            return False
        last = stand.expires_on
        if life.state == ACTIVE:
            in_time = last is not None and (last > RENEWED_PAST if life.renewed else last == LAST_DAY)
        else:
            in_time = last is None
        return in_time and (stand.number, stand.state, stand.operation) == (
            self.asked.number,
            life.state,
            life.operation,
        )

    def is_explained(self, by: Explanation, moments: Sequence[datetime]) -> bool:
        """Whether it is true of a state in which that order of mails, decided at these moments, leaves the request."""
        return any(
            self.fits(life)
            and all(moments[place] <= self.at + BLUR for place in by.order[:count])
            and all(moments[place] >= self.at - BLUR for place in by.order[count:])
            for count, life in enumerate(by.stages)
        )

    def is_refused(self, code: Code) -> bool:
        """Whether nothing is told but that."""
        return self.answer == Answered(situation=None, digest=None, stands=(), codes=frozenset({code.value}))


def glimpses(letters: Iterable[Letter], answers: Iterable[Opened]) -> Iterator[Glimpse]:
    """Of each question that was answered, however often its mail came."""
    by_id = {letter.message_id: letter for letter in letters}
    for answer in answers:
        letter = by_id.get(answer.in_reply_to)
        files = {(file.name, file.digest): file for file in letter.questions} if letter else {}
        for status in answer.statuses:
            file = files.get((status.name, status.digest))
            if letter is not None and file is not None:
                for asked, answered in zip(file.asked, status.answers, strict=True):
                    yield Glimpse(letter=letter, desk=file.desk, asked=asked, answer=answered, at=answer.decided_at)


class Files:
    """What questions say that are about files, and about what nobody knows."""

    def __init__(self, answers: Iterable[Opened]) -> None:
        self.returns: dict[tuple[str, str], tuple[datetime, Return]] = {}
        """What was decided of each file, and when that was first told to be."""
        for answer in answers:
            for one in answer.returns:
                key = (one.name, one.digest)
                at = min(answer.decided_at, self.returns[key][0] if key in self.returns else answer.decided_at)
                self.returns[key] = (at, one)

    def findings(self, seen: Iterable[Glimpse]) -> Iterator[str]:
        yield from (str(one) for one in seen if not one.of_a_life and not self._is_true(one))

    def _is_true(self, one: Glimpse) -> bool:
        document = one.asked.of
        if one.asked.fault is not None:
            return one.is_refused(one.asked.fault)
        if document is None and one.asked.file == unsent_name(one.desk):
            return one.answer == Answered(situation="inconnu", digest=None, stands=(), codes=frozenset())
        if document is None or document.desk != one.desk:
            return one.is_refused(Code.QUESTION_UNKNOWN)
        decided = self._told_of(one, document) if one.asked.file else self._told_by_reference(one, document)
        return decided is not None and self._in_time(one, document, decided=decided)

    def _told_of(self, one: Glimpse, document: Document) -> bool | None:
        """Whether it says that the file is decided; None when what it says is wrong either way."""
        answer = one.answer
        if answer.situation in UNDECIDED:
            return None if answer.stands or answer.codes or answer.digest not in (None, document.digest) else False
        _, told = self.returns.get((document.name, document.digest), (None, None))
        if told is None or (answer.situation, answer.digest) != (DECIDED, document.digest):
            return None
        said = [(stand.number, stand.state, stand.codes) for stand in answer.stands]
        return True if said == [(one.number, one.state, one.codes) for one in told.told] else None

    def _told_by_reference(self, one: Glimpse, document: Document) -> bool | None:
        if one.is_refused(Code.QUESTION_UNKNOWN):
            return False
        _, told = self.returns.get((document.name, document.digest), (None, None))
        if told is None or len(one.answer.stands) != 1 or not _as_created(one.answer.stands[0]):
            return None
        return True if one.answer.stands[0].number == told.told[0].number else None

    def _in_time(self, one: Glimpse, document: Document, *, decided: bool) -> bool:
        if document in one.letter.documents:
            return decided
        at, _ = self.returns.get((document.name, document.digest), (None, None))
        if at is None:
            return not decided  # that it has no answer is told elsewhere
        return at <= one.at + BLUR if decided else at >= one.at - BLUR


def _as_created(stand: Stand) -> bool:
    return (stand.state, stand.operation, stand.codes) == (ACTIVE, Operation.CREATION.value, frozenset())
