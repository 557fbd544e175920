"""What everybody means to do in the two years, from a seed: lives that go well, and whatever desks get wrong."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from mailflow.core.calendar import PARIS
from tests.simulation.years.acts import Act, Content, Intent, Kind, Person
from tests.simulation.years.cast import DESKS, MANAGERS, NORD, REGION, START
from tests.simulation.years.law import ONE_DAY, Case, Law

MOTIVES = ("RADATT", "RADABA", "RADIRR", "RADCON")
MORNING, MIDNIGHT = time(9), time(23, 50)
SOON = timedelta(days=20)
"""A desk that is to be suspended within this time begins nothing any more."""


@dataclass(kw_only=True)
class Plan:
    """Deals out the acts of each day. Whoever is being dealt with is left alone until that is decided."""

    rng: random.Random
    law: Law
    intents: list[tuple[date, int, Intent]] = field(default_factory=list)
    count: int = 0
    persons: int = 0
    busy: set[int] = field(default_factory=set)
    """Persons about whom something is on its way."""

    def intend(self, day: date, intent: Intent) -> None:
        self.count += 1
        heapq.heappush(self.intents, (day, self.count, intent))

    def creations(self, requests: int) -> None:
        """As many people come, most of them early, so that their requests live through all that can happen."""
        for _ in range(requests):
            share = self.rng.random()
            first, last = (0, 120) if share < 0.5 else (120, 480) if share < 0.9 else (480, 700)
            couple = self.rng.random() < 0.25
            self.intend(
                START + timedelta(days=self.rng.randrange(first, last)),
                Intent(
                    kind=Kind.CREATE,
                    persons=tuple(self._somebody() for _ in range(1 + couple)),
                    territory=NORD if self.rng.random() < 0.7 else REGION,
                ),
            )

    def _somebody(self) -> Person:
        self.persons += 1
        return Person(id=self.persons)

    # From day to day

    def acts_of(self, day: date) -> Iterator[Act]:
        """What is sent this day."""
        minute = 0
        while self.intents and self.intents[0][0] <= day:
            _, _, intent = heapq.heappop(self.intents)
            persons = self.law.cases[intent.about].content.persons if intent.about is not None else intent.persons
            ids = {person.id for person in persons}
            if ids & self.busy:
                self.intend(day + ONE_DAY, intent)
                continue
            minute = (minute + 1) % 400
            moment = datetime.combine(day, MIDNIGHT if intent.late else MORNING, PARIS)
            act = self._act(intent, persons, day, moment if intent.late else moment + timedelta(minutes=minute))
            self.busy |= ids | {person.id for person in (act.content.persons if act.content else ())}
            yield act

    def _act(self, intent: Intent, persons: tuple[Person, ...], day: date, at: datetime) -> Act:
        case = self.law.cases[intent.about] if intent.about is not None else None
        territory = case.territory if case else intent.territory
        content: Content | None = None
        deposited_on: date | None = None
        holder = self.rng.choice(persons)
        match intent.kind:
            case Kind.CREATE:
                deposited_on = day - timedelta(days=self._since_deposit())
                content = Content(persons=persons, street=self._street())
            case Kind.SEPARATE:
                deposited_on = day
                content = Content(persons=(holder,), street=self._street())
            case Kind.AMEND | Kind.RENEW if case and (intent.anew or intent.kind is Kind.AMEND):
                deposited_on = case.deposited_on
                joins = (self._somebody(),) if len(persons) == 1 and self.rng.random() < 0.1 else ()
                content = Content(persons=(*persons, *joins), street=self._street())
        return Act(
            kind=intent.kind,
            desk=intent.desk or self._desk(intent.kind, territory, day),
            territory=territory,
            received_at=at,
            about=intent.about,
            number=case.number if case else None,
            holder=holder if case else None,
            content=content,
            deposited_on=deposited_on,
            motive=intent.motive,
            intent=intent,
        )

    def _since_deposit(self) -> int:
        return self.rng.randrange(6) if self.rng.random() < 0.7 else self.rng.randrange(360)

    def _street(self) -> str:
        return f"{self.rng.randrange(1, 100_000)} rue Inventée"

    def _desk(self, kind: Kind, territory: str, day: date) -> str:
        """One that serves the territory and may do this, now and when it is decided; the newcomer only looks on."""
        possible = [
            desk.code
            for desk in DESKS.values()
            if desk.territory == territory
            and desk.since < START
            and kind.operation in {right.value for right in desk.rights}
            and desk.acts_on(day)
            and desk.acts_on(day + SOON)
        ]
        return self.rng.choice(possible)

    # What follows from what was decided

    def decided(self, act: Act, *, done: bool) -> None:
        """Whoever it is about is free again; what was done has its consequences."""
        assert act.intent is not None
        concerned = [*act.intent.persons, *(act.content.persons if act.content else ())]
        case = self.law.cases[act.about] if act.about is not None else None
        concerned += case.content.persons if case else ()
        self.busy -= {person.id for person in concerned} | ({act.holder.id} if act.holder else set())
        if not done:
            return
        if act.kind in (Kind.CREATE, Kind.SEPARATE):
            self._foresee(self.law.cases[len(self.law.cases) - 1])
        elif case is not None:
            self._go_on(act, case)

    def _foresee(self, case: Case) -> None:
        """What may come to the mind of whoever has just been registered, and of desks."""
        day = case.registered_at.date()
        for chance, kind, first, last in (
            (0.02, Kind.REMOVE, 0, 3),
            (0.01, Kind.REMOVE, 4, 30),
            (0.30, Kind.AMEND, 1, 300),
            (0.08, Kind.AMEND, 1, 300),
            (0.22, Kind.END, 3, 330),
            (0.01, Kind.REACTIVATE, 1, 300),
        ):
            desk = case.desk if kind is Kind.REMOVE and self.rng.random() < 0.8 else ""
            self._perhaps(chance, day, first, last, Intent(kind=kind, about=case.id, motive=self._motive(), desk=desk))
        if len(case.content.persons) > 1:
            self._perhaps(0.25, day, 5, 300, Intent(kind=Kind.SEPARATE, about=case.id))
        again = Intent(kind=Kind.CREATE, persons=case.content.persons, territory=case.territory)
        self._perhaps(0.03, day, 1, 300, again)
        stranger = "75001" if case.territory == NORD else "59123"
        self._perhaps(0.02, day, 1, 300, Intent(kind=Kind.AMEND, about=case.id, desk=stranger))
        self._foresee_end(case)

    def _foresee_end(self, case: Case) -> None:
        """The last day comes: renewal, in time or not, or none."""
        last, chance = case.last_day, self.rng.random()
        renewal = Intent(kind=Kind.RENEW, about=case.id, anew=self.rng.random() < 0.2, late=self.rng.random() < 0.1)
        if chance < 0.10:
            self.intend(last, Intent(kind=Kind.RENEW, about=case.id, late=self.rng.random() < 0.5))
        elif chance < 0.50:
            self.intend(last - timedelta(days=self.rng.randrange(1, 60)), renewal)
        elif chance < 0.54:
            self.intend(last - timedelta(days=self.rng.randrange(61, 120)), renewal)
        elif chance < 0.60:
            self.intend(last + timedelta(days=self.rng.randrange(1, 20)), renewal)
        manager = Intent(kind=Kind.REACTIVATE, about=case.id, desk=MANAGERS[case.territory])
        if DESKS[manager.desk].suspended is None:
            self._perhaps(0.08, last, 2, 60, manager)
        self._perhaps(0.03, last, 2, 60, Intent(kind=Kind.REACTIVATE, about=case.id))
        self._perhaps(0.03, last, 370, 400, Intent(kind=Kind.REACTIVATE, about=case.id))
        anew = Intent(kind=Kind.CREATE, persons=case.content.persons, territory=case.territory)
        self._perhaps(0.08, last, 2, 60, anew)

    def _go_on(self, act: Act, case: Case) -> None:
        day = act.received_at.date()
        match act.kind:
            case Kind.RENEW:
                self._perhaps(0.10, day, 1, 20, Intent(kind=Kind.RENEW, about=case.id))
                self._foresee_end(case)
            case Kind.END:
                self._perhaps(0.25, day, 1, 90, Intent(kind=Kind.REACTIVATE, about=case.id))
                self._perhaps(0.05, day, 1, 90, Intent(kind=Kind.AMEND, about=case.id))
            case Kind.REACTIVATE:
                self._foresee_end(case)

    def _motive(self) -> str:
        return self.rng.choice(MOTIVES)

    def _perhaps(self, chance: float, day: date, first: int, last: int, intent: Intent) -> None:
        if self.rng.random() < chance:
            self.intend(day + timedelta(days=self.rng.randrange(first, last)), intent)
