"""What a request must satisfy to be registered, as far as it can be told without the register.

Each rule is a small function from the form, or the whole request, and the facts to anomalies; all run, so that a
sender learns of every fault at once. What is mandatory, counted or coded follows the interface guide. A new rule goes
into the module of its theme and into `RULES`, or `ORDER_RULES` when it is about what stands beside the form.
"""

from collections.abc import Callable, Iterable

from mailflow.core.anomalies import Anomaly
from mailflow.core.form import HousingRequest
from mailflow.core.model import Request
from mailflow.core.rules import contact, dwelling, geography, order, persons, places, presence, resources
from mailflow.core.rules.facts import Facts, Rule
from mailflow.core.rules.places import territory_sought

__all__ = ["ORDER_RULES", "RULES", "Facts", "OrderRule", "Rule", "check", "check_request", "territory_sought"]

OrderRule = Callable[[Request, Facts], Iterable[Anomaly]]

RULES: tuple[Rule, ...] = (
    presence.values_present,
    presence.one_kind_of_applicant,
    presence.codes_in_lists,
    presence.desk_is_that_of_the_file,
    presence.deposit_is_recent,
    persons.births_are_plausible,
    persons.signers_are_of_age,
    persons.names_are_usable,
    persons.nobody_is_named_twice,
    persons.link_fits_the_family_situation,
    persons.spouse_is_named,
    persons.nirs_are_usable,
    persons.dependants_are_plausible,
    persons.births_expected_are_plausible,
    persons.household_is_counted,
    contact.contact_is_usable,
    contact.identity_document_is_plausible,
    contact.association_is_usable,
    resources.tax_years_are_the_last_two,
    resources.resources_are_plausible,
    resources.resources_fit_the_employment,
    resources.rent_can_be_paid,
    dwelling.dwelling_is_plausible,
    dwelling.motives_are_few_and_distinct,
    dwelling.motives_fit_the_situation,
    dwelling.handicap_is_consistent,
    dwelling.dalo_is_consistent,
    places.types_are_distinct,
    places.places_are_usable,
    places.territory_is_one,
    geography.places_exist,
    geography.postcode_is_of_the_town,
    presence.parts_are_whole,
    presence.values_expected,
)
"""For every operation that brings a form; every rule is independent of the others."""


ORDER_RULES: tuple[OrderRule, ...] = (
    order.elements_are_of_the_operation,
    order.request_is_named,
    order.form_is_there,
    order.motive_is_whole,
    order.lease_is_usable,
    order.codes_are_listed,
)
"""For every operation, with or without a form."""


def check(form: HousingRequest, facts: Facts) -> tuple[Anomaly, ...]:
    """Everything that is wrong with the form, or doubtful, in the order of the rules."""
    return tuple(anomaly for rule in RULES for anomaly in rule(form, facts))


def check_request(request: Request, facts: Facts) -> tuple[Anomaly, ...]:
    """Everything that is wrong with the request, or doubtful; of its form, if the operation carries one."""
    of_order = tuple(anomaly for rule in ORDER_RULES for anomaly in rule(request, facts))
    if request.form is None or facts.operation in order.WITHOUT_FORM:
        return of_order
    return of_order + check(request.form, facts)
