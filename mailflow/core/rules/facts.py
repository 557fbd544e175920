"""What every rule is given, and how it finds its way through a form."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from mailflow.core.anomalies import Anomaly
from mailflow.core.calendar import anniversary
from mailflow.core.form import Address, Contact, HousingRequest, Member, Person
from mailflow.core.model import CREATIONS, Operation
from mailflow.core.numbers import DeskCode

DEPOSIT_AGE_MAX_YEARS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules know beside the form."""

    received_on: date
    """The legal day, in Paris, on which the message was received."""
    desk: DeskCode
    """The desk in the file's name, for which the request is filed."""
    operation: Operation
    """What the form is filed for."""
    at_root: str
    """Path of the form's element in the file; the path of every anomaly of the form begins with it."""

    @property
    def at_request(self) -> str:
        """Path of the request's element, in which the form stands beside what the operation says."""
        return self.at_root.rpartition("/")[0]


Rule = Callable[[HousingRequest, Facts], Iterable[Anomaly]]


def filed_on(form: HousingRequest, facts: Facts) -> date:
    """The day as of which the form speaks: the deposit of a creation, if that can be, else its reception."""
    day = form.deposited_on
    if facts.operation in CREATIONS and day and oldest_deposit(facts) <= day <= facts.received_on:
        return day
    return facts.received_on


def oldest_deposit(facts: Facts) -> date:
    """The first day on which a request that is created now can have been deposited."""
    return anniversary(facts.received_on, -DEPOSIT_AGE_MAX_YEARS)


def persons(form: HousingRequest, root: str) -> Iterator[tuple[str, Person]]:
    """Those who would sign the lease: (path, person)."""
    if form.person and form.person.applicant:
        yield f"{root}/personnePhysique/demandeur", form.person.applicant
    if form.person and form.person.co_applicant:
        yield f"{root}/personnePhysique/coDemandeur", form.person.co_applicant


def members(form: HousingRequest, root: str) -> Iterator[tuple[str, Member]]:
    """Everybody of the household: (path, member)."""
    yield from persons(form, root)
    for n, dependant in enumerate(form.person.dependants if form.person else (), start=1):
        yield f"{root}/personnePhysique/listePersonneACharge/personneACharge[{n}]", dependant


def contacts(form: HousingRequest, root: str) -> Iterator[tuple[str, Contact]]:
    """How everybody is reached who can be: (path, contact)."""
    for path, person in persons(form, root):
        if person.contact:
            yield f"{path}/coordonnees", person.contact
    if form.association and form.association.contact:
        yield f"{root}/personneMorale/coordonnees", form.association.contact


def is_abroad(address: Address) -> bool:
    """Whether the address names a country, and another one than France."""
    return (address.country or "France").casefold() != "france"


def repeated(values: Sequence[object]) -> Iterator[int]:
    """Where (from 0) a value stands that stood before; what is empty does not count."""
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value:
            if value in seen:
                yield index
            seen.add(value)
