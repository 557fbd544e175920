"""Faults in what is done to registered requests."""

from collections.abc import Collection, Iterator
from datetime import date

import pytest

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.life import Action, Life, Role, Standing, refusal
from mailflow.core.order import Holder
from mailflow.register import Transaction, history
from mailflow.registrar import acting
from mailflow.registrar.work import Change
from tests.simulation.mutants.planting import mutant


@mutant
def a_number_is_enough(patch: pytest.MonkeyPatch) -> None:
    def anybody(holder: Holder, form: HousingRequest) -> bool:
        return True

    patch.setattr(acting, "holds", anybody)


@mutant
def older_files_are_applied(patch: pytest.MonkeyPatch) -> None:
    conditions = acting._conditions

    def whenever(change: Change, day: date) -> Iterator[Anomaly]:
        return (anomaly for anomaly in conditions(change, day) if anomaly.code is not Code.FILE_OVERTAKEN)

    patch.setattr(acting, "_conditions", whenever)


@mutant
def a_second_renewal_is_too_early(patch: pytest.MonkeyPatch) -> None:
    def never(self: Life, day: date) -> bool:
        return False

    patch.setattr(Life, "is_renewed_for", never)


@mutant
def what_others_have_acted_on_is_removed(patch: pytest.MonkeyPatch) -> None:
    async def nobody(tx: Transaction, numbers: Collection[str]) -> set[str]:
        return set()

    patch.setattr(history, "acted_on_by_others", nobody)


@mutant
def each_desk_is_the_manager(patch: pytest.MonkeyPatch) -> None:
    def whoever(standing: Standing, action: Action, roles: Collection[Role]) -> Code | None:
        return refusal(standing, action, {*roles, Role.MANAGER})

    patch.setattr(acting, "refusal", whoever)
