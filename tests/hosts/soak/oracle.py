"""What must have come of every mail of a soak, told by what was sent and what lies in the mailboxes alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailflow.selftest.oracle import Finding

DEADLINE_SECONDS = 12 * 3600


class Fate(StrEnum):
    """What may become of a mail."""

    NUMBER = "a number"
    REFUSED = "an answer without a number"
    SILENCE = "no answer"


class Wrong(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    """A mail without its answer, or a request without its number."""
    DOUBLED = "doubled"
    """A number of two requests, two numbers of one, or one that was given to nobody."""
    SECOND = "second answers"
    HOSTILE = "hostile mails"
    """Answered though nobody was proven, or given a number."""
    LATE = "late"
    GROWN = "grown"
    """Workers hold more than at the beginning."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What lay in a desk's mailbox, opened."""

    message_id: str
    in_reply_to: str
    numbers: tuple[str, ...]
    is_receipt: bool = False
    """It says only that the mail has arrived: a technical receipt, which goes ahead of an answer that is late."""
    unread: str = ""
    """Why it could not be opened."""
    digest: str = ""
    """Of its body as it came."""


@dataclass(slots=True)
class _Course:
    """One mail, which may have been sent several times."""

    what: str
    fate: Fate
    sent: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Their Message-IDs, as they came."""
    receipts: int = 0
    numbers: set[str] = field(default_factory=set)
    without: int = 0
    """Answers that do not give exactly one number."""


@dataclass(slots=True, kw_only=True)
class Oracle:
    """Is told what is sent and what comes back, instants in seconds of one clock; judges at the end."""

    deadline_seconds: float = DEADLINE_SECONDS
    waits: list[float] = field(default_factory=list)
    """Seconds from each delivery until its answer was read."""
    unanswered: int = 0
    """Answers that are still to come."""
    copies: int = 0
    """Answers that lay in a desk's mailbox more than once: whoever restarts mail servers has them deliver again."""
    _courses: dict[str, _Course] = field(default_factory=dict)
    _answers: dict[str, str] = field(default_factory=dict)
    """By Message-ID the digests of their bodies."""
    _receipts: dict[str, str] = field(default_factory=dict)
    _audited: set[str] = field(default_factory=set)
    _strays: list[Finding] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """Different ones that came."""
        return len(self._answers)

    @property
    def receipts(self) -> int:
        """Different technical receipts that came."""
        return len(self._receipts)

    def sent(self, message_id: str, fate: Fate, what: str, at: float) -> None:
        """A mail is handed over now; one that was sent before has its Message-ID again."""
        course = self._courses.setdefault(message_id, _Course(what=what, fate=fate))
        course.sent.append(at)
        self.unanswered += course.fate is not Fate.SILENCE

    def answered(self, answer: Answer, at: float) -> None:
        """An answer was found in a desk's mailbox, or a receipt."""
        if answer.unread:
            self._stray(f"an answer cannot be read: {answer.unread}")
        elif (digest := self._answers.get(answer.message_id, self._receipts.get(answer.message_id))) is not None:
            self.copies += 1
            if digest != answer.digest:
                self._stray("two different mails under one Message-ID")
        elif (course := self._courses.get(answer.in_reply_to)) is None:
            self._stray("a desk got a mail that answers none of ours")
        elif answer.is_receipt:
            self._receipts[answer.message_id] = answer.digest
            course.receipts += 1
        else:
            self._answers[answer.message_id] = answer.digest
            course.answers.append(answer.message_id)
            course.without += len(answer.numbers) != 1
            if course.fate is not Fate.SILENCE and len(course.answers) <= len(course.sent):
                self.unanswered -= 1
                self.waits.append(at - course.sent[len(course.answers) - 1])
        if course_of_copy := self._courses.get(answer.in_reply_to):
            course_of_copy.numbers.update(answer.numbers)

    def audited(self, message_id: str) -> None:
        """An answer was found in the audit mailbox."""
        self._audited.add(message_id)

    def _stray(self, what: str) -> None:
        self._strays.append(Finding(wrong=Wrong.OTHER, what=what))

    def findings(self, taken: Mapping[str, int] | None = None) -> list[Finding]:
        """What is wrong. `taken`: how often the mail server took each answer, whoever it is told apart by."""
        found = [one for course in self._courses.values() for one in _judged(course)]
        found += self._numbers(lost=any(one.wrong is Wrong.LOST for one in found))
        if late := [wait for wait in self.waits if wait > self.deadline_seconds]:
            found.append(Finding(wrong=Wrong.LATE, what=f"{len(late)} answers, the last after {max(late):.0f} s"))
        if twice := [times for times in (taken or {}).values() if times > 1]:
            what = f"{len(twice)} answers were given to the mail server up to {max(twice)} times"
            found.append(Finding(wrong=Wrong.SECOND, what=what))
        if self._audited != (told := self._answers.keys() | self._receipts.keys()):
            missing, more = len(told - self._audited), len(self._audited - told)
            what = f"of {missing} answers and receipts there is no copy in the audit mailbox, of {more} nothing else"
            found.append(Finding(wrong=Wrong.OTHER, what=what))
        return [*found, *self._strays]

    def _numbers(self, *, lost: bool) -> Iterator[Finding]:
        """Each belongs to one request, and sequences are dense in each territory and month.

        Where an answer was lost the hole is told as that.
        """
        holders = Counter(number for course in self._courses.values() for number in course.numbers)
        for number in (number for number, count in holders.items() if count > 1):
            yield Finding(wrong=Wrong.DOUBLED, what=f"{number} was given to {holders[number]} requests")
        sequences: dict[str, set[int]] = defaultdict(set)
        for number in holders:
            sequences[number[:7]].add(int(number[7:13]))
        for place, there in sequences.items() if not lost else ():
            if holes := max(there) - len(there):
                yield Finding(wrong=Wrong.DOUBLED, what=f"{place}: {holes} numbers were given to nobody")


def _judged(course: _Course) -> Iterator[Finding]:
    due = len(course.sent) if course.fate is not Fate.SILENCE else 0
    if len(course.answers) < due:
        what = f"{course.what}: sent {due} times, {len(course.answers)} answers"
        yield Finding(wrong=Wrong.LOST, what=what)
    if len(course.answers) > due:
        wrong = Wrong.SECOND if due else Wrong.HOSTILE
        yield Finding(wrong=wrong, what=f"{course.what}: sent {len(course.sent)} times, {len(course.answers)} answers")
    if course.receipts > due:
        wrong = Wrong.SECOND if due else Wrong.HOSTILE
        yield Finding(wrong=wrong, what=f"{course.what}: sent {len(course.sent)} times, {course.receipts} receipts")
    if course.fate is Fate.NUMBER:
        if len(course.numbers) > 1:
            yield Finding(wrong=Wrong.DOUBLED, what=f"{course.what}: {len(course.numbers)} numbers")
        if course.without:
            yield Finding(wrong=Wrong.LOST, what=f"{course.what}: {course.without} answers without one number")
    elif course.numbers:
        yield Finding(wrong=Wrong.HOSTILE, what=f"{course.what}: has a number")
