"""Registered requests for tests of what is done to them: three desks, and how a request stands."""

from datetime import date

from mailflow.core.form import HousingRequest
from mailflow.core.life import Life
from mailflow.core.model import Outcome, Registered, Right
from mailflow.core.order import Lease
from mailflow.register import Register, history, requests
from mailflow.wire.envelope import RequestElement
from tests.support.reception import Reception, a_request, number_of
from tests.support.records import rows

ALL = frozenset(Right) - {Right.MANAGE}
LEASE = Lease(landlord="732829320", signed_on=date(2026, 1, 10), already_tenant=False, dwelling="RPLS-1")


async def three_desks(register: Register) -> Reception:
    """59123 may do everything in the Nord and in Paris, 59777 in the Nord, where 59000 is the manager too."""
    opened = Reception(register)
    await opened.enrol(rights=ALL, territories=["059", "111"])
    await opened.enrol("conseil", "59777", rights=ALL, territories=["059"])
    await opened.enrol("prefecture", "59000", rights=frozenset(Right), territories=["059"])
    return opened


def done(outcome: Outcome) -> Registered:
    assert isinstance(outcome, Registered), outcome
    return outcome


def warned(outcome: Outcome) -> list[str]:
    return [anomaly.code.name for anomaly in done(outcome).anomalies]


async def registered(reception: Reception, form: HousingRequest | None = None, sequence: int = 1) -> str:
    return number_of(await create(reception, form or a_request("Durand"), sequence))


async def create(reception: Reception, form: HousingRequest, sequence: int) -> Outcome:
    (outcome,) = await reception.act("CRE", RequestElement(form=form), sequence=sequence)
    return outcome


async def stored(reception: Reception, number: str) -> requests.StoredRequest:
    async with reception.register.read() as tx:
        found = await requests.find(tx, number)
    assert found is not None
    return found


async def life_of(reception: Reception, number: str) -> Life:
    return (await stored(reception, number)).life


async def form_of(reception: Reception, number: str) -> HousingRequest:
    return HousingRequest.model_validate_json((await stored(reception, number)).payload or b"")


async def past(reception: Reception, number: str) -> list[history.Entry]:
    async with reception.register.read() as tx:
        return [kept.entry for kept in await history.of_number(tx, number)]


async def held(reception: Reception) -> int:
    """How many persons have an active request, by what they are found by."""
    (exact,) = await rows(reception.register, "SELECT count(*) FROM active_identity")
    (near,) = await rows(reception.register, "SELECT count(*) FROM near_person")
    assert exact[0] == near[0]
    return int(exact[0])


def with_nir(form: HousingRequest, number: str) -> HousingRequest:
    assert form.person
    assert form.person.applicant
    applicant = form.person.applicant.model_copy(update={"nir": number})
    return form.model_copy(update={"person": form.person.model_copy(update={"applicant": applicant})})
