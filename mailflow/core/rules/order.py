"""The rules on what a file says beside the form: which request it is about, who holds it, why it ends."""

from collections.abc import Iterator

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.codes import code_lists
from mailflow.core.identifiers import is_siren
from mailflow.core.life import HOUSED, INADMISSIBLE
from mailflow.core.model import CREATIONS, Operation, Request
from mailflow.core.order import Lease
from mailflow.core.rules.facts import Facts, is_abroad
from mailflow.core.shapes import coded_values

WITHOUT_FORM = (Operation.DEREGISTRATION, Operation.REMOVAL)


def elements_are_of_the_operation(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """Each operation has its elements: the form, the number and its holder, the deregistration."""
    at, operation = facts.at_request, facts.operation
    creates = operation is Operation.CREATION
    if creates and request.number:
        yield Anomaly(code=Code.NUMBER_GIVEN, path=f"{at}/numUnique")
    carried: list[tuple[str, object, bool]] = [
        ("titulaire", request.holder, not creates),
        ("demandeLogement", request.form, operation not in WITHOUT_FORM),
        ("radiation", request.deregistration, operation is Operation.DEREGISTRATION),
    ]
    for element, value, belongs in carried:
        if value is not None and not belongs:
            yield Anomaly(code=Code.NOT_OF_THE_OPERATION, path=f"{at}/{element}")


def request_is_named(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """What is done to a registered request names it by its number and by who holds it."""
    at, holder = facts.at_request, request.holder
    if facts.operation is not Operation.CREATION:
        if not request.number:
            yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/numUnique")
        if holder is None or not holder.company_name:
            if not (holder and holder.surname):
                yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/titulaire/nom")
            if not (holder and holder.born_on):
                yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/titulaire/dateNaissance")


def form_is_there(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """What makes or replaces the content of a request brings the form."""
    if facts.operation in (*CREATIONS, Operation.AMENDMENT) and request.form is None:
        yield Anomaly(code=Code.VALUE_MISSING, path=facts.at_root)


def motive_is_whole(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """Without a motive there is nothing else either; an inadmissible request has a sub-motive, no other one has."""
    deregistration = request.deregistration
    if deregistration is None:
        return
    at = f"{facts.at_request}/radiation"
    if not deregistration.motive:
        if deregistration.submotive or deregistration.lease:
            yield Anomaly(code=Code.MOTIVE_MISSING, path=f"{at}/motifRadiation")
        return
    if deregistration.motive == INADMISSIBLE and not deregistration.submotive:
        yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/sousMotifRadiation")
    if deregistration.motive != INADMISSIBLE and deregistration.submotive:
        yield Anomaly(code=Code.SUBMOTIVE_UNEXPECTED, path=f"{at}/sousMotifRadiation")
    if deregistration.motive == HOUSED and deregistration.lease is None:
        yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/bail")
    if deregistration.motive != HOUSED and deregistration.lease:
        yield Anomaly(code=Code.LEASE_UNEXPECTED, path=f"{at}/bail")


def lease_is_usable(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """A lease says who let what and since when; the dwelling is named by its RPLS identifier, or else described."""
    lease = request.deregistration.lease if request.deregistration else None
    if lease is None:
        return
    at = f"{facts.at_request}/radiation/bail"
    for element, value in _mandatory(lease):
        if not value:
            yield Anomaly(code=Code.VALUE_MISSING, path=f"{at}/{element}")
    if lease.landlord and not is_siren(lease.landlord):
        yield Anomaly(code=Code.SIREN_WRONG, path=f"{at}/sirenBailleur")
    if lease.signed_on and lease.signed_on > facts.received_on:
        yield Anomaly(code=Code.SIGNATURE_IN_FUTURE, path=f"{at}/dateSignature")


def _mandatory(lease: Lease) -> Iterator[tuple[str, object]]:
    yield "sirenBailleur", lease.landlord
    yield "dateSignature", lease.signed_on
    yield "dejaLocataire", lease.already_tenant is not None
    if not lease.dwelling:
        address = lease.address
        yield "adresse/voie", address and (address.street or address.locality)
        yield "adresse/codePostal", address and (address.postcode or is_abroad(address))
        yield "adresse/ville", address and address.town
        yield "typeLogement", lease.type
        yield "surface", lease.area is not None
        yield "loyer", lease.rent is not None


def codes_are_listed(request: Request, facts: Facts) -> Iterator[Anomaly]:
    """Every coded value is in its list, in a form version in use on the day of reception."""
    if request.deregistration is None:
        return
    lists = code_lists()
    in_use = lists.in_use(facts.received_on)
    for path, coded, value in coded_values(request.deregistration, f"{facts.at_request}/radiation"):
        if coded.code_list and value and not lists.holds(coded.code_list, value, in_use):
            yield Anomaly(code=Code.CODE_UNKNOWN, path=path)
