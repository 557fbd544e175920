"""The oracle: what must become of every request, from the law and the guide for vendors alone.

It is told what was sent and when it was received, and on which nights the service was at work. It knows nothing of the
register: no state of a request is stored here, but the facts from which each state follows on a given day.
"""

from calendar import isleap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from mailflow.core.calendar import PARIS
from tests.simulation.years.acts import Act, Content, Kind
from tests.simulation.years.cast import DESKS, START

NOTICE = timedelta(days=45)
RENEWABLE = timedelta(days=60)
"""How long before its last day a request can be renewed."""
ONE_DAY = timedelta(days=1)
REMOVABLE = timedelta(hours=72)
BEGINNING = datetime.combine(START, datetime.min.time(), PARIS)

UNKNOWN, NOT_ACTIVE, REMOVED, ACTIVE = "CTRL_CYC_0001", "CTRL_CYC_0002", "CTRL_CYC_0003", "CTRL_CYC_0004"
NOT_THE_CREATOR, TOO_LATE, OTHERS_ACTED = "CTRL_CYC_0005", "CTRL_CYC_0006", "CTRL_CYC_0007"
MANAGER_ONLY, TOO_EARLY, NO_COUPLE, EXISTS = "CTRL_CYC_0008", "CTRL_CYC_0011", "CTRL_CYC_0014", "CTRL_UNI_0001"


def a_year_later(day: date) -> date:
    """The anniversary: that of 29 February is the 28th where there is no 29th."""
    if (day.month, day.day) == (2, 29) and not isleap(day.year + 1):
        return date(day.year + 1, 2, 28)
    return date(day.year + 1, day.month, day.day)


@dataclass(kw_only=True)
class Case:
    """One request: what happened to it."""

    id: int
    territory: str
    desk: str
    """That created it."""
    deposited_on: date
    counts_from: date
    """Deposit, last renewal, or the deposit after a separation: it is valid for a year from that day."""
    content: Content
    registered_at: datetime
    number: str = ""
    renewed_on: date | None = None
    ended: tuple[str, date] | None = None
    """Deregistered by somebody: motive and day."""
    removed_on: date | None = None
    others_acted: bool = False
    changes: int = 1
    touched_on: date
    """Day of the last change, which is dispatched the night after."""
    lapse_written: bool = False
    """The service has deregistered it for want of renewal."""
    noticed: list[tuple[date, date]] = field(default_factory=list)
    """Last days of which its desk was told, with the night in which it was."""
    erased_on: date | None = None

    @property
    def last_day(self) -> date:
        return a_year_later(self.counts_from)

    @property
    def is_noticed(self) -> bool:
        """Whether its desk was told of its present last day."""
        return any(last == self.last_day for last, _ in self.noticed)

    def standing(self, day: date) -> str:
        """As of `day`: `active`, `lapsed`, `radiee` or `supprimee`."""
        if self.removed_on is not None:
            return "supprimee"
        if self.ended is not None:
            return "radiee"
        return "active" if day <= self.last_day else "lapsed"

    def end(self, day: date) -> tuple[str, str | None, date] | None:
        """State, motive and day of the end, as it stands on `day`; None while it is active."""
        match self.standing(day):
            case "supprimee":
                assert self.removed_on is not None
                return "supprimee", None, self.removed_on
            case "radiee":
                assert self.ended is not None
                return "radiee", *self.ended
            case "lapsed":
                return "radiee", "RADREN", self.last_day + ONE_DAY
        return None


