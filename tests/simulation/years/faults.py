"""Planted faults: mistakes that somebody could make in what time does, each of which the two years must find."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.core import life
from mailflow.core.calendar import a_year_before, active_through, legal_day
from mailflow.core.life import Life, Standing
from mailflow.core.numbers import UniqueNumber
from mailflow.jobs import dispatch as telling
from mailflow.jobs import lifetimes
from mailflow.register import Transaction, deadlines, dispatches
from mailflow.register.dispatches import Window
from mailflow.register.key_store import KeyStore
from mailflow.register.tables import history, request
from mailflow.registrar import acting, ending

Plant = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Plant] = {}
ONE_DAY = timedelta(days=1)


def fault(plant: Plant) -> Plant:
    """Put a planted fault on the list, under the sentence that its function's name is."""
    FAULTS[plant.__name__.replace("_", " ")] = plant
    return plant


async def _nothing(*_: object) -> None:
    return None


# Notices


@fault
def a_renewed_request_is_not_noticed_again(patch: pytest.MonkeyPatch) -> None:
    unnoticed = deadlines.unnoticed
    patch.setattr(deadlines, "unnoticed", lambda *args: unnoticed(*args).where(request.c.noticed_for.is_(None)))


@fault
def notice_is_given_a_month_before(patch: pytest.MonkeyPatch) -> None:
    unnoticed = deadlines.unnoticed

    def late(today: date, until: date, *desks: Any) -> sa.Select[Any]:
        return unnoticed(today, until - timedelta(days=15), *desks)

    patch.setattr(deadlines, "unnoticed", late)


# The end


@fault
def a_request_ends_on_its_last_day(patch: pytest.MonkeyPatch) -> None:
    lapsed, end_lapsed = deadlines.lapsed, ending.end_lapsed

    async def early(tx: Transaction, numbers: Sequence[UniqueNumber], today: date, at: datetime) -> list[UniqueNumber]:
        return await end_lapsed(tx, numbers, today + ONE_DAY, at)

    patch.setattr(deadlines, "lapsed", lambda today: lapsed(today + ONE_DAY))
    patch.setattr(ending, "end_lapsed", early)


@fault
def a_request_ends_on_the_day_on_which_that_is_noticed(patch: pytest.MonkeyPatch) -> None:
    end_lapsed, now = ending.end_lapsed, [date.min]

    async def dated(tx: Transaction, numbers: Sequence[UniqueNumber], today: date, at: datetime) -> list[UniqueNumber]:
        now[0] = today
        return await end_lapsed(tx, numbers, today, at)

    patch.setattr(ending, "end_lapsed", dated)
    patch.setattr(Life, "expired", lambda self: self.deregistered(life.NOT_RENEWED, now[0]))


@fault
def who_lapsed_is_still_in_the_way_of_a_new_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ending, "identities", SimpleNamespace(release=_nothing))


@fault
def who_renewed_in_time_and_is_decided_late_comes_too_late(patch: pytest.MonkeyPatch) -> None:
    standing = Life.standing

    def hard(self: Life, day: date) -> Standing:
        return Standing.NOT_RENEWED if self.motive == life.NOT_RENEWED else standing(self, day)

    patch.setattr(Life, "standing", hard)


# The year


@fault
def a_renewal_counts_from_the_old_last_day(patch: pytest.MonkeyPatch) -> None:
    renewed = Life.renewed

    def longer(self: Life, day: date) -> Life:
        return replace(renewed(self, day), expires_on=active_through(max(day, self.expires_on)))

    patch.setattr(Life, "renewed", longer)


@fault
def the_last_minutes_of_a_day_count_for_the_next(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(acting, "calendar", SimpleNamespace(legal_day=lambda at: legal_day(at + timedelta(minutes=15))))


@fault
def a_reactivation_gives_a_whole_year(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Life, "reactivated", Life.renewed)


# Dispatch


@fault
def what_the_service_did_is_not_dispatched(patch: pytest.MonkeyPatch) -> None:
    news = dispatches._news
    patch.setattr(dispatches, "_news", lambda desk: sa.and_(news(desk), history.c.desk.is_not(None)))


@fault
def a_desk_is_told_nothing_of_its_own_acts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatches, "_news", history.c.desk.is_distinct_from)


@fault
def between_two_dispatches_of_a_night_one_change_is_lost(patch: pytest.MonkeyPatch) -> None:
    window = dispatches.window

    async def further(*args: Any, **limits: Any) -> Window:
        found = await window(*args, **limits)
        return replace(found, through=found.through + 1) if found.more else found

    patch.setattr(dispatches, "window", further)
    patch.setattr(telling, "REQUESTS_MAX", 3)


# Erasure


@fault
def personal_data_live_a_month_too_long(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifetimes, "a_year_before", lambda day: a_year_before(day - timedelta(days=30)))


@fault
def the_key_of_erased_content_is_kept(patch: pytest.MonkeyPatch) -> None:
    async def destroy(*_: object) -> int:
        return 0

    patch.setattr(KeyStore, "destroy", destroy)
