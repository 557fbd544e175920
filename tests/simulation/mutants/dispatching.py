"""Faults in telling desks what others did."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.core.numbers import DeskCode, Territory
from mailflow.jobs import dispatch as telling
from mailflow.jobs.recipients import Stream
from mailflow.jobs.work import JobTerms
from mailflow.register import Register, dispatches
from mailflow.register.dispatches import Made, Window
from mailflow.register.tables import history
from mailflow.register.transaction import Transaction
from tests.simulation.mutants.planting import mutant


@mutant
def a_number_is_dispatched_before_its_own_desk_has_it(patch: pytest.MonkeyPatch) -> None:
    def at_once(desk: DeskCode, territory: Territory, after: int, at: datetime) -> sa.ColumnElement[bool]:
        return sa.and_(history.c.territory == territory, history.c.sequence > after, dispatches._news(desk))

    patch.setattr(dispatches, "_untold", at_once)


@mutant
def behind_each_dispatch_one_change_is_never_told(patch: pytest.MonkeyPatch) -> None:
    window = dispatches.window

    async def further(*args: Any, **limits: Any) -> Window:
        found = await window(*args, **limits)
        return replace(found, through=found.through + 1) if found.acts else found

    patch.setattr(dispatches, "window", further)


@mutant
def a_dispatch_is_ordered_in_a_second_transaction(patch: pytest.MonkeyPatch) -> None:
    queue, tell = telling._queue, telling._dispatch
    waiting: ContextVar[list[Sequence[Any]]] = ContextVar("waiting")

    async def remember(tx: Transaction, *order: Any) -> None:
        if (orders := waiting.get(None)) is None:
            await queue(tx, *order)
        else:
            orders.append(order)

    async def told(register: Register, stream: Stream, terms: JobTerms, at: datetime) -> Window:
        orders = list[Sequence[Any]]()
        before = waiting.set(orders)  # of this task alone: several dispatch at once
        try:
            window = await tell(register, stream, terms, at)
        finally:
            waiting.reset(before)
        for order in orders:
            async with register.begin() as tx:
                await queue(tx, *order)
        return window

    patch.setattr(telling, "_queue", remember)
    patch.setattr(telling, "_dispatch", told)


@mutant
def of_two_that_dispatch_the_same_both_do(patch: pytest.MonkeyPatch) -> None:
    record = dispatches.record

    async def regardless(tx: Transaction, made: Made) -> bool:
        await record(tx, made)
        return True

    patch.setattr(dispatches, "record", regardless)
