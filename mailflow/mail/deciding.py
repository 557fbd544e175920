"""The deciding transaction of a chunk: what its verdicts become in the register, all of it or nothing (M4)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mailflow import registrar
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.canary import CANARY_DESKS
from mailflow.core.evidence import Proof
from mailflow.core.inquiry import QuestionReceipt
from mailflow.core.model import FileReceipt, Outcome, Refused, Registered, SenderCode
from mailflow.core.rates import Load
from mailflow.core.succession import Successor
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail import succession
from mailflow.mail.bounces import Bounce
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.judge import Unjudged
from mailflow.mail.keeping import keep_proofs
from mailflow.mail.kinds import ANSWER, KINDS
from mailflow.mail.model import Accepted, Rejected, Reply, ReplyContext, Undetermined, Verdict
from mailflow.meter import Meter
from mailflow.register import Transaction, evidence, gates, intake, issuing, journal, outbox, queues, rates
from mailflow.register.gates import Gate
from mailflow.registrar import Terms

log = logging.getLogger(__name__)


STOPPED_AGAIN = timedelta(hours=1)
"""How long a mail waits at most until it is asked again whether numbers are given; `issuing.resume` makes it due."""


class ClockBehind(Unavailable):
    """By what else is known it is later: some mails wait until a clock is set, and nothing is wrong with the rest."""


Judged = tuple[intake.Claimed, Verdict]
"""A mail with its verdict, to be decided."""


async def judge(door: MailDoor, mails: Sequence[intake.Claimed]) -> list[list[Judged]]:
    """The verdicts, as many mails together as one transaction may decide; some mails may be left out, for later.

    Raises Unavailable; anything else means that one of the mails cannot be judged.
    """
    unjudged = [Unjudged(intake=m.id, raw=m.raw, received_at=m.received_at) for m in mails]
    verdicts = await door.judges.judge(unjudged, door.clock())
    portions: list[list[Judged]] = []
    requests = 0
    for mail, verdict in zip(mails, verdicts, strict=True):
        if verdict is None:
            continue
        more = verdict.requests if isinstance(verdict, Accepted) else 0
        if not portions or requests + more > door.pace.requests_max:
            portions.append([])
            requests = 0
        portions[-1].append((mail, verdict))
        requests += more
    return portions


async def decide(door: MailDoor, terms: Terms, judged: Sequence[Judged]) -> Progress:
    """Write what follows of these verdicts, in one transaction. Raises whatever stands in the way.

    `Unavailable` (a stale directory and a lost lease included) says nothing against the mails; anything else means
    that one of them cannot be processed, and that nothing was. No mail is decided before it came: by a clock that was
    put back a request of today is one of the future, and refused, and a number bears another month.
    """
    decision = Decision(door=door, at=door.clock())
    require_no_earlier(decision.at, max(mail.came_at for mail, _ in judged))
    async with door.register.begin() as tx:
        await decision.register(tx, terms, judged)
        await decision.write(tx)
    return decision.announce()


def require_no_earlier(at: datetime, came_at: datetime) -> None:
    """Raises ClockBehind when by two clocks a mail came later than it is now: which of them is wrong is open."""
    if at < came_at:
        raise ClockBehind(
            f"clock: it is {at:%Y-%m-%d %H:%M}, yet a mail came {came_at:%Y-%m-%d %H:%M} by the mail server's clock and"
            " by ours; set the one that is wrong, until then the mail waits"
        )


@dataclass(slots=True, kw_only=True)
class Decision:
    """What one transaction writes about the mails of a chunk."""

    door: MailDoor
    at: datetime
    settlements: list[intake.Settlement] = field(default_factory=list)
    undetermined: list[tuple[intake.Claimed, Undetermined]] = field(default_factory=list)
    put_off: list[rates.PutOff] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    """Mails that wait until numbers are given."""
    replies: list[Reply] = field(default_factory=list)
    bounces: list[tuple[intake.Claimed, Bounce]] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    entries: list[journal.Entry] = field(default_factory=list)
    received: dict[int, datetime] = field(default_factory=dict)
    """When each mail that is settled had come."""

    async def register(self, tx: Transaction, terms: Terms, judged: Sequence[Judged]) -> None:
        """Have the registrar decide what was accepted and is within its sender's rates; sort the rest."""
        await self._hold_enrolments(tx, judged)
        if await issuing.hold(tx) is not None:
            judged = await self._without_numbers(tx, judged)
        judged = await self._within_rates(tx, judged)
        accepted = [verdict for _, verdict in judged if isinstance(verdict, Accepted)]
        receipts = iter(await registrar.submit(tx, [v.submission for v in accepted], terms, self.at))
        # Asked afterwards: a file that came in the same mail is decided by now.
        asking = [verdict.inquiry for verdict in accepted if verdict.inquiry.files]
        answers = iter(await registrar.answer_questions(tx, asking, terms, self.at) if asking else ())
        for mail, verdict in judged:
            match verdict:
                case Accepted():
                    questions = next(answers) if verdict.inquiry.files else ()
                    self._answer(
                        mail, verdict.reply, next(receipts).files, verdict.anomalies, "", questions, verdict.proof
                    )
                    if verdict.successor is not None:
                        await self._succeed(tx, mail, verdict.reply.sender, verdict.successor)
                case Rejected(reply=None):
                    self.set_aside(mail, verdict.anomalies[0].code, verdict.detail)
                    if verdict.bounce is not None and verdict.bounce.failed:
                        self.bounces.append((mail, verdict.bounce))
                case Rejected(reply=ReplyContext() as context):
                    reason = verdict.anomalies[0].code
                    self._answer(mail, context, (), verdict.anomalies, reason)
                case Undetermined():
                    self.undetermined.append((mail, verdict))

    async def _hold_enrolments(self, tx: Transaction, judged: Sequence[Judged]) -> None:
        """As they are, before a sender is locked; and alone when a certificate may be enrolled at once."""
        offers = any(isinstance(verdict, Accepted) and verdict.successor is not None for _, verdict in judged)
        if offers and self.door.pace.successor_at_once:
            await gates.have_alone(tx, Gate.TRUST)
        else:
            await gates.hold(tx, Gate.TRUST)

    async def _without_numbers(self, tx: Transaction, judged: Sequence[Judged]) -> Sequence[Judged]:
        """Those that can be decided while no numbers are given. The others wait, and none of it is an attempt."""
        accepted = [(mail, verdict) for mail, verdict in judged if isinstance(verdict, Accepted)]
        needed = await registrar.need_numbers(tx, [verdict.submission for _, verdict in accepted])
        self.stopped = [mail.id for (mail, _), needs in zip(accepted, needed, strict=True) if needs]
        waiting = set(self.stopped)
        return [(mail, verdict) for mail, verdict in judged if mail.id not in waiting]

    async def _within_rates(self, tx: Transaction, judged: Sequence[Judged]) -> Sequence[Judged]:
        """Those of a proven sender that are beyond its rates wait for their turn, and keep nobody else waiting."""
        pace = self.door.pace
        asked = {
            mail.id: rates.Asked(
                intake=mail.id,
                sender=verdict.reply.sender,
                load=Load(bytes=len(mail.raw), requests=verdict.requests if isinstance(verdict, Accepted) else 0),
                received_at=mail.received_at,
                no_later=mail.received_at + pace.deadline / 2,
            )
            for mail, verdict in judged
            if not mail.counted and isinstance(verdict, Accepted | Rejected) and verdict.reply is not None
        }
        turns = await rates.take_turns(tx, list(asked.values()), pace.rates, self.at)
        for id_, turn in turns.items():
            one = asked[id_]
            in_time = turn.at <= one.received_at + pace.deadline - pace.audit_reserve
            why = rates.Beyond.RATE if in_time else rates.Beyond.RATE_LATE
            self.put_off.append(rates.PutOff(intake=id_, sender=one.sender, turn=turn, why=why))
        return [(mail, verdict) for mail, verdict in judged if mail.id not in turns]

    async def _succeed(self, tx: Transaction, mail: intake.Claimed, sender: SenderCode, successor: Successor) -> None:
        """The enrolments are still those of the proof: the registrar has looked, and holds them."""
        told = await succession.receive(
            tx,
            sender,
            successor,
            intake_id=mail.id,
            at_once=self.door.pace.successor_at_once,
            domain=self._domain,
            at=self.at,
        )
        self.replies[-1] = replace(self.replies[-1], successor=told)

    @property
    def _domain(self) -> str:
        return self.door.address.rpartition("@")[2]

    def set_aside(self, mail: intake.Claimed, reason: Code, detail: str) -> None:
        """Nobody is answered; the operator finds the mail with its reason."""
        self._settle(mail, "set_aside", reason, detail, sender=None)

    def _answer(
        self,
        mail: intake.Claimed,
        context: ReplyContext,
        files: tuple[FileReceipt, ...],
        anomalies: tuple[Anomaly, ...],
        reason: str,
        questions: tuple[QuestionReceipt, ...] = (),
        proof: Proof | None = None,
    ) -> None:
        self.replies.append(
            Reply(
                context=context,
                intake=mail.id,
                received_at=mail.received_at,
                decided_at=self.at,
                files=files,
                anomalies=anomalies,
                questions=questions,
            )
        )
        self._settle(mail, "answered", reason, "", sender=context.sender, proof=proof)
        self.entries += [
            journal.Entry(
                kind="questions-answered",
                intake_id=mail.id,
                sender=context.sender,
                desk=file.file.desk or None,
                detail={"questions": len(file.file.questions), "unknown": _unknown(file)},
            )
            for file in questions
        ]

    def _settle(
        self,
        mail: intake.Claimed,
        state: str,
        reason: str,
        detail: str,
        sender: str | None,
        proof: Proof | None = None,
    ) -> None:
        named = {}
        if proof is not None:
            self.proofs.append(proof)
            named = {evidence.DIGEST: proof.evidence.digest}
        self.received[mail.id] = mail.received_at
        self.settlements.append(intake.Settlement(id=mail.id, state=state, reason=reason, detail=detail, sender=sender))
        self.entries.append(
            journal.Entry(
                kind=f"mail-{state.replace('_', '-')}",
                intake_id=mail.id,
                number=None,
                sender=sender,
                desk=None,
                detail={"reason": reason, "detail": detail, **named},
            )
        )

    async def write(self, tx: Transaction) -> None:
        """Orders for answers, journal and the mails' new states; the last check is that the claims still hold."""
        await outbox.queue(tx, [self._draft(reply) for reply in self.replies], self.at)
        for mail, bounce in self.bounces:
            await queues.record_bounce(
                tx,
                envelope_id=bounce.envelope_id,
                message_id=bounce.message_id,
                verp=bounce.verp,
                intake_id=mail.id,
                at=self.at,
            )
        await keep_proofs(tx, self.proofs, self.door.judges.served)
        await journal.append(tx, self.entries, self.at)
        await intake.settle(tx, self.door.owner, self.settlements, self.at)
        await rates.put_off(tx, self.door.owner, self.put_off)
        await intake.await_numbers(tx, self.door.owner, self.stopped, self.at + STOPPED_AGAIN, reason=issuing.WAITS)
        for mail, verdict in self.undetermined:
            await intake.postpone(
                tx,
                self.door.owner,
                [mail.id],
                self.at + self.door.pace.undetermined_retry,
                reason=verdict.anomaly.code,
                detail=verdict.detail,
            )

    def _draft(self, reply: Reply) -> outbox.Draft:
        """The immutable order. It is named after the intake alone, so that a repeat is recognised."""
        return outbox.Draft(
            kind=ANSWER,
            key=str(reply.intake),
            intake_id=reply.intake,
            recipient=reply.context.recipient,
            domain=self._domain,
            dated_at=self.at,
            payload=KINDS[ANSWER].order.dump_json(reply),
        )

    def announce(self) -> Progress:
        """One log line per mail, once it is committed; and the counts."""
        outcomes = [(file, o) for reply in self.replies for file in reply.files for o in file.outcomes]
        registered = [(file, o) for file, o in outcomes if isinstance(o, Registered)]
        fresh = sum(not (file.repeated or outcome.replayed) for file, outcome in registered)
        for settlement in self.settlements:
            event(
                log,
                settlement.state.replace("_", "-"),
                intake=settlement.id,
                sender=settlement.sender,
                reason=settlement.reason or None,
            )
        for mail, verdict in self.undetermined:
            event(log, "undetermined", intake=mail.id, reason=verdict.anomaly.code.value)
        for one in self.put_off:
            event(log, "waits-its-turn", intake=one.intake, sender=one.sender, reason=one.why, budget=one.turn.budget)
        for id_ in self.stopped:
            event(log, "waits-for-numbers", intake=id_)
        self._measure()
        return Progress(
            answered=len(self.replies),
            questions=sum(len(file.answers) for reply in self.replies for file in reply.questions),
            set_aside=sum(settlement.state == "set_aside" for settlement in self.settlements),
            undetermined=len(self.undetermined),
            put_off=len(self.put_off),
            stopped=len(self.stopped),
            registered=fresh,
            replayed=len(registered) - fresh,
            refused=len(outcomes) - len(registered),
        )

    def _measure(self) -> None:
        """How mails and requests fared, by sender and desk, and what was wrong with them."""
        meter = self.door.meter
        for settlement in self.settlements:
            meter.count("mail", sender=settlement.sender or "", outcome=settlement.state)
            meter.mail(
                settlement.id,
                "decided",
                self.received[settlement.id],
                self.at,
                outcome=settlement.state,
                sender=settlement.sender,
                reason=settlement.reason,
            )
            if settlement.sender is None:
                meter.count("anomaly", code=settlement.reason)
        for mail, verdict in self.undetermined:
            meter.mail(mail.id, "undetermined", mail.received_at, self.at, reason=verdict.anomaly.code)
            meter.count("mail", sender="", outcome="undetermined")
            meter.count("anomaly", code=verdict.anomaly.code)
        for one in self.put_off:
            meter.count("mail", sender=one.sender, outcome="put_off")
        self._measure_replies(meter)

    def _measure_replies(self, meter: Meter) -> None:
        for reply in self.replies:
            for anomaly in reply.anomalies:
                meter.count("anomaly", code=anomaly.code)
            for file in reply.files:
                for anomaly in file.anomalies:
                    meter.count("anomaly", code=anomaly.code)
                for outcome in file.outcomes if file.file.desk not in CANARY_DESKS.values() else ():
                    meter.count("request", desk=file.file.desk, outcome=_word(file, outcome))
                    for anomaly in outcome.anomalies:
                        meter.count("anomaly", code=anomaly.code)
            for asked in reply.questions:
                told = [anomaly for answer in asked.answers if not answer.requests for anomaly in answer.anomalies]
                for anomaly in (*asked.anomalies, *told):
                    meter.count("anomaly", code=anomaly.code)


def _word(file: FileReceipt, outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        return "refused"
    return "replayed" if file.repeated or outcome.replayed else "registered"


def _unknown(file: QuestionReceipt) -> int:
    """How many questions were about what the desk may not know: many of one sender may be attempts to find out."""
    return sum(a.code is Code.QUESTION_UNKNOWN for answer in file.answers for a in answer.anomalies)
