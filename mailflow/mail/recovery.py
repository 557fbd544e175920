"""After a loss: what the mailboxes know of the lost time is given back to the register, before any number is given.

Which numbers went out, and to which request, is told by the answers in the audit mailbox, to who has the archive's
key. Without it the counters jump, and what was in the lost time waits for an operator. Numbers are stopped meanwhile
and stay so until somebody resumes them. Safe to kill at any line and to run again.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import default
from hashlib import sha256

from mailflow.core.anomalies import Code
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.mail import wording
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import AnswerRefused, open_answer
from mailflow.mail.hindsight import LOOKED_AT, Loss, require_told
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Folder
from mailflow.mail.worker import arrival
from mailflow.register import Register, departures, intake, issuing, restoring
from mailflow.register.journal import Act
from mailflow.register.restoring import Place
from mailflow.wire.acknowledgement import ACKNOWLEDGEMENT, read_codes
from mailflow.wire.dispatch import NotOfTheService, ReturnedCreations, read_creations
from mailflow.wire.names import Kind
from mailflow.wire.questions import NotAnAnswer, ToldNumbers, read_told_numbers

MAILS_AT_A_TIME = 50
NUMBER_OCTETS = 32 * 1_024
"""Of an answer that left whole, for each number that it tells, at least: the attestation takes more than three times
that. Of the parts of another one nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WentOut:
    """What lost answers say."""

    numbers: tuple[tuple[Place, UniqueNumber], ...] = ()
    """In the order in which they lie in the audit mailbox."""
    referred: tuple[tuple[DeskCode, str, UniqueNumber], ...] = ()
    """By desk and its own reference, as answers to questions tell them."""
    repeatable: tuple[tuple[DeskCode, str, str, UniqueNumber], ...] = ()
    """By desk, its own reference and the digest of what is asked for: of `numbers` those of requests that may come in
    another file as well, which may be decided first."""
    named: frozenset[UniqueNumber] = frozenset()
    """Of other requests: anomalies tell them of a person that is registered already, or may be, and questions ask."""
    rejected: Mapping[int, str] = field(default_factory=dict)
    """Mails that an operator had refused, once and for good, as their senders were told: Message-IDs by intake."""
    sealed: tuple[int, ...] = ()
    """UIDs of answers that the archive's key does not open, that the service did not sign, or that cannot be read."""

    @property
    def told(self) -> frozenset[UniqueNumber]:
        """All numbers whose requests are known."""
        return frozenset([number for _, number in self.numbers] + [number for *_, number in self.referred])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What is to be done."""

    loss: Loss
    went_out: WentOut
    jump: int
    """So many numbers each counter leaves out, because nobody can tell all that went out; 0 when somebody can."""


@dataclass(slots=True, kw_only=True)
class Recovered:
    """What was done."""

    reserved: int = 0
    counters: int = 0
    """That have jumped."""
    sent: int = 0
    """Mails that were ordered before, and had left in the lost time."""
    taken_in: int = 0
    held: int = 0
    skipped_to: int = 0
    """The number of the last mail that is left out."""
    oversize: list[int] = field(default_factory=list)
    """UIDs of mails in `Processed` that are too large to be read."""


async def read_answers(
    audit: Folder, loss: Loss, keys: Sequence[DecryptionKey], certificates: Sequence[bytes], at: datetime
) -> WentOut:
    """Open the lost answers by the archive's key. Raises Unavailable."""
    told = Told()
    seen, sealed = set(), []
    async for mail in audit.fetch(loss.audit.listing, sorted(loss.answers)):
        seen.add(mail.uid)
        try:
            answer = open_answer(mail.raw or b"", keys, certificates, at)
        except AnswerRefused:
            sealed.append(mail.uid)
            continue
        for name, octets in answer.files.items():
            with contextlib.suppress(NotOfTheService, NotAnAnswer):
                if name.startswith(ACKNOWLEDGEMENT) and Code.MAIL_REJECTED in read_codes(octets):
                    told.rejected[loss.answers[mail.uid]] = answer.in_reply_to
                elif name.startswith(Kind.RETURN):
                    told.by_file(read_creations(octets))
                elif name.startswith(Kind.STATUS):
                    told.by_questions(read_told_numbers(octets))
    unseen = sorted(loss.answers.keys() - seen)
    return WentOut(
        numbers=tuple(told.numbers),
        referred=told.clearly_referred(),
        repeatable=tuple(told.repeatable),
        named=frozenset(told.named),
        rejected=told.rejected,
        sealed=(*sealed, *unseen),
    )


