"""What desks do in the simulated years, and how they write it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256

from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation, Request, RequestFile
from mailflow.core.numbers import DeskCode
from mailflow.core.order import Deregistration, Holder, Lease
from tests.simulation.years.cast import TOWNS
from tests.support.requests import a_form

LEASE = Lease(landlord="732829320", signed_on=date(2026, 8, 1), already_tenant=False, dwelling="RPLS-1")
FIRST_BIRTH = date(1940, 1, 1).toordinal()
BIRTHS = 23_000


class Kind(StrEnum):
    """What is done."""

    CREATE = "CRE"
    SEPARATE = "CRS"
    AMEND = "MOD"
    RENEW = "REN"
    END = "RAD"
    REACTIVATE = "RAD without motive"
    REMOVE = "SUP"

    @property
    def operation(self) -> Operation:
        return Operation(self.value[:3])


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody: nobody is like another, not in name, not in date of birth."""

    id: int

    @property
    def surname(self) -> str:
        syllables = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "ro", "su")
        return "".join(syllables[int(digit)] for digit in f"{self.id:06}").capitalize()

    @property
    def born_on(self) -> date:
        return date.fromordinal(FIRST_BIRTH + self.id * 7_919 % BIRTHS)


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a request says, as far as it matters here."""

    persons: tuple[Person, ...]
    """Applicant and co-applicant."""
    street: str
    """Changes with each amendment."""


@dataclass(kw_only=True)
class Act:
    """One request of a file."""

    kind: Kind
    desk: str
    territory: str
    received_at: datetime
    about: int | None = None
    """Which request; None for a creation."""
    number: str | None = None
    """Of that request."""
    holder: Person | None = None
    content: Content | None = None
    deposited_on: date | None = None
    """Of the form, when there is one."""
    motive: str | None = None
    intent: "Intent | None" = field(default=None, repr=False)
    """What the plan had in mind."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What somebody means to do one day, whether or not it is allowed then."""

    kind: Kind
    about: int | None = None
    persons: tuple[Person, ...] = ()
    territory: str = ""
    desk: str = ""
    """Empty: whichever serves the territory."""
    motive: str | None = None
    anew: bool = False
    """With a form, where the operation goes with and without."""
    late: bool = False
    """Received in the last minutes of the day."""


def file_of(acts: list[Act], sequence: int) -> RequestFile:
    """The file with these acts, all of one desk and one operation, as the wire reads it."""
    first = acts[0]
    made_at = first.received_at.replace(second=0, microsecond=0)
    name = f"DEM{first.desk}-{made_at:%Y%m%d%H%M}-{sequence % 1_000_000:06}.xml"
    return RequestFile(
        name=name,
        desk=DeskCode(first.desk),
        digest=sha256(f"{name} {sequence}".encode()).hexdigest(),
        version="02.01",
        operation=first.kind.operation,
        dated_at=made_at,
        requests=tuple(_request(act, f"{name} {place}") for place, act in enumerate(acts)),
    )


def _request(act: Act, unique: str) -> Request:
    holder = act.holder and Holder(surname=act.holder.surname, born_on=act.holder.born_on)
    lease = LEASE if act.motive == "RADATT" else None
    submotive = "IRRRES" if act.motive == "RADIRR" else None
    ends = act.kind is Kind.END
    return Request(
        form=form_of(act) if act.content else None,
        number=act.number,
        holder=holder or None,
        deregistration=Deregistration(motive=act.motive, submotive=submotive, lease=lease) if ends else None,
        digest=sha256(unique.encode()).hexdigest(),
    )


def form_of(act: Act) -> HousingRequest:
    """The form that the desk fills in."""
    assert act.content is not None
    assert act.deposited_on is not None
    applicant, *others = act.content.persons
    co_applicant = {
        "nom": others[0].surname,
        "prenom": "Zoé",
        "dateNaissance": others[0].born_on.isoformat(),
        "lienDemandeur": "M",
    } if others else None  # fmt: skip
    return a_form(
        {
            "numGuichet": act.desk,
            "dateCreationDemande": act.deposited_on.isoformat(),
            "personnePhysique/demandeur/nom": applicant.surname,
            "personnePhysique/demandeur/prenom": "Zoé",
            "personnePhysique/demandeur/dateNaissance": applicant.born_on.isoformat(),
            "personnePhysique/demandeur/coordonnees/adresse/voie": act.content.street,
            "personnePhysique/coDemandeur": co_applicant,
            "logementRecherche/listeLocalisationSouhaite": [{"commune": TOWNS[act.territory]}],
        }
    )
