"""A chunk costs a few statements of the database, however many requests it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.core.model import Outcome, Registered
from mailflow.register import Register
from mailflow.wire.envelope import RequestElement
from tests.support.lives import LEASE, three_desks
from tests.support.reception import Reception, a_request, about, number_of

FEW, MANY = 3, 25
"""Long lists are cut up: beyond a thousand rows or keys a statement is said once more."""
STATEMENTS_MAX = 56
"""Of a chunk; those that take a mail in are among them, three of them for its place, and those to the key store."""
DEPOSITED = "2025-02-01"
STEPS = {
    "renewal": ("REN", None),
    "separation": ("CRS", None),
    "amendment": ("MOD", None),
    "attribution": ("RAD", "RADATT"),
    "reactivation": ("RAD", None),
    "removal": ("SUP", None),
}


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is said to the database meanwhile; one statement for many rows counts once."""
    said: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        said.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


def surnames(start: int, count: int) -> list[str]:
    """Different ones, not near to each other."""
    letters = "bdfglmnprtv"
    return [f"{letters[n // 11]}o{letters[n % 11]}ir" * 2 for n in range(start, start + count)]


def asked(operation: str, number: str, surname: str, motive: str | None) -> RequestElement:
    match operation:
        case "CRS":
            return about(number, surname, form=a_request(f"{surname}bis", deposited=DEPOSITED))
        case "MOD":
            return about(number, surname, form=a_request(surname, f"{surname}ter", deposited=DEPOSITED))
        case _:
            return about(number, surname, motive=motive, lease=LEASE if motive == "RADATT" else None)


async def test_a_chunk_costs_as_much_for_many_requests_as_for_few(reception: Reception) -> None:
    """Creations, and then each operation on the couples that they registered; MOD and CRS change who holds them."""
    costs: dict[str, list[int]] = {}
    sequence = 0

    async def cost(step: str, operation: str, elements: list[RequestElement]) -> list[Outcome]:
        nonlocal sequence
        sequence += 1
        with statements() as said:
            outcomes = await reception.act(operation, *elements, sequence=sequence)
        assert all(isinstance(outcome, Registered) and not outcome.replayed for outcome in outcomes), step
        costs.setdefault(step, []).append(len(said))
        return outcomes

    await reception.act("CRE", RequestElement(form=a_request("Durand")), sequence=99)  # somebody to be compared with
    for start, count in ((0, FEW), (50, MANY)):
        couples = surnames(start, count)
        forms = [a_request(name, f"{name}bis", deposited=DEPOSITED) for name in couples]
        made = await cost("CRE", "CRE", [RequestElement(form=form) for form in forms])
        numbers = dict(zip(couples, map(number_of, made), strict=True))
        for step, (operation, motive) in STEPS.items():
            await cost(step, operation, [asked(operation, numbers[name], name, motive) for name in couples])
    assert {step: few for step, (few, _) in costs.items()} == {step: many for step, (_, many) in costs.items()}
    assert max(few for few, _ in costs.values()) <= STATEMENTS_MAX