@dataclass(slots=True)
class Told:
    """Gathers what `WentOut` says, file by file."""

    numbers: list[tuple[Place, UniqueNumber]] = field(default_factory=list)
    referred: list[tuple[DeskCode, str, UniqueNumber]] = field(default_factory=list)
    repeatable: list[tuple[DeskCode, str, str, UniqueNumber]] = field(default_factory=list)
    named: set[UniqueNumber] = field(default_factory=set)
    rejected: dict[int, str] = field(default_factory=dict)

    def by_file(self, returned: ReturnedCreations) -> None:
        desk = DeskCode(returned.desk)
        self._stand(desk, returned.digest, returned.numbers)
        self.repeatable += [(desk, name, asked, UniqueNumber(number)) for name, asked, number in returned.repeatable]
        self.named |= set(map(UniqueNumber, returned.named))

    def by_questions(self, answered: ToldNumbers) -> None:
        """A number may be told there before the answer that gives it has left."""
        desk = DeskCode(answered.desk)
        for digest, position, number in answered.by_file:
            self._stand(desk, digest, [(position, number)])
        self.referred += [(desk, reference, UniqueNumber(number)) for reference, number in answered.by_reference]
        self.named |= {number for *_, number in self.referred} | set(map(UniqueNumber, answered.named))

    def clearly_referred(self) -> tuple[tuple[DeskCode, str, UniqueNumber], ...]:
        """Those that no file tells, but for references that were of one request after the other."""
        by_file = {number for _, number in self.numbers}
        told: defaultdict[tuple[DeskCode, str], set[UniqueNumber]] = defaultdict(set)
        for desk, reference, number in self.referred:
            told[desk, reference].add(number)
        once = [one for one in self.referred if len(told[one[0], one[1]]) == 1]
        return tuple(one for one in dict.fromkeys(once) if one[2] not in by_file)

    def _stand(self, desk: DeskCode, digest: str, numbers: Iterable[tuple[int, str]]) -> None:
        self.numbers += [
            (Place(desk=desk, digest=digest, position=position), UniqueNumber(number)) for position, number in numbers
        ]


def _parts(mail: FetchedMail) -> int:
    """Of how many parts the answer is, which its subject says; 0 when it cannot be read."""
    if mail.raw is None:
        return 0
    return wording.parts_of(str(BytesHeaderParser(policy=default).parsebytes(mail.raw)["Subject"] or ""))


