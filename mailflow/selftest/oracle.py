"""What must have come of the letters: what was sent decides, never what the register says."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailflow.demo.installation import Installation
from mailflow.mail.desk import AnswerRefused
from mailflow.selftest.boxes import Contents
from mailflow.selftest.letters import Letter, answers_to, message_id
from mailflow.wire.dispatch import NotOfTheService, read_told
from mailflow.wire.names import return_name


class Wrong(StrEnum):
    """What can have become of a request."""

    LOST = "lost"
    """It has no number, or its mail no answer."""
    DOUBLED = "doubled"
    """It has several numbers, or one was given to nobody."""
    SECOND = "second answers"
    """Its mail has several answers, or more copies of one than the mail server makes."""
    OTHER = "other"
    """A mail set aside or left where it was, a batch that ended badly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    wrong: StrEnum
    """Of what kind: `Wrong`, or what else an oracle tells apart."""
    what: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.what}"


@dataclass(slots=True)
class Oracle:
    """Judges run after run of one register."""

    installation: Installation
    copies: int
    """How often the mail server delivers an answer whose two recipients, desk and audit mailbox, are one."""
    _answered: dict[str, str] = field(default_factory=dict)
    """By the letter's Message-ID, that of its answer."""
    _numbers: dict[str, str] = field(default_factory=dict)
    """Which file each number was given to."""
    _missing: set[tuple[str, int]] = field(default_factory=set)
    """Holes in the sequences that were told already."""

    def enough(self, letters: Sequence[Letter], audit: Sequence[bytes]) -> bool:
        """Whether as many answers are there as are wanted."""
        there = Counter(map(answers_to, audit))
        return all(there[letter.message_id] >= self.copies for letter in letters)

    def judge(self, letters: Sequence[Letter], found: Contents, at: datetime) -> list[Finding]:
        """What is wrong after a run with these letters."""
        answers: dict[str, list[bytes]] = defaultdict(list)
        for raw in found.audit:
            answers[answers_to(raw)].append(raw)
        findings = [*self._strays(letters, answers)]
        for letter in letters:
            findings += self._answers(letter, answers[letter.message_id], at)
        findings += self._holes(told=not any(one.wrong is Wrong.LOST for one in findings))
        return [*findings, *_folders(letters, found)]

    def _strays(self, letters: Sequence[Letter], answers: dict[str, list[bytes]]) -> Iterator[Finding]:
        wanted = {letter.message_id for letter in letters}
        for asked in answers.keys() - wanted:
            if asked in self._answered:
                yield Finding(wrong=Wrong.SECOND, what=f"{asked} of an earlier run was answered once more")
            else:
                yield Finding(wrong=Wrong.OTHER, what="a mail in the audit mailbox that is no answer to ours")

    def _answers(self, letter: Letter, answers: Sequence[bytes], at: datetime) -> Iterator[Finding]:
        copies = Counter(map(message_id, answers))
        if not copies:
            yield Finding(wrong=Wrong.LOST, what=f"{letter.message_id} was not answered")
            return
        self._answered[letter.message_id] = next(iter(copies))
        if len(copies) > 1:
            yield Finding(wrong=Wrong.SECOND, what=f"{letter.message_id} has {len(copies)} different answers")
        for more in (count for count in copies.values() if count > self.copies):
            yield Finding(wrong=Wrong.SECOND, what=f"an answer to {letter.message_id} came {more} times")
        given: dict[str, set[str]] = {name: set() for name in letter.files}
        for raw in answers:
            yield from self._read(letter, raw, at, given)
        for name, numbers in given.items():
            if len(numbers) != 1:
                wrong = Wrong.DOUBLED if numbers else Wrong.LOST
                yield Finding(wrong=wrong, what=f"{name} has {len(numbers)} numbers")
            for number in numbers:
                if self._numbers.setdefault(number, name) != name:
                    yield Finding(wrong=Wrong.DOUBLED, what=f"{number} was given to {name} and another file")

    def _read(self, letter: Letter, raw: bytes, at: datetime, given: dict[str, set[str]]) -> Iterator[Finding]:
        returns = {return_name(name): name for name in letter.files}
        try:
            answer = self.installation.open(letter.software, raw, at)
            for name, content in answer.files.items():
                if name in returns:
                    given[returns[name]] |= {told.number for told in read_told(content)}
        except (AnswerRefused, NotOfTheService) as error:
            yield Finding(wrong=Wrong.OTHER, what=f"an answer to {letter.message_id} cannot be read: {error}")

    def _holes(self, *, told: bool) -> Iterator[Finding]:
        """Sequences are dense in each territory and month. Where an answer was lost the hole is told as that."""
        sequences: dict[str, set[int]] = defaultdict(set)
        for number in self._numbers:
            sequences[number[:7]].add(int(number[7:13]))
        holes = {(place, one) for place, there in sequences.items() for one in {*range(1, max(there))} - there}
        new = holes - self._missing
        self._missing |= holes
        if told:
            for place, one in sorted(new):
                yield Finding(wrong=Wrong.DOUBLED, what=f"{place}{one:06} was given to nobody")


def _folders(letters: Sequence[Letter], found: Contents) -> Iterator[Finding]:
    """Each letter lies where it should, once, and nothing else anywhere."""
    wanted = Counter(letter.message_id for letter in letters)
    places = {
        "inbox": (found.inbox, Counter[str]()),
        "folder of what was processed": (found.processed, wanted),
        "quarantine": (found.quarantine, Counter[str]()),
    }
    for name, (mails, expected) in places.items():
        there = Counter(map(message_id, mails))
        if there != expected:
            missing, more = (expected - there).total(), (there - expected).total()
            yield Finding(wrong=Wrong.OTHER, what=f"{name}: {missing} mails are missing, {more} too many")
