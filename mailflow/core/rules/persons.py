"""The rules on who files the request and who would live in the dwelling."""

from collections.abc import Iterator
from datetime import timedelta

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.calendar import anniversary
from mailflow.core.form import HousingRequest, Member, Person
from mailflow.core.identifiers import canonical_nir
from mailflow.core.identity import exact_key, is_usable
from mailflow.core.model import Operation
from mailflow.core.rules.facts import Facts, filed_on, members, persons, repeated

AGE_MAX_YEARS = 120
AGE_OF_MAJORITY = 18
DEPENDANTS_MAX = 30
BIRTHS_MAX = 5
"""How many children may be expected at once."""
_PREGNANCY = timedelta(days=300)
_FAMILY_SITUATION_OF_LINK = {"M": "M", "P": "P", "C": "U"}
"""Of `lienDemandeur` to `situationFamiliale`; who shares a flat may be in any situation."""
_TENANTS_TOGETHER = frozenset({"M", "P"})
_FIRST_DIGIT = {"1": 1, "2": 2, "3": 2, "M": 1, "F": 2}
"""Of a NIR, by `civilite` or `sexe`; a provisional one has another that is odd or even likewise."""


def births_are_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Nobody is born after the deposit or older than anybody has been."""
    last = min(form.deposited_on or facts.received_on, facts.received_on)
    for path, member in members(form, facts.at_root):
        # A child may have been born since the deposit.
        latest = last if isinstance(member, Person) else facts.received_on
        if member.born_on is None:
            continue
        if member.born_on > latest:
            yield Anomaly(code=Code.BIRTH_IN_FUTURE, path=f"{path}/dateNaissance")
        elif member.born_on < anniversary(facts.received_on, -AGE_MAX_YEARS):
            yield Anomaly(code=Code.BIRTH_TOO_OLD, path=f"{path}/dateNaissance")


def signers_are_of_age(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Who would sign the lease is of age; only a warning, since minors may be emancipated."""
    today = filed_on(form, facts)
    for path, person in persons(form, facts.at_root):
        if person.born_on and anniversary(today, -AGE_OF_MAJORITY) < person.born_on <= today:
            yield Anomaly(code=Code.PERSON_MINOR, path=f"{path}/dateNaissance")


def names_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A surname and a first name have a letter: uniqueness rests on them."""
    for path, member in members(form, facts.at_root):
        for element, name in (("nom", member.surname), ("prenom", member.first_name)):
            if name and not is_usable(name):
                yield Anomaly(code=Code.NAME_UNUSABLE, path=f"{path}/{element}")


def nobody_is_named_twice(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The co-applicant is not the applicant again, and no dependant is one of them or another dependant."""
    everybody = list(members(form, facts.at_root))
    keys = [_key(member) for _, member in everybody]
    for n in repeated(keys):
        path, _ = everybody[n]
        code = Code.CO_APPLICANT_IS_APPLICANT if path.endswith("coDemandeur") else Code.PERSON_REPEATED
        yield Anomaly(code=code, path=path)


def _key(member: Member) -> str | None:
    if member.surname and member.first_name and member.born_on:
        return exact_key(member.surname, member.first_name, member.born_on)
    return None


def link_fits_the_family_situation(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Spouses are both married, partners both in a civil union, who lives together says so; else a warning."""
    co_applicant = form.person.co_applicant if form.person else None
    expected = _FAMILY_SITUATION_OF_LINK.get(co_applicant.link or "") if co_applicant else None
    if expected is None:
        return
    for path, person in persons(form, facts.at_root):
        if person.family_situation and person.family_situation != expected:
            yield Anomaly(code=Code.LINK_DOUBTFUL, path=f"{path}/situationFamiliale")


def spouse_is_named(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Who is married or in a civil union names the spouse or partner; else a warning. Not after a separation.

    They hold the lease together (article 1751 of the Civil Code).
    """
    person = form.person
    if person is None or person.applicant is None or person.co_applicant:
        return
    couple = person.applicant.family_situation in _TENANTS_TOGETHER
    if couple and facts.operation is not Operation.CREATION_AFTER_SEPARATION:
        yield Anomaly(code=Code.VALUE_EXPECTED, path=f"{facts.at_root}/personnePhysique/coDemandeur")


def nirs_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A NIR has its grammar and its key, is one person's, and goes with sex and birth date (that only warns)."""
    given = [(path, member) for path, member in members(form, facts.at_root) if member.nir]
    nirs = [canonical_nir(member.nir or "") for _, member in given]
    for n in repeated(nirs):
        yield Anomaly(code=Code.NIR_REPEATED, path=f"{given[n][0]}/nir")
    for (path, member), nir in zip(given, nirs, strict=True):
        if nir is None:
            yield Anomaly(code=Code.NIR_WRONG, path=f"{path}/nir")
        elif not _fits(nir, member):
            yield Anomaly(code=Code.NIR_DOUBTFUL, path=f"{path}/nir")


def _fits(nir: str, member: Member) -> bool:
    """Whether sex, year and month in the NIR are the person's."""
    first = _FIRST_DIGIT.get((member.title if isinstance(member, Person) else member.sex) or "")
    if first is not None and int(nir[0]) % 2 != first % 2:
        return False
    if member.born_on is None:
        return True
    month = int(nir[3:5])
    return nir[1:3] == f"{member.born_on:%y}" and (month > 12 or month == member.born_on.month)


def dependants_are_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Not too many; children are younger and parents older than those who would sign; custody is of children."""
    dependants = form.person.dependants if form.person else ()
    at = f"{facts.at_root}/personnePhysique/listePersonneACharge"
    if len(dependants) > DEPENDANTS_MAX:
        yield Anomaly(code=Code.DEPENDANTS_TOO_MANY, path=at)
    born = [person.born_on for _, person in persons(form, "") if person.born_on]
    for n, dependant in enumerate(dependants, start=1):
        path = f"{at}/personneACharge[{n}]"
        if dependant.shared_custody and dependant.kinship and dependant.kinship != "E":
            yield Anomaly(code=Code.CUSTODY_DOUBTFUL, path=f"{path}/coparentalite")
        if dependant.born_on and born:
            too_old = dependant.kinship == "E" and dependant.born_on <= min(born)
            too_young = dependant.kinship == "P" and dependant.born_on >= max(born)
            if too_old or too_young:
                yield Anomaly(code=Code.KINSHIP_DOUBTFUL, path=f"{path}/lienParente")


def births_expected_are_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """At least one child, and soon: who is born already is a dependant."""
    births = form.person.births if form.person else None
    if births is None:
        return
    path = f"{facts.at_root}/personnePhysique/naissanceAttendue"
    if births.count is not None and not 1 <= births.count <= BIRTHS_MAX:
        yield Anomaly(code=Code.BIRTHS_COUNT_WRONG, path=f"{path}/nombre")
    day = births.expected_on
    if day and not filed_on(form, facts) <= day <= facts.received_on + _PREGNANCY:
        yield Anomaly(code=Code.BIRTHS_DATE_DOUBTFUL, path=f"{path}/datePrevue")


def household_is_counted(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The number of persons is that of those who are named; else a warning, for somebody may be forgotten."""
    size = form.person.size if form.person else None
    if size is not None and size != sum(1 for _ in members(form, "")):
        yield Anomaly(code=Code.HOUSEHOLD_SIZE_DIFFERS, path=f"{facts.at_root}/personnePhysique/nombrePersonne")
