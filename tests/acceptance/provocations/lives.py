"""What can stand against an operation: who has a request already, whose it is, how it stands."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.core.order import Deregistration, Holder, Lease
from mailflow.wire.envelope import RequestElement
from tests.acceptance.provocations.stage import APPLICANT, COUPLE, LATER, Script, Stage, Story

OLD = {"dateCreationDemande": "2025-02-03"}
"""Its last day is near, so that it can be renewed."""
WITHDRAWN = Deregistration(motive="RADABA")
PLACES = "logementRecherche/listeLocalisationSouhaite"
LEASE = Lease(landlord="123456782", signed_on=None, already_tenant=True, dwelling="59X1")


def holder_of(form: HousingRequest) -> Holder:
    assert form.person is not None
    assert form.person.applicant is not None
    return Holder(surname=form.person.applicant.surname, born_on=form.person.applicant.born_on)


def named(number: str, before: HousingRequest, **further: Any) -> RequestElement:
    """The request of that number, as it was `before`."""
    return RequestElement(number=number, holder=holder_of(before), **further)


def after_creation(
    operation: str, *, sender: str = "ville", changes: dict[str, Any] | None = None, **further: Any
) -> Script:
    """One operation on a request that was just created."""

    def story(stage: Stage) -> Story:
        form = stage.form(changes)
        number = (yield stage.create(form)).number
        yield stage.do(operation, named(number, form, **further), sender=sender)

    return story


def amended(changes: Callable[[Stage], dict[str, Any]]) -> Script:
    """An amendment that says something else than the creation."""

    def story(stage: Stage) -> Story:
        form = stage.form()
        number = (yield stage.create(form)).number
        surname = holder_of(form).surname
        yield stage.do("MOD", named(number, form, form=stage.form({f"{APPLICANT}/nom": surname, **changes(stage)})))

    return story


# Uniqueness


def same_person(stage: Stage, changes: dict[str, Any], then: dict[str, Any], sender: str = "ville") -> Story:
    surname = stage.surname()
    yield stage.create(stage.form({f"{APPLICANT}/nom": surname, **changes}))
    desk = stage.software[sender].desk
    again = {"numGuichet": desk, f"{APPLICANT}/nom": surname, "logementRecherche/demandeElargie": "false", **then}
    yield stage.create(stage.form(again), sender=sender)


def request_exists(stage: Stage) -> Story:
    yield from same_person(stage, {}, {})


def homonym(stage: Stage) -> Story:
    yield from same_person(stage, {}, {f"{APPLICANT}/nir": "290029935012374"})


def same_nir(stage: Stage) -> Story:
    nir = {f"{APPLICANT}/nir": "290029935012473"}
    yield from same_person(stage, nir, {**nir, f"{APPLICANT}/nom": stage.surname()})


def near(stage: Stage) -> Story:
    surname = stage.surname()
    yield from same_person(stage, {f"{APPLICANT}/nom": surname}, {f"{APPLICANT}/nom": surname[:-1]}, sender="voisin")


# The life of a request


def unknown(stage: Stage) -> Story:
    yield stage.do("REN", named("0590126999999Z0001", stage.form()))


def overtaken(stage: Stage) -> Story:
    form = stage.form()
    number = (yield stage.create(form)).number
    file = stage.file("RAD", named(number, form, deregistration=WITHDRAWN), dated_at=stage.at - timedelta(days=1))
    yield stage.send(file)


def deregistered(stage: Stage) -> Story:
    form = stage.form()
    number = (yield stage.create(form)).number
    yield stage.do("RAD", named(number, form, deregistration=WITHDRAWN))
    yield stage.do("REN", named(number, form))


def removed(stage: Stage) -> Story:
    form = stage.form()
    number = (yield stage.create(form)).number
    yield stage.do("SUP", named(number, form))
    yield stage.do("REN", named(number, form))


def removed_late(stage: Stage) -> Story:
    form = stage.form()
    number = (yield stage.create(form)).number
    yield LATER
    yield stage.do("SUP", named(number, form))


def removed_after_others(stage: Stage) -> Story:
    form = stage.form()
    number = (yield stage.create(form)).number
    change = form.model_copy(update={"desk": "Z0002", "dwelling": None, "motives": ()})
    change = change.model_copy(update={"sought": change.sought and change.sought.model_copy(update={"widened": False})})
    yield stage.do("MOD", named(number, form, form=change), sender="voisin")
    yield stage.do("SUP", named(number, form))


def renewed_twice(stage: Stage) -> Story:
    form = stage.form(OLD)
    number = (yield stage.create(form)).number
    yield stage.do("REN", named(number, form))
    yield stage.do("REN", named(number, form))


def stranger_leaves(stage: Stage) -> Story:
    couple = {"nom": stage.surname(), "prenom": "Noël", "dateNaissance": "1988-07-01", "lienDemandeur": "M"}
    form = stage.form({COUPLE: couple})
    number = (yield stage.create(form)).number
    yield stage.do("CRS", named(number, form, form=stage.form()))


def exhausted(stage: Stage) -> Story:
    """All numbers of a month are given."""
    stage.exhaust("0325")
    yield stage.create(stage.form({"dateCreationDemande": "2025-03-03"}))


def deregistering(**values: Any) -> Script:
    return after_creation("RAD", deregistration=Deregistration(**values))


STORIES: dict[Code, Script] = {
    Code.REQUEST_EXISTS: request_exists,
    Code.HOMONYM_POSSIBLE: homonym,
    Code.NIR_EXISTS: same_nir,
    Code.REQUEST_MAY_EXIST: near,
    Code.NUMBER_UNKNOWN: unknown,
    Code.NOT_ACTIVE: deregistered,
    Code.NUMBER_REMOVED: removed,
    Code.ALREADY_ACTIVE: after_creation("RAD"),
    Code.NOT_THE_CREATOR: after_creation("SUP", sender="voisin"),
    Code.REMOVAL_TOO_LATE: removed_late,
    Code.ACTED_ON_BY_OTHERS: removed_after_others,
    Code.MANAGER_ONLY: deregistering(motive="RADREN"),
    Code.STILL_VALID: after_creation("RAD", sender="gestion", deregistration=Deregistration(motive="RADREN")),
    Code.FILE_OVERTAKEN: overtaken,
    Code.RENEWAL_TOO_EARLY: after_creation("REN"),
    Code.RENEWED_ALREADY: renewed_twice,
    Code.TERRITORY_CHANGED: amended(lambda _: {PLACES: [{"commune": "62041"}]}),
    Code.NOT_OF_THE_COUPLE: stranger_leaves,
    Code.MOTIVE_MISSING: deregistering(submotive="IRRSEJ"),
    Code.SUBMOTIVE_UNEXPECTED: deregistering(motive="RADABA", submotive="IRRSEJ"),
    Code.LEASE_UNEXPECTED: deregistering(motive="RADABA", lease=LEASE),
    Code.SIREN_WRONG: deregistering(motive="RADATT", lease=LEASE.model_copy(update={"landlord": "123456789"})),
    Code.SIGNATURE_IN_FUTURE: deregistering(
        motive="RADATT", lease=LEASE.model_copy(update={"signed_on": date(2026, 2, 1)})
    ),
    Code.NOT_OF_THE_OPERATION: after_creation("REN", deregistration=WITHDRAWN),
    Code.DEPOSIT_KEPT: amended(lambda _: {"dateCreationDemande": "2026-01-13"}),
    Code.SEQUENCE_EXHAUSTED: exhausted,
}
