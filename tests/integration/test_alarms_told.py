"""To whom alarms are told, and how often: once by however many watch, again while nobody heeds them, when over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from mailflow.app import apart, attendance, watches
from mailflow.app.telling import Tellers
from mailflow.core.alerting import Channel, WorkerSign
from mailflow.errors import Unavailable
from mailflow.ops.alarms import Alarm
from mailflow.ops.messages import in_short
from mailflow.ops.snapshot import Expiry
from mailflow.register import Register, alarms, database, journal, outbox, watching
from mailflow.settings import Settings
from tests.support.records import NOW, a_draft, another, rows
from tests.support.watching import RAISED, Ears, Lookout, alerts, lasting, more

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def lookout(register: Register) -> Lookout:
    return Lookout(register=register, at=NOW)


async def held(register: Register) -> None:
    """A cause that lasts until it is released."""
    async with register.begin() as tx:
        await outbox.queue(tx, [replace(a_draft(None), kind="notice")], NOW)
        ids = [row.id for row in await outbox.claim_queued(tx, "me", 1, NOW, NOW)]
        await outbox.hold(tx, "me", ids, "refused: RCPT 550 5.1.1", NOW)


async def test_several_that_watch_tell_once(register: Register, register_url: str) -> None:
    await held(register)
    ears = Ears()
    async with another(register_url) as second:
        both = [Lookout(register=one, at=NOW, ears=ears) for one in (register, second)]
        for minutes in range(0, 30, 10):
            for one in both:
                one.at = NOW + minutes * MINUTE
            assert all(await asyncio.gather(*(one.look() for one in both)))
    assert ears.told() == [RAISED[Alarm.HELD]]
    assert ears.told(Channel.WEBHOOK) == [RAISED[Alarm.HELD]]


async def test_who_comes_and_goes_is_told_once(lookout: Lookout) -> None:
    for full in (True, True, False, True, False, True):
        lookout.disk_used = 0.95 if full else 0.5
        await lookout.look(5 * MINUTE)
    assert lookout.ears.told() == [RAISED[Alarm.DISK_FULL]]


async def test_what_was_over_before_it_lasted_is_told_to_nobody(lookout: Lookout) -> None:
    lookout.disk_used = 0.95
    await lookout.look()
    lookout.disk_used = 0.5
    await lookout.look(5 * MINUTE)
    assert lookout.ears.told() == []
    assert await lasting(lookout.register) == []


async def test_what_nobody_acknowledges_is_told_again_and_passed_on(lookout: Lookout) -> None:
    lookout.disk_used = 0.95  # critical
    await held(lookout.register)  # a warning
    await lookout.last(90, every=15)
    assert sorted(lookout.ears.told()) == [RAISED[Alarm.DISK_FULL], RAISED[Alarm.HELD]]
    assert lookout.ears.told(Channel.SECOND) == ["escalated DiskFull"]
    await lookout.look(24 * HOUR)
    assert sorted(lookout.ears.told()) == ["reminder DiskFull", "reminder Held"]
    assert lookout.ears.told(Channel.SECOND) == ["reminder DiskFull"]
    await lookout.look(60 * HOUR)  # nobody looked meanwhile: told once all the same
    assert sorted(lookout.ears.told()) == ["reminder DiskFull", "reminder Held"]


async def test_who_sees_to_it_is_left_alone_until_it_is_over(lookout: Lookout) -> None:
    lookout.disk_used = 0.95
    await lookout.look()
    assert await more(lookout, 5 * MINUTE) == [RAISED[Alarm.DISK_FULL]]
    act = journal.Act(by="anne", why="a larger one is ordered")
    async with lookout.register.begin() as tx:
        assert await alarms.acknowledge(tx, 1, act, lookout.at)
        assert not await alarms.acknowledge(tx, 1, act, lookout.at)
        assert not await alarms.acknowledge(tx, 2, act, lookout.at)
    await lookout.last(180, every=90)
    await lookout.look(48 * HOUR)
    assert (lookout.ears.told(), lookout.ears.told(Channel.SECOND)) == ([], [])
    lookout.disk_used = 0.5
    assert await more(lookout, 5 * MINUTE, 5 * MINUTE) == ["cleared DiskFull"]
    assert lookout.ears.told(Channel.SECOND) == []  # who heard of nothing is told of no end
    (entry,) = await rows(lookout.register, "SELECT kind, detail FROM journal WHERE kind LIKE 'alarm-%'")
    assert entry.detail == '{"alarm": 1, "by": "anne", "why": "a larger one is ordered"}'


@pytest.mark.parametrize("fault", [Unavailable("away"), ZeroDivisionError("a fault of ours")])
async def test_a_channel_that_fails_delays_no_other_and_is_tried_again(lookout: Lookout, fault: Exception) -> None:
    lookout.ears.deaf, lookout.ears.fault = {Channel.FIRST}, fault
    await held(lookout.register)
    await lookout.look()
    assert not await lookout.look(15 * MINUTE)
    assert lookout.ears.told(Channel.WEBHOOK) == [RAISED[Alarm.HELD]]
    assert not await lookout.look(2 * MINUTE)
    pings = lookout.ears.pings
    assert lookout.ears.told(Channel.WEBHOOK) == []
    lookout.ears.deaf = set()
    assert await lookout.look(5 * MINUTE)
    assert (lookout.ears.told(), lookout.ears.pings) == ([RAISED[Alarm.HELD]], pings + 1)


async def test_a_fault_in_a_round_ends_the_round_and_nothing_else(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout.attendance.disk_used = lambda: 1 / 0
    assert not await lookout.attendance.guarded(lookout.opened)
    lookout.attendance.disk_used = lambda: 0.5
    assert await lookout.attendance.guarded(lookout.opened)

    async def endless(_: Register) -> tuple[Expiry, ...]:
        await asyncio.sleep(3600)
        return ()

    monkeypatch.setattr("mailflow.app.attendance.ROUND_SECONDS_MAX", 0.1)
    lookout.attendance.expiries = endless
    assert not await lookout.attendance.guarded(lookout.opened)


async def test_a_round_that_hangs_at_a_lost_standby_is_told_of(
    lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby, commit = asyncio.Event(), database._commit

    async def waiting(connection: AsyncConnection) -> None:
        await standby.wait()
        await commit(connection)

    monkeypatch.setattr(database, "_commit", waiting)
    monkeypatch.setattr(attendance, "ROUND_SECONDS_MAX", 2)
    monkeypatch.setattr(apart, "CANCELLED_SECONDS_MAX", 0.1)
    begun, ended = lookout.at, lookout.at + 5 * MINUTE
    lookout.attendance.clock = iter((begun, begun, ended)).__next__
    lookout.disk_used = 0.95
    async with asyncio.timeout(5):
        assert not await lookout.attendance.guarded(lookout.opened)
    assert lookout.ears.told() == [RAISED[Alarm.REGISTER_UNREADABLE]]
    (left,) = apart._going
    standby.set()
    await asyncio.wait({left})
    lookout.disk_used, lookout.attendance.clock = 0.5, lambda: ended
    assert await lookout.attendance.guarded(lookout.opened)
    assert lookout.ears.told() == ["cleared RegisterUnreadable"]


async def test_who_looks_once_tells_of_a_register_that_hangs(lookout: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def hanging(_: Settings) -> AsyncIterator[Register]:
        await asyncio.Event().wait()
        yield lookout.register

    @asynccontextmanager
    async def heard(*_: object) -> AsyncIterator[Tellers]:
        yield lookout.ears.tellers

    monkeypatch.setattr(attendance, "ROUND_SECONDS_MAX", 0.1)
    monkeypatch.setattr(watches, "register_of", hanging)
    monkeypatch.setattr(watches, "tellers", heard)
    async with asyncio.timeout(5):
        assert not await watches.watch_once(lookout.settings)
    assert lookout.ears.told() == [RAISED[Alarm.REGISTER_UNREADABLE]]


async def test_without_anybody_to_tell_alarms_are_kept_all_the_same(register: Register) -> None:
    lookout = Lookout(register=register, at=NOW, ears=Ears(channels=frozenset()), disk_used=0.95)
    await lookout.look()
    assert await lookout.look(5 * MINUTE)
    (alarm,) = await lasting(register)
    assert (alarm.code, alarm.raised_at is not None, alarm.told) == ("DiskFull", True, frozenset())
    assert await rows(register, "SELECT 1 FROM alarm_notice") == []


async def test_old_alarms_are_forgotten_in_time(lookout: Lookout) -> None:
    lookout.disk_used = 0.95
    await lookout.last(15)
    lookout.disk_used = 0.5
    await lookout.last(15)
    for days, kept in ((390, 2), (20, 2)):
        lookout.at += timedelta(days=days)
        lookout.disk_used = 0.95
        await lookout.last(10)
        lookout.disk_used = 0.5
        await lookout.last(10)
        assert len(await rows(lookout.register, "SELECT 1 FROM alarm")) == kept


async def test_what_another_version_left_behind_does_no_harm(lookout: Lookout) -> None:
    async with lookout.register.begin() as tx:
        await alarms.begin(tx, [("NoLonger", "{}", ""), ("Quota", '{"folder": "inbox"}', "90 %")], NOW)
        await alarms.raise_(tx, [1, 2], NOW)
        sign = WorkerSign(owner="a", host="host-b", begun_at=NOW, beaten_at=NOW, emptied_at=None, state='{"stages": 5}')
        await watching.beat(tx, sign)
    assert await lookout.look(MINUTE)
    (kept,) = await lasting(lookout.register)
    assert in_short([kept]) == ["Alarm 2, warning: The mailbox ? is 90 % full (?)."]


async def test_one_message_tells_all_that_is_told_at_one_time_the_worst_first(lookout: Lookout) -> None:
    await held(lookout.register)
    await lookout.look()
    lookout.disk_used = 0.95
    await lookout.look(10 * MINUTE)
    await lookout.look(5 * MINUTE)
    ((_, message),) = [one for one in lookout.ears.heard if one[0] is Channel.FIRST]
    assert message.subject == "[mailflow ecole] critical: The disk of host-a is 95 % full. (and 1 more)"
    assert [one["alarm"] for one in alerts(message)] == ["DiskFull", "Held"]
    assert "  type   df -h /var/lib/mailflow\n" in message.text
    assert 'mailflow alarms acknowledge 2 --why "..." --apply' in message.text
