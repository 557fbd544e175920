"""Shadow replay: past mails judged and decided again with this version, its rules and today's enrolments.

Each mail by itself, in the register as it stood when that mail was decided, so that one difference brings no others
about. Received is when it was received; decided, for mandates, when it was decided; revocation is what is known today.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.errors import Unavailable
from mailflow.log import event, fault
from mailflow.mail.door import Judges
from mailflow.mail.judge import Unjudged
from mailflow.mail.kinds import ANSWER
from mailflow.mail.model import Accepted, Rejected, Undetermined, Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.register import Transaction, decided
from mailflow.register.acts import OPERATOR
from mailflow.register.decided import Chosen, Decided
from mailflow.register.past import Moment
from mailflow.register.types import IntakeState
from mailflow.register.vault import SealBroken
from mailflow.registrar import Terms
from mailflow.review import comparison, surroundings
from mailflow.review.comparison import Compared, Difference, Doubt, Outcomes, Unit
from mailflow.review.scratch import Scratch
from mailflow.review.surroundings import Changes

CHUNK, CHUNK_BYTES_MAX = 50, 16 << 20
"""Mails, and octets of mails, that are read and judged at a time; one larger mail goes alone."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One mail, decided again."""

    intake: int
    outcomes: Sequence[Compared]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Decides past mails again. `tx` is one view of the register, which nothing here can change."""

    tx: Transaction
    judges: Judges
    terms: Terms
    scratch: Scratch
    at: datetime
    """The moment of judging: what is known of revocations now."""

    async def replay(self, chosen: Sequence[Chosen]) -> AsyncIterator[Replayed]:
        """These mails, in the order in which they were decided. Raises Unavailable."""
        changes: Changes | None = None  # known from the first mail on
        done = 0
        for chunk in _chunks(chosen):
            mails = await decided.read(self.tx, [one.id for one in chunk], ANSWER)
            for spoilt in {one.id for one in chunk} - {mail.id for mail in mails}:
                yield Replayed(intake=spoilt, outcomes=_nothing_comparable(Doubt.SPOILT))
            for mail, verdict in zip(mails, await self._judge(mails), strict=True):
                changes = changes or Changes(mail.decided_at)
                yield Replayed(intake=mail.id, outcomes=await self._compare(mail, verdict, changes))
            done += len(chunk)
            event(log, "replayed", mails=done, of=len(chosen))

    async def _judge(self, mails: Sequence[Decided]) -> list[Verdict | None]:
        """The verdict on each; None for one that cannot be judged: it is poison to this version."""
        left = [Unjudged(intake=mail.id, raw=mail.raw, received_at=mail.received_at) for mail in mails]
        verdicts: list[Verdict | None] = []
        together = len(left)
        while left:
            try:
                told = [one for one in await self.judges.judge(left[:together], self.at) if one is not None]
                verdicts += told
                left = left[len(told) :]
            except TaskFailed:
                if together == 1:
                    verdicts.append(None)
                    left = left[1:]
                together = 1
        return verdicts

    async def _compare(self, mail: Decided, verdict: Verdict | None, changes: Changes) -> list[Compared]:
        if mail.reason in (OPERATOR, Code.MAIL_REJECTED):
            return _nothing_comparable(Doubt.OPERATOR)
        if mail.answer is None and mail.state is IntakeState.ANSWERED:
            return _nothing_comparable(Doubt.NO_RECORD)
        then = comparison.on_record(mail.reason, mail.answer)
        match verdict:
            case Undetermined():
                return _nothing_comparable(Doubt.REVOCATION)
            case Rejected(anomalies=anomalies, reply=reply):
                told = anomalies if reply else anomalies[:1]
                return comparison.compare(then, comparison.refused(anomaly.code for anomaly in told), {})
            case Accepted():
                try:
                    now, doubts = await self._decide(mail, verdict, changes)
                except SealBroken:
                    return _nothing_comparable(Doubt.SPOILT)
                return comparison.compare(then, now, doubts)
            case None:
                return comparison.compare(then, comparison.refused([Code.INTERNAL_FAULT]), {})

    async def _decide(
        self, mail: Decided, verdict: Accepted, changes: Changes
    ) -> tuple[Outcomes, Mapping[Unit, Doubt]]:
        moment = Moment(intake=mail.id, at=mail.decided_at, earlier=await decided.decided_before(self.tx, mail))
        try:
            around = await surroundings.around(self.tx, verdict.submission, moment, changes)
            receipts = await self.scratch.decide(verdict.submission, around, self.terms, mail.decided_at)
        except (Unavailable, SealBroken):
            raise
        except Exception as error:  # noqa: BLE001  what this version breaks on is an outcome, not the end of the replay
            fault(log, "replay-failed", error, intake=mail.id)
            return comparison.refused([Code.INTERNAL_FAULT]), {}
        now = comparison.decided(verdict.anomalies, receipts, verdict.inquiry.files)
        doubts = {unit: around.doubts[place] for unit in now if (place := (unit.place, unit.position)) in around.doubts}
        return now, doubts


def _chunks(chosen: Sequence[Chosen]) -> Iterator[Sequence[Chosen]]:
    chunk: list[Chosen] = []
    for one in chosen:
        octets = sum(each.size_bytes for each in chunk)
        if chunk and (len(chunk) == CHUNK or octets + one.size_bytes > CHUNK_BYTES_MAX):
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


def _nothing_comparable(doubt: Doubt) -> list[Compared]:
    return [Compared(unit=Unit(), difference=Difference.NOT_COMPARABLE, doubt=doubt)]