@dataclass(kw_only=True)
class Law:
    """Everything that must be so."""

    cases: dict[int, Case] = field(default_factory=dict)
    living: set[int] = field(default_factory=set)
    """Cases that are to be looked at each night for notice and lapse."""
    ended: set[int] = field(default_factory=set)
    """Those that are to be erased one day."""
    holders: dict[tuple[str, int], int] = field(default_factory=dict)
    """By territory and person: the request by which they can have no other."""
    lapses: list[tuple[str, date]] = field(default_factory=list)
    """Numbers, with the night in which they were found not to be renewed."""
    now: datetime = BEGINNING
    """When the service decides."""

    # What desks send

    def decide(self, act: Act, number: str) -> set[str]:
        """The codes by which it is refused; none: it is done. `number` is what the register gave."""
        day = act.received_at.date()
        if act.kind is Kind.CREATE:
            assert act.content is not None
            if self._taken(act.territory, act.content):
                return {EXISTS}
            self._begin(act, number, None)
            return set()
        assert act.about is not None
        case = self.cases[act.about]
        codes = set(self._refusals(act, case, day))
        if not codes:
            self._do(act, case, day, number)
        return codes

    def _taken(self, territory: str, content: Content) -> bool:
        return any((territory, person.id) in self.holders for person in content.persons)

    def _refusals(self, act: Act, case: Case, day: date) -> Iterator[str]:
        desk, standing = DESKS[act.desk], case.standing(day)
        if desk.territory != case.territory or case.erased_on or act.holder not in case.content.persons:
            yield UNKNOWN
        elif standing == "supprimee":
            yield REMOVED
        elif act.kind is Kind.REMOVE:
            yield from self._removal_refused(act, case)
        elif act.kind is Kind.REACTIVATE:
            if standing == "active":
                yield ACTIVE
            elif standing == "lapsed" and not desk.manages:
                yield MANAGER_ONLY
            elif self._taken(case.territory, case.content):
                yield EXISTS
        elif standing != "active":
            yield NOT_ACTIVE
        elif act.kind is Kind.SEPARATE and len(case.content.persons) < 2:
            yield NO_COUPLE
        elif act.kind is Kind.RENEW and day < case.last_day - RENEWABLE and not _renewed_lately(case, day):
            yield TOO_EARLY

    def _removal_refused(self, act: Act, case: Case) -> Iterator[str]:
        if act.desk != case.desk:
            yield NOT_THE_CREATOR
            return
        if act.received_at > case.registered_at + REMOVABLE:
            yield TOO_LATE
        if case.others_acted:
            yield OTHERS_ACTED

    def _do(self, act: Act, case: Case, day: date, number: str) -> None:
        before = (case.counts_from, case.content, case.ended, case.removed_on)
        self._release(case)
        match act.kind:
            case Kind.SEPARATE:
                left = tuple(person for person in case.content.persons if person != act.holder)
                case.content = Content(persons=left, street=case.content.street)
                self._begin(act, number, case)
            case Kind.RENEW if not _renewed_lately(case, day):
                case.counts_from = case.renewed_on = day
            case Kind.END:
                assert act.motive is not None
                case.ended = (act.motive, day)
            case Kind.REACTIVATE:
                case.ended = None
                if day > case.last_day:
                    case.counts_from = case.renewed_on = day
            case Kind.REMOVE:
                case.removed_on = day
        if act.kind in (Kind.AMEND, Kind.RENEW) and act.content is not None:
            case.content = act.content
        # What was amended in time stays ended, if that was found out before the amendment came to be decided.
        case.lapse_written = case.lapse_written and case.counts_from == before[0]
        if case.standing(day) == "active" and not case.lapse_written:
            self._hold(case)
        if before != (case.counts_from, case.content, case.ended, case.removed_on):
            self._touch(case, act.desk)

    def _begin(self, act: Act, number: str, couple: Case | None) -> None:
        assert act.content is not None
        assert act.deposited_on is not None
        case = Case(
            id=len(self.cases),
            territory=act.territory,
            desk=act.desk,
            deposited_on=couple.deposited_on if couple else act.deposited_on,
            counts_from=act.deposited_on,
            content=act.content,
            registered_at=self.now,
            number=number,
            renewed_on=act.deposited_on if couple else None,
            touched_on=self.now.date(),
        )
        self.cases[case.id] = case
        self._hold(case)

    def _touch(self, case: Case, desk: str | None) -> None:
        case.changes += 1
        case.touched_on = self.now.date()
        case.others_acted |= desk is not None and desk != case.desk

    def _hold(self, case: Case) -> None:
        self.living.add(case.id)
        self.ended.discard(case.id)
        for person in case.content.persons:
            self.holders[case.territory, person.id] = case.id

    def _release(self, case: Case) -> None:
        self.living.discard(case.id)
        self.ended.add(case.id)
        for person in case.content.persons:
            if self.holders.get((case.territory, person.id)) == case.id:
                del self.holders[case.territory, person.id]

    # What time does

    def night(self, day: date) -> None:
        """The service is at work in the night that begins this day."""
        for case in [self.cases[id_] for id_ in self.living]:
            if day > case.last_day:
                case.lapse_written = True
                self.lapses.append((case.number, day))
                self._release(case)
                self._touch(case, None)
            elif case.last_day - NOTICE <= day and DESKS[case.desk].acts_on(day) and not case.is_noticed:
                case.noticed.append((case.last_day, day))
        for case in [self.cases[id_] for id_ in self.ended]:
            ended = case.end(day)
            assert ended is not None
            if day >= a_year_later(ended[2]):
                case.erased_on = day
                self.ended.discard(case.id)

    # What follows

    def notices(self) -> dict[tuple[str, date], date]:
        """The night in which each number's last day was told."""
        return {(case.number, last): night for case in self.cases.values() for last, night in case.noticed}

    def numbers_wrong(self) -> Iterator[str]:
        """Territory, month of the first deposit, desk; sequences without holes."""
        found: dict[str, list[int]] = defaultdict(list)
        for case in self.cases.values():
            head, sequence, desk = case.number[:7], case.number[7:13], case.number[13:]
            if (head, desk) != (f"{case.territory}{case.deposited_on:%m%y}", case.desk):
                yield f"{case.number}: deposited on {case.deposited_on} at {case.desk}"
            found[head].append(int(sequence))
        for head, sequences in found.items():
            if sorted(sequences) != list(range(1, len(sequences) + 1)):
                yield f"{head}: sequences with holes, or twice"


def _renewed_lately(case: Case, day: date) -> bool:
    """A second renewal for the same year changes nothing."""
    return case.renewed_on is not None and day < case.last_day - RENEWABLE and day - case.renewed_on <= RENEWABLE
