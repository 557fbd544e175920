"""Every cell of the state table, through the registrar: state of the request, operation, role of the desk."""

from collections.abc import Mapping

import pytest

from mailflow.core.life import TABLE, Action, Role, Standing
from mailflow.core.model import Outcome, Registered, RequestState, Right
from mailflow.register import Register
from mailflow.wire.envelope import RequestElement
from tests.support.lives import ALL, past, registered, stored
from tests.support.reception import Reception, a_request, about, an_order, codes_of, sent

DESKS = {Role.CREATOR: "59123", Role.DESK: "59777", Role.MANAGER: "59000", Role.STRANGER: "75001"}
DEPOSITED = "2025-01-16"
"""Registered on 15 January 2026: it can be renewed, and while it can be removed its last day passes."""

OPERATIONS: Mapping[Action, tuple[str, RequestState]] = {
    Action.SEPARATION: ("CRS", RequestState.ACTIVE),
    Action.AMENDMENT: ("MOD", RequestState.ACTIVE),
    Action.RENEWAL: ("REN", RequestState.ACTIVE),
    Action.DEREGISTRATION: ("RAD", RequestState.DEREGISTERED),
    Action.EXPIRY: ("RAD", RequestState.DEREGISTERED),
    Action.REACTIVATION: ("RAD", RequestState.ACTIVE),
    Action.REMOVAL: ("SUP", RequestState.REMOVED),
}
"""The type of the file, and the state in which it leaves the request that it names with its outcome."""


@pytest.fixture
async def reception(register: Register) -> Reception:
    """A desk for each role; and who brings about the states, for the creating desk, which is the manager then."""
    opened = Reception(register)
    await opened.enrol("setting", DESKS[Role.CREATOR], ["059"], rights=frozenset(Right))
    await opened.enrol("mairie", DESKS[Role.CREATOR], ["059"], rights=ALL)
    await opened.enrol("conseil", DESKS[Role.DESK], ["059"], rights=ALL)
    await opened.enrol("prefecture", DESKS[Role.MANAGER], ["059"], rights=frozenset(Right))
    await opened.enrol("paris", DESKS[Role.STRANGER], ["111"], rights=frozenset(Right))
    return opened


async def bring_about(reception: Reception, standing: Standing, number: str, surname: str, sequence: int) -> None:
    """Let a request that was registered a moment ago come into that state."""
    steps = {
        Standing.NOT_RENEWED: ("RAD", about(number, surname, motive="RADREN")),
        Standing.DEREGISTERED: ("RAD", about(number, surname, motive="RADABA")),
        Standing.REMOVED: ("SUP", about(number, surname)),
    }
    if standing in steps:
        operation, element = steps[standing]
        file = an_order(operation, element, sequence=sequence, dated_at=reception.received_at)
        (outcome,) = await reception.outcomes(file, sender="setting")
        assert isinstance(outcome, Registered), outcome
    day = reception.received_at.date()
    assert (await stored(reception, number)).life.standing(day) is standing


def asked(action: Action, number: str, surname: str, desk: str) -> RequestElement:
    match action:
        case Action.SEPARATION:
            return about(number, surname, form=a_request(f"{surname}bis", desk=desk))
        case Action.AMENDMENT:
            return about(number, surname, form=a_request(surname, f"{surname}bis", at="59512", desk=desk))
        case Action.DEREGISTRATION:
            return about(number, surname, motive="RADCON")
        case Action.EXPIRY:
            return about(number, surname, motive="RADREN")
        case _:
            return about(number, surname)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("standing", Standing)
async def test_the_table_decides(reception: Reception, standing: Standing, action: Action) -> None:
    surnames = {role: f"Dupont{'abcd'[n]}" for n, role in enumerate(Role)}
    couples = {
        role: await registered(reception, a_request(surname, f"{surname}bis", deposited=DEPOSITED), 1 + n)
        for n, (role, surname) in enumerate(surnames.items())
    }
    reception.wait(hours=48 if standing in (Standing.LAPSED, Standing.NOT_RENEWED) else 1)
    for n, role in enumerate(Role, 10):
        await bring_about(reception, standing, couples[role], surnames[role], n)
    operation, state = OPERATIONS[action]
    for n, role in enumerate(Role, 20):
        number, desk = couples[role], DESKS[role]
        before = len(await past(reception, number))
        element = asked(action, number, surnames[role], desk)
        (outcome,) = await reception.act(operation, element, sequence=n, desk=desk)
        expected = TABLE[standing, action, role]
        done = _done(outcome, state)
        assert ("done" if done else codes_of(outcome)) == ("done" if expected is None else [expected.name]), role
        assert len(await past(reception, number)) == before + (expected is None), role


def _done(outcome: Outcome, state: RequestState) -> bool:
    if isinstance(outcome, Registered):
        assert outcome.state is state
        assert not outcome.replayed
    return isinstance(outcome, Registered)


async def test_a_desk_that_is_the_manager_too_may_what_either_may(reception: Reception) -> None:
    """The manager may not remove, the creating desk may not end as not renewed."""
    number = await registered(reception, a_request("Durand", deposited=DEPOSITED))
    reception.wait(hours=48)
    for sequence, (operation, motive) in enumerate([("RAD", "RADREN"), ("SUP", None)], 2):
        file = an_order(operation, about(number, motive=motive), sequence=sequence, dated_at=reception.received_at)
        ((receipt,),) = [one.files for one in await reception.submit(sent(file, sender="setting"))]
        assert isinstance(receipt.outcomes[0], Registered)
