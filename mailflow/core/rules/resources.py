"""The rules on incomes and monthly resources: amounts, years, and what goes with the professional situation."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest, Resource
from mailflow.core.rules.facts import Facts, filed_on, members, persons, repeated

MONTHLY_AMOUNT_DOUBTFUL = Decimal(20_000)
"""Euros a month from which a resource is taken for a yearly one."""
_SALARY, _PENSION, _STUDENT_GRANT = "SAL", "RET", "BE"
_RESOURCES_OF_EMPLOYMENT = {
    "CDI": {_SALARY},
    "CDD": {_SALARY},
    "ART": {_SALARY},
    "APP": {_SALARY},
    "RET": {_PENSION, "AMV", "PINV"},
}
"""Of which, beside others, who is in that professional situation lives."""


def tax_years_are_the_last_two(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The years are those before the form, one after the other; older ones only warn: there may be no newer notice."""
    this_year = filed_on(form, facts).year
    for path, member in members(form, facts.at_root):
        income = member.tax_income
        for name, year, last in (
            ("anneeMoins1", income and income.year_before, this_year - 1),
            ("anneeMoins2", income and income.year_before_last, this_year - 2),
        ):
            if year and year > last:
                yield Anomaly(code=Code.TAX_YEAR_WRONG, path=f"{path}/revenuFiscal/{name}")
            elif year and year < last:
                yield Anomaly(code=Code.TAX_YEAR_OLD, path=f"{path}/revenuFiscal/{name}")


def resources_are_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Each kind once for each person, and of the size of a month; else a warning."""
    for at, member in members(form, facts.at_root):
        each: tuple[tuple[str, Sequence[Resource]], ...] = (
            ("listeRessourceRecue", member.received),
            ("listeRessourceVersee", member.paid),
        )
        for name, resources in each:
            path = f"{at}/{name}/detailRessource"
            for n in repeated([resource.kind for resource in resources]):
                yield Anomaly(code=Code.RESOURCE_REPEATED, path=f"{path}[{n + 1}]")
            for n, resource in enumerate(resources, start=1):
                if resource.amount is not None and resource.amount >= MONTHLY_AMOUNT_DOUBTFUL:
                    yield Anomaly(code=Code.MONTHLY_AMOUNT_DOUBTFUL, path=f"{path}[{n}]/montant")
        if member.received and _sum(member.paid) > _sum(member.received):
            yield Anomaly(code=Code.PAID_OVER_RECEIVED, path=f"{at}/listeRessourceVersee")


def resources_fit_the_employment(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Who works has a salary, who is retired a pension, and a student grant is a student's; else a warning."""
    for path, person in persons(form, facts.at_root):
        employment = person.employment.kind if person.employment else None
        kinds = {resource.kind for resource in person.received} - {None, ""}
        if not employment or not kinds:
            continue
        expected = _RESOURCES_OF_EMPLOYMENT.get(employment)
        if (expected and not kinds & expected) or (_STUDENT_GRANT in kinds and employment not in ("ETU", "APP")):
            yield Anomaly(code=Code.RESOURCES_DOUBTFUL, path=f"{path}/listeRessourceRecue")


def rent_can_be_paid(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The highest rent is not more than the household receives, when it says what it receives; else a warning."""
    received = sum((_sum(member.received) for _, member in members(form, "")), Decimal(0))
    rent = form.sought.rent_max if form.sought else None
    if rent is not None and received and rent > received:
        yield Anomaly(code=Code.RENT_OVER_RESOURCES, path=f"{facts.at_root}/logementRecherche/loyerMaximum")


def _sum(resources: Sequence[Resource]) -> Decimal:
    return sum((resource.amount for resource in resources if resource.amount is not None), Decimal(0))
