"""Faults in what desks are told that ask."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from mailflow.core.form import HousingRequest
from mailflow.core.model import RequestState
from mailflow.core.order import Holder
from mailflow.register import Transaction, statuses
from mailflow.registrar import answering
from tests.simulation.mutants.planting import mutant


@mutant
def whoever_has_the_number_learns_how_it_stands(patch: pytest.MonkeyPatch) -> None:
    def anybody(holder: Holder, form: HousingRequest) -> bool:
        return True

    patch.setattr(answering, "holds", anybody)


@mutant
def each_desk_learns_of_each_request(patch: pytest.MonkeyPatch) -> None:
    def always(self: object, request: statuses.StandingRequest) -> bool:
        return True

    patch.setattr(answering._Asked, "may_know", always)


@mutant
def a_request_is_told_as_if_it_had_never_ended(patch: pytest.MonkeyPatch) -> None:
    standing = statuses.standing

    async def for_ever(tx: Transaction, numbers: Collection[str]) -> dict[Any, statuses.StandingRequest]:
        found = await standing(tx, numbers)
        return {
            number: replace(one, life=replace(one.life, state=RequestState.ACTIVE)) for number, one in found.items()
        }

    patch.setattr(statuses, "standing", for_ever)


@mutant
def a_file_that_is_decided_is_said_to_wait(patch: pytest.MonkeyPatch) -> None:
    async def none(tx: Transaction, names: Collection[statuses.Name]) -> dict[statuses.Name, statuses.DecidedFile]:
        return {}

    patch.setattr(statuses, "decided", none)
