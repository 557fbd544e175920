"""What a request must satisfy to be registered, as far as it can be told without the register.

Each rule is a small function from the form and the facts to anomalies; all run, so that a sender learns of
every fault at once. What is mandatory, counted or coded follows the interface guide.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.calendar import anniversary
from mailflow.core.codes import code_lists
from mailflow.core.form import PLACES_MAX, HousingRequest, Person
from mailflow.core.identifiers import canonical_nir
from mailflow.core.identity import exact_key, is_usable
from mailflow.core.numbers import DeskCode, Territory, is_municipality_code, territory_of
from mailflow.core.rules_places import places_exist, postcode_is_of_the_town
from mailflow.core.shapes import coded_values

AGE_MAX_YEARS = 120
DEPOSIT_AGE_MAX_YEARS = 1

_POSTCODE = re.compile(r"[0-9]{5}")
# Loose on purpose: these two only warn.
_TELEPHONE = re.compile(r"\+?[0-9](?:[ .()/-]*[0-9]){5,18}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules know beside the form."""

    received_on: date
    """The legal day, in Paris, on which the message was received."""
    desk: DeskCode
    """The desk in the file's name, for which the request is filed."""
    at_root: str
    """Path of the form's element in the file; every anomaly's path begins with it."""


Rule = Callable[[HousingRequest, Facts], Iterable[Anomaly]]


def check(form: HousingRequest, facts: Facts) -> tuple[Anomaly, ...]:
    """Everything that is wrong with the form, or doubtful, in the order of the rules."""
    return tuple(anomaly for rule in RULES for anomaly in rule(form, facts))


def territory_sought(form: HousingRequest) -> Territory | None:
    """The one territory of all municipalities sought; None when there is none, or more than one."""
    found = {territory_of(code) for _, code in _places(form, "") if code}
    return found.pop() if len(found) == 1 else None


def _places(form: HousingRequest, root: str) -> list[tuple[str, str | None]]:
    """The municipalities sought: (path, code)."""
    places = form.sought.places if form.sought else ()
    at = f"{root}/logementRecherche/listeLocalisationSouhaite/localisationSouhaite"
    return [(f"{at}[{n}]/commune", place.municipality) for n, place in enumerate(places, start=1)]


def _persons(form: HousingRequest, root: str) -> Iterator[tuple[str, Person]]:
    """Those who would sign the lease: (path, person)."""
    if form.person and form.person.applicant:
        yield f"{root}/personnePhysique/demandeur", form.person.applicant
    if form.person and form.person.co_applicant:
        yield f"{root}/personnePhysique/coDemandeur", form.person.co_applicant


