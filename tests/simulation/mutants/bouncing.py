"""Faults about answers that are said not to have arrived."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from mailflow.mail import bounces
from mailflow.mail.bounces import Automatic, classify
from mailflow.mail.mime import Entity
from mailflow.register import queues
from tests.simulation.mutants.planting import mutant


@mutant
def that_an_answer_came_back_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any, **names: Any) -> None:
        return None

    patch.setattr(queues, "record_bounce", nothing)


@mutant
def a_report_is_read_by_the_address_that_it_came_to_alone(patch: pytest.MonkeyPatch) -> None:
    def by_address(
        entity: Entity, *, own_addresses: Collection[str], own_message_id: Callable[[str], bool]
    ) -> Automatic | None:
        found = classify(entity, own_addresses=own_addresses, own_message_id=own_message_id)
        if found is None or found.bounce is None:
            return found
        return replace(found, bounce=replace(found.bounce, envelope_id="", message_id=""))

    patch.setattr(bounces, "classify", by_address)
