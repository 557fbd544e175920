"""Faults about numbers that an operator has stopped."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from mailflow.core.waiting import Stop
from mailflow.mail import deciding, worker
from mailflow.register import Transaction, dispatches, issuing, journal
from mailflow.register.tables import issuing as switch
from tests.simulation.mutants.planting import mutant


@mutant
def numbers_are_given_although_they_are_stopped(patch: pytest.MonkeyPatch) -> None:
    hold = issuing.hold

    async def held(tx: Transaction) -> Stop | None:
        await hold(tx)
        tx.may_number = True
        return None

    patch.setattr(issuing, "hold", held)


@mutant
def dispatches_are_numbered_although_numbers_are_stopped(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction) -> None:
        pass

    patch.setattr(dispatches, "issuing", SimpleNamespace(require_open=nothing))


@mutant
def who_waits_for_numbers_is_not_told_that_they_are_given(patch: pytest.MonkeyPatch) -> None:
    async def silently(tx: Transaction, act: journal.Act, at: datetime) -> bool:
        await tx.run(sa.update(switch).values(stopped_at=None, stopped_by=None, stopped_why=None))
        return True

    patch.setattr(issuing, "resume", silently)
    for module in (deciding, worker):
        patch.setattr(module, "STOPPED_AGAIN", timedelta(days=9))