def values_present(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Every mandatory value is there; an empty one is not."""
    applicant = form.person.applicant if form.person else None
    co_applicant = form.person.co_applicant if form.person else None
    address = applicant.contact.address if applicant and applicant.contact else None
    sought = form.sought
    mandatory: list[tuple[str, object]] = [
        ("numGuichet", form.desk),
        ("dateCreationDemande", form.deposited_on),
        ("personnePhysique/demandeur/nom", applicant and applicant.surname),
        ("personnePhysique/demandeur/prenom", applicant and applicant.first_name),
        ("personnePhysique/demandeur/dateNaissance", applicant and applicant.born_on),
        # The attestation goes to this address and must state it.
        (
            "personnePhysique/demandeur/coordonnees/adresse/voie",
            address and (address.street or address.locality),
        ),
        ("personnePhysique/demandeur/coordonnees/adresse/codePostal", address and address.postcode),
        ("personnePhysique/demandeur/coordonnees/adresse/ville", address and address.town),
        ("pieceIdentite/typePieceIdentite", form.identity_document and form.identity_document.kind),
        ("logementRecherche/demandeElargie", sought and sought.widened is not None),
        ("logementRecherche/listeTypeLogement", sought and sought.types),
        ("logementRecherche/listeLocalisationSouhaite", sought and sought.places),
    ]
    if co_applicant:
        mandatory += [
            ("personnePhysique/coDemandeur/nom", co_applicant.surname),
            ("personnePhysique/coDemandeur/prenom", co_applicant.first_name),
            ("personnePhysique/coDemandeur/dateNaissance", co_applicant.born_on),
            ("personnePhysique/coDemandeur/lienDemandeur", co_applicant.link),
        ]
    for path, value in mandatory:
        if not value:
            yield Anomaly(code=Code.VALUE_MISSING, path=f"{facts.at_root}/{path}")
    types = f"{facts.at_root}/logementRecherche/listeTypeLogement/typeLogement"
    listed: list[tuple[str, str | None]] = [
        (f"{types}[{n}]", code) for n, code in enumerate(sought.types if sought else (), start=1)
    ]
    for path, code in listed + _places(form, facts.at_root):
        if not code:
            yield Anomaly(code=Code.VALUE_MISSING, path=path)


def codes_in_lists(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Every coded value is in its list, in the form version that the request names, if it names one."""
    lists = code_lists()
    version = form.form_version or None
    if version is not None and version not in lists.versions:
        yield Anomaly(code=Code.FORM_VERSION_UNKNOWN, path=f"{facts.at_root}/@versionFormulaire")
        version = None
    for path, coded, value in coded_values(form, facts.at_root):
        if coded.code_list and value and not lists.holds(coded.code_list, value, version):
            yield Anomaly(code=Code.CODE_UNKNOWN, path=path)


def desk_is_that_of_the_file(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """`numGuichet` is the desk in the file's name."""
    if form.desk and form.desk != facts.desk:
        yield Anomaly(code=Code.DESK_MISMATCH, path=f"{facts.at_root}/numGuichet")


def deposit_is_recent(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The deposit is neither after the reception nor more than a year before it."""
    path = f"{facts.at_root}/dateCreationDemande"
    if form.deposited_on is None:
        return
    if form.deposited_on > facts.received_on:
        yield Anomaly(code=Code.DEPOSIT_IN_FUTURE, path=path)
    elif form.deposited_on < anniversary(facts.received_on, -DEPOSIT_AGE_MAX_YEARS):
        yield Anomaly(code=Code.DEPOSIT_TOO_OLD, path=path)


def births_are_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Nobody is born after the deposit or older than anybody has been. There is no lowest age."""
    last = min(form.deposited_on or facts.received_on, facts.received_on)
    for path, person in _persons(form, facts.at_root):
        if person.born_on is None:
            continue
        if person.born_on > last:
            yield Anomaly(code=Code.BIRTH_IN_FUTURE, path=f"{path}/dateNaissance")
        elif person.born_on < anniversary(facts.received_on, -AGE_MAX_YEARS):
            yield Anomaly(code=Code.BIRTH_TOO_OLD, path=f"{path}/dateNaissance")


def names_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A surname and a first name have a letter: uniqueness rests on them."""
    for path, person in _persons(form, facts.at_root):
        for element, name in (("nom", person.surname), ("prenom", person.first_name)):
            if name and not is_usable(name):
                yield Anomaly(code=Code.NAME_UNUSABLE, path=f"{path}/{element}")


def co_applicant_is_another(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The co-applicant is not the applicant again: neither by names and birth date, nor by NIR."""
    nirs = [nir for _, person in _persons(form, facts.at_root) if person.nir and (nir := canonical_nir(person.nir))]
    persons = [
        exact_key(person.surname, person.first_name, person.born_on)
        for _, person in _persons(form, facts.at_root)
        if person.surname and person.first_name and person.born_on
    ]
    if len(persons) > len(set(persons)) or len(nirs) > len(set(nirs)):
        yield Anomaly(code=Code.CO_APPLICANT_IS_APPLICANT, path=f"{facts.at_root}/personnePhysique/coDemandeur")


def contact_is_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The postcode is one of France; a telephone or e-mail that looks wrong is only worth a warning."""
    contact = form.person.applicant.contact if form.person and form.person.applicant else None
    if contact is None:
        return
    path = f"{facts.at_root}/personnePhysique/demandeur/coordonnees"
    if contact.address and contact.address.postcode and not _POSTCODE.fullmatch(contact.address.postcode):
        yield Anomaly(code=Code.POSTCODE_WRONG, path=f"{path}/adresse/codePostal")
    if contact.telephone and not _TELEPHONE.fullmatch(contact.telephone):
        yield Anomaly(code=Code.TELEPHONE_DOUBTFUL, path=f"{path}/telephone")
    if contact.email and not _EMAIL.fullmatch(contact.email):
        yield Anomaly(code=Code.EMAIL_DOUBTFUL, path=f"{path}/courriel")


def types_are_distinct(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """No type of dwelling is named twice."""
    path = f"{facts.at_root}/logementRecherche/listeTypeLogement/typeLogement"
    types = form.sought.types if form.sought else ()
    for n in _repeated(types):
        yield Anomaly(code=Code.TYPE_REPEATED, path=f"{path}[{n + 1}]")


def places_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """One to ten different municipalities, each in a territory."""
    places = _places(form, facts.at_root)
    for n in _repeated([code for _, code in places]):
        yield Anomaly(code=Code.PLACE_REPEATED, path=places[n][0])
    if len(places) > PLACES_MAX:
        path = f"{facts.at_root}/logementRecherche/listeLocalisationSouhaite"
        yield Anomaly(code=Code.PLACES_TOO_MANY, path=path)
    for path, code in places:
        if not code:
            continue
        if not is_municipality_code(code):
            yield Anomaly(code=Code.MUNICIPALITY_CODE_WRONG, path=path)
        elif territory_of(code) is None:
            yield Anomaly(code=Code.TERRITORY_UNKNOWN, path=path)


def territory_is_one(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """All municipalities lie in one territory: the number carries only one."""
    territories = {territory_of(code) for _, code in _places(form, "") if code} - {None}
    if len(territories) > 1:
        path = f"{facts.at_root}/logementRecherche/listeLocalisationSouhaite"
        yield Anomaly(code=Code.TERRITORIES_MIXED, path=path)


def _repeated(values: Sequence[str | None]) -> Iterator[int]:
    """Where (from 0) a value stands that stood before."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value:
            if value in seen:
                yield index
            seen.add(value)


RULES: tuple[Rule, ...] = (
    values_present,
    codes_in_lists,
    desk_is_that_of_the_file,
    deposit_is_recent,
    births_are_plausible,
    names_are_usable,
    co_applicant_is_another,
    contact_is_usable,
    types_are_distinct,
    places_are_usable,
    territory_is_one,
    places_exist,
    postcode_is_of_the_town,
)
"""Creations only, so far; every rule is independent of the others."""
