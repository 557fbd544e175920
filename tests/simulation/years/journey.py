"""Two years from a seed: day by day what is sent, decided and due; at checkpoints everything against the law."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.calendar import PARIS, legal_day
from mailflow.core.model import FileReceipt, Refused, Registered
from mailflow.core.numbers import UniqueNumber
from mailflow.errors import Unavailable
from mailflow.jobs.orders import Dispatch, Notice
from mailflow.mail.holdings import Holding
from mailflow.register import Register, Transaction, requests
from mailflow.register.key_tables import content_key
from mailflow.register.requests import StoredRequest
from mailflow.register.tables import intake, journal, outbox
from tests.simulation.years.acts import Act, Content
from tests.simulation.years.cast import DESKS, END, START
from tests.simulation.years.copies import Copies
from tests.simulation.years.law import ONE_DAY, Case, Law
from tests.simulation.years.plan import MORNING, Plan
from tests.simulation.years.service import EVENING, Service, in_order
from tests.support.databases import VAULT
from tests.support.jobs import TERMS

STOP = range(205, 214)
"""Days, counted from the start, on which the service is down."""
DAILY = {*range(544, 550), *range(570, 576)}
"""Days on each of which it is at work: around 29 February 2028 and the change of the clocks."""
CHECK_DAYS = 61
FINDINGS_MAX = 10
STATES = {"active": "active", "deregistered": "radiee", "removed": "supprimee"}


@dataclass(kw_only=True)
class Journey:
    """The two years of one seed."""

    service: Service
    copies: Copies
    law: Law = field(default_factory=Law)
    plan: Plan
    waiting: list[Act] = field(default_factory=list)
    notices: dict[tuple[str, date], date] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    async def day(self, day: date) -> None:
        """What was received until the evening is decided."""
        evening = datetime.combine(day, EVENING, PARIS)
        self.law.now = evening
        now = [act for act in self.waiting if act.received_at <= evening]
        self.waiting = self.waiting[len(now) :]
        try:
            decided = await self.service.decide(now, day)
        except Unavailable as error:
            self.wrong.append(f"the service is alone, and yet would have to try again: {error}")
            return
        for receipt, acts in decided:
            self.copies.answered(receipt)
            self.compare(receipt, acts)
        self.copies.read()

    async def night(self, day: date) -> None:
        """What time does, and what it tells desks."""
        self.law.now = datetime.combine(day, datetime.min.time(), PARIS)
        self.law.night(day)
        for order in await self.service.night(day):
            if isinstance(order, Dispatch):
                self.copies.dispatched([order])
            else:
                self.noticed(order, day)

    def noticed(self, order: Notice, night: date) -> None:
        for number, last in order.requests:
            if (number, last) in self.notices:
                self.wrong.append(f"{number}: told twice of {last}")
            self.notices[number, last] = night

    def compare(self, receipt: FileReceipt, acts: list[Act]) -> None:
        """What was decided, with what had to be."""
        if len(receipt.outcomes) != len(acts):
            self.wrong.append(f"{receipt.file.name}: {[anomaly.code for anomaly in receipt.anomalies]}")
            return
        for act, outcome in zip(acts, receipt.outcomes, strict=True):
            number = outcome.number if isinstance(outcome, Registered) else ""
            codes = self.law.decide(act, number)
            found = {a.code.value for a in outcome.anomalies} if isinstance(outcome, Refused) else set()
            said = f"{act.kind} of {act.number} by {act.desk} on {act.received_at}"
            self.wrong += _differs(said, codes, found)
            self.plan.decided(act, done=not codes)

    async def check(self, day: date) -> None:
        """All that is wrong after this night: desks know everything by now."""
        self.wrong += self.copies.wrong
        async with self.service.register.read() as tx:
            stored = await requests.find_all(tx, [case.number for case in self.law.cases.values()])
            self.wrong += [*await self._night_work_differs(tx), *await self._rest_differs(tx, day)]
        for case in self.law.cases.values():
            self.wrong += _differs(case.number, _expected(case, day), _found(stored.get(UniqueNumber(case.number))))
        known = await self.copies.catch_up(self.service, datetime.combine(day, MORNING, PARIS))
        for desk in DESKS.values():
            if desk.consults and desk.acts_on(day):
                self.wrong += self._copy_differs(desk.code, known[desk.code], day)
        self.wrong += _differs("notices", self.law.notices(), self.notices)
        self.wrong += list(self.law.numbers_wrong())
        self.wrong += await self.service.audit(day)

    def _copy_differs(self, code: str, known: Mapping[str, Holding], day: date) -> Iterator[str]:
        desk = DESKS[code]
        expected = {
            case.number: _copied(case, day)
            for case in self.law.cases.values()
            if case.territory == desk.territory and case.touched_on >= desk.since
        }
        found = {number: (one.state, one.expires_on, one.revision, _content(one.form)) for number, one in known.items()}
        for number in expected.keys() | found.keys():
            yield from _differs(f"{number} at {code}", expected.get(number), found.get(number))

    async def _night_work_differs(self, tx: Transaction) -> Iterator[str]:
        """Each lapse and each erasure is on record once, in the night in which it was due."""
        statement = sa.select(journal.c.kind, journal.c.number, journal.c.at)
        found = await tx.all(statement.where(journal.c.kind.in_(["expired", "purged"])))
        erased = [(case.number, case.erased_on) for case in self.law.cases.values() if case.erased_on]
        expected = sorted([("expired", *one) for one in self.law.lapses] + [("purged", *one) for one in erased])
        nights = sorted((row.kind, row.number, legal_day(row.at)) for row in found)
        return _differs("the work of the nights", expected, nights)

    async def _rest_differs(self, tx: Transaction, day: date) -> Iterator[str]:
        """What is kept: the mails of the last ninety days, and the keys of all that is kept, no other."""
        since = day - TERMS.retention
        expected = {
            intake.name: sum(at >= since for at in self.service.decided),
            outbox.name: sum(at >= since for at in self.service.sent),
        }
        living = sum(case.erased_on is None for case in self.law.cases.values())
        expected["keys"] = living + sum(expected.values())
        found = {}
        for table in (intake, outbox):
            kept = sa.select(sa.func.count()).select_from(table).where(table.c.raw.is_not(None))
            found[table.name] = (await tx.all(kept))[0][0]
        async with tx.keys.read() as store:
            found["keys"] = (await store.all(sa.select(sa.func.count()).select_from(content_key)))[0][0]
        return _differs("what is kept", expected, found)


def _expected(case: Case, day: date) -> Any:
    end = case.end(day) or ("active", None, None)
    days = (case.deposited_on, case.renewed_on, case.last_day)
    return (*end, *days, case.changes, None if case.erased_on else case.content)


def _found(stored: StoredRequest | None) -> Any:
    if stored is None:
        return None
    life = stored.life
    days = (life.deposited_on, life.renewed_on, life.expires_on)
    content = _content(json.loads(stored.payload)) if stored.payload else None
    return (STATES[life.state], life.motive, life.ended_on, *days, stored.revision, content)


def _copied(case: Case, day: date) -> Any:
    end = case.end(day)
    if end is not None:
        return end[0], None, case.changes, None
    return "active", case.last_day, case.changes, case.content


def _content(form: Mapping[str, Any] | None) -> Any:
    """What matters of it here, as the plan has it."""
    if form is None:
        return None
    person = form["personnePhysique"]
    signers = [person["demandeur"], *([person["coDemandeur"]] if "coDemandeur" in person else [])]
    street = person["demandeur"]["coordonnees"]["adresse"]["voie"]
    return tuple(signer["nom"] for signer in signers), street


def _differs(what: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, tuple):
        expected = tuple(_comparable(one) for one in expected)
    if expected != found:
        yield f"{what}: {_brief(found)}, not {_brief(expected)}"


def _comparable(value: Any) -> Any:
    return (tuple(p.surname for p in value.persons), value.street) if isinstance(value, Content) else value


def _brief(value: Any) -> str:
    return str(value)[:200]


async def travel(url: str, seed: int, people: int, *, every: int) -> tuple[list[str], Journey]:
    """Live through the two years; what was wrong at the first checkpoint at which anything was.

    The service is at work every so many days: the rest of the time it is down, and has it all to make up for.
    """
    rng, law = random.Random(seed), Law()
    register = Register.open(url, VAULT)
    try:
        service = await Service.open(register)
        journey = Journey(service=service, copies=Copies(rng=random.Random(seed)), law=law, plan=Plan(rng=rng, law=law))
        journey.plan.creations(people)
        checked = 0
        for number in range((END - START).days + 1):
            day = START + number * ONE_DAY
            journey.waiting += in_order(list(journey.plan.acts_of(day)))
            if number in STOP or (number % every and number not in DAILY):
                continue
            await journey.night(day)
            if number - checked >= CHECK_DAYS:
                checked = number
                await journey.check(day)
            await journey.day(day)
            if journey.wrong:
                break
        else:
            await journey.night(END + ONE_DAY)
            await journey.check(END + ONE_DAY)
        return journey.wrong[:FINDINGS_MAX], journey
    finally:
        await register.close()
