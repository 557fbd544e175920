"""Batches of a door whose stages wait for nothing but each other."""

import asyncio
from collections.abc import Callable

import pytest

from mailflow.mail import stages
from mailflow.mail.door import MailDoor
from mailflow.mail.stages import Drained, Stages
from tests.support.judging import a_mail, dem_part

SECONDS_MAX = 60
NEVER_SECONDS = 3600.0


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that fail try again at once, and those that wait for another look often."""
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(stages, "BACKOFF_MOST_SECONDS", 0.01)
    monkeypatch.setattr(stages, "STEP_SECONDS_MAX", 0.05)


def letter(number: int) -> bytes:
    """A mail about somebody of its own."""
    return a_mail(dem_part(number, surname="Nom" + chr(97 + number)))


async def drain(door: MailDoor) -> Drained:
    """What is in the mailbox now, through to the answer."""
    async with asyncio.timeout(SECONDS_MAX):
        return await Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS).drain(asyncio.Event())


async def until(true: Callable[[], object]) -> None:
    """Wait for what happens in this event loop. Raises TimeoutError when it never comes."""
    async with asyncio.timeout(SECONDS_MAX):
        while not true():  # noqa: ASYNC110  nobody sets an event for it
            await asyncio.sleep(0.01)