async def least_jump(register: Register, audit: Folder, loss: Loss, unopened: Sequence[int], *, in_one: int) -> int:
    """How many numbers each counter has to leave out so that none goes out again that these lost answers may tell.

    `unopened`: their UIDs; `in_one`: numbers that one answer tells at most. All may be of one territory and month.
    Never less than `restoring.JUMP`, since a number that was told may come after many in answers that never left; and
    as many again for each earlier restore of the same backup, whose counters left them out. Raises Unavailable.
    """
    octets, parts = Counter[int](), Counter[int]()
    for start in range(0, len(unopened), LOOKED_AT):
        some = unopened[start : start + LOOKED_AT]
        seen = await audit.look(loss.audit.listing, some)
        await require_told(audit, loss.audit.listing, some, [one.uid for one in seen])
        for one in seen:
            octets[loss.answers[one.uid]] += one.size_bytes
            parts[loss.answers[one.uid]] += 1
    parts_of: dict[int, int] = {}
    async for mail in audit.fetch(loss.audit.listing, unopened):
        parts_of[loss.answers[mail.uid]] = _parts(mail)
    async with register.read() as tx:
        latest = await restoring.latest_intake(tx)
    lives_before = max(0, max(loss.answers.values(), default=0) - latest - 1) // restoring.INTAKES_AHEAD
    told = sum(
        min(size // NUMBER_OCTETS, in_one) if 0 < parts_of.get(intake_id, 0) <= parts[intake_id] else in_one
        for intake_id, size in octets.items()
    )
    return max(told, restoring.JUMP) + lives_before * restoring.JUMP


async def recover(register: Register, processed: Folder, recovery: Recovery, act: Act, at: datetime) -> Recovered:
    """Do it. Raises Unavailable, also when a mail lies there that cannot be read; then it is to be done again."""
    done, loss, went_out = Recovered(), recovery.loss, recovery.went_out
    await issuing.stop(register, Act(by=issuing.SERVICE, why=loss.sentence if loss else act.why), at)
    async with register.begin() as tx:
        kept = list(went_out.numbers)
        kept += [(restoring.under_reference(tx, desk, name), one) for desk, name, one in went_out.referred]
        kept += [(restoring.under_reference(tx, desk, name, of), one) for desk, name, of, one in went_out.repeatable]
        done.reserved = await restoring.reserve(tx, kept, act, at, named=went_out.named)
        if recovery.jump:
            # First of all: what is taken in moves the window on in which lost answers are looked for, so who is cut off
            # is not asked for the jump the next time. Twice is too far, and never too short.
            done.counters = await restoring.jump(tx, recovery.jump, act, at)
        done.skipped_to = await restoring.skip_intakes(tx, max(loss.answers.values(), default=0))
        done.sent = await departures.record_sent(tx, loss.unsent, at)
    wanted, told = sorted({*loss.mails, *loss.nameless}), set[int]()
    batch: list[FetchedMail] = []
    async for mail in processed.fetch(loss.processed.listing, wanted):
        told.add(mail.uid)
        batch.append(mail)
        if len(batch) == MAILS_AT_A_TIME:
            await _take_in(register, processed, batch, done, at)
            batch = []
    await _take_in(register, processed, batch, done, at)
    # Before anything is accounted for: nobody would ever look for them below the mark.
    await require_told(processed, loss.processed.listing, wanted, told)
    async with register.begin() as tx:
        await restoring.put_first(tx, at)
        done.held = await restoring.hold_undecided(tx, None if recovery.jump else went_out.rejected, at)
        reached = {seen.mark_name: seen.mark for seen in (loss.processed, loss.audit)}
        detail: dict[str, str | int] = {
            "by": act.by,
            "why": act.why,
            "reserved": done.reserved,
            "counters_jumped": done.counters,
            "jump": recovery.jump,
            "sent": done.sent,
            "taken_in": done.taken_in,
            "held": done.held,
            "intakes_skipped_to": done.skipped_to,
        }
        await restoring.account(tx, reached, detail, at)
    return done


async def _take_in(
    register: Register, folder: Folder, mails: Sequence[FetchedMail], done: Recovered, at: datetime
) -> None:
    """Those that are known after all, by their octets, are left out; a MOVE that was cut off leaves one mail twice."""
    by_digest = {sha256(mail.raw).hexdigest(): mail for mail in reversed(mails) if mail.raw is not None}
    async with register.begin() as tx:
        known = await restoring.known_digests(tx, by_digest.keys())
        fresh = sorted((mail for one, mail in by_digest.items() if one not in known), key=lambda mail: mail.uid)
        await intake.take_in(tx, [arrival(folder.account, folder.name, mail) for mail in fresh], at)
        await restoring.put_first(tx, at)
    done.taken_in += len(fresh)
    done.oversize += [mail.uid for mail in mails if mail.raw is None]
