"""Work beside the mails is over in its time, or left to itself."""

import asyncio
import logging

import pytest

from mailflow.app import apart as module
from mailflow.app import daily, revocation
from mailflow.app.apart import apart
from mailflow.jobs.work import JobTerms
from mailflow.mail.refreshing import Refresher
from mailflow.register import Register
from mailflow.register.database import unbroken


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANCELLED_SECONDS_MAX", 0.1)


async def _until(standby: asyncio.Event) -> None:
    await standby.wait()


async def test_what_no_cancellation_ends_is_left_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    standby = asyncio.Event()

    async def commit() -> None:
        await standby.wait()
        raise LookupError("a name")

    async with asyncio.timeout(5):
        task = await apart(unbroken(commit()), 0.1)
    assert not task.done()
    standby.set()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert (task.cancelled(), module._going, caplog.messages) == (True, set(), [])


async def test_whoever_is_cancelled_meanwhile_does_not_wait_for_it_either() -> None:
    standby = asyncio.Event()

    caller = asyncio.create_task(apart(unbroken(_until(standby))))
    await asyncio.sleep(0.05)
    caller.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({caller})
    (left,) = module._going
    assert (caller.cancelled(), left.done()) == (True, False)
    standby.set()
    await asyncio.wait({left})


async def test_nothing_is_said_of_how_it_failed_but_to_who_asks(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("a name")

    with caplog.at_level(logging.DEBUG, "asyncio"):
        assert isinstance((await apart(fail(), 1)).exception(), LookupError)
        _ = await apart(fail(), 1)
    assert [line for line in caplog.messages if "a name" in line] == []


async def test_who_fetches_and_who_seals_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    standby = asyncio.Event()

    async def commit(*_: object) -> None:
        await unbroken(_until(standby))

    monkeypatch.setattr(revocation, "SECONDS_MAX", 0.1)
    monkeypatch.setattr(Refresher, "refresh", commit)
    monkeypatch.setattr(daily, "seal", commit)
    async with asyncio.timeout(5):
        await revocation.refresh_now(object.__new__(Refresher))
        await daily.seal_now(object.__new__(Register), object.__new__(JobTerms), 0.1)
    left = set(module._going)
    assert (len(left), caplog.messages) == (2, [])
    standby.set()
    await asyncio.wait(left)
