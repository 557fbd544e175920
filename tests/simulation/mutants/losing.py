"""Mistakes after a loss: in looking back, in what is kept of the lost time, and in what leaves a second time."""

from collections.abc import Sequence
from datetime import datetime

import pytest
import sqlalchemy as sa

from mailflow.mail import recovery
from mailflow.mail.hindsight import Hindsight
from mailflow.register import Register, Transaction, departures, intake, restoring
from mailflow.register.arrivals import Arrival
from mailflow.register.tables import outbox
from tests.simulation.mutants.planting import mutant


@mutant
def nobody_looks_back(patch: pytest.MonkeyPatch) -> None:
    async def content(self: Hindsight, register: Register, at: datetime) -> bool:
        return True

    patch.setattr(Hindsight, "look", content)


@mutant
def what_had_left_in_a_lost_time_leaves_again(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> int:
        return 0

    patch.setattr(departures, "record_sent", nothing)


@mutant
def what_had_left_before_its_octets_were_kept_leaves_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(departures, "_NEVER_SENT", sa.and_(departures._NEVER_SENT, outbox.c.body_digest.is_not(None)))


@mutant
def numbers_of_a_lost_time_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> int:
        return 0

    patch.setattr(restoring, "reserve", nothing)


@mutant
def counters_do_not_go_beyond_numbers_of_a_lost_time(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        pass

    patch.setattr(restoring, "_raise_counters", nothing)


@mutant
def a_number_that_is_kept_is_not_given_again(patch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> dict[restoring.Place, str]:
        return {}

    patch.setattr(restoring, "give_reserved", none)


@mutant
def mails_of_a_lost_time_are_not_taken_in_again(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        pass

    patch.setattr(recovery, "_take_in", nothing)


@mutant
def a_mail_that_lies_in_two_folders_after_a_loss_is_two(patch: pytest.MonkeyPatch) -> None:
    known = intake._known_deliveries

    async def of_one_folder(
        tx: Transaction, arrivals: Sequence[Arrival], digests: Sequence[str], _: str | None
    ) -> set[tuple[str, str, int, str]]:
        return await known(tx, arrivals, digests, None)

    patch.setattr(intake, "_known_deliveries", of_one_folder)


@mutant
def mails_after_a_loss_have_numbers_of_lost_ones(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction, beyond: int) -> int:
        return beyond

    patch.setattr(restoring, "skip_intakes", nothing)
