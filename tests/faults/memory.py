"""Pool processes that run out of memory, or are killed by a kernel that has, at each task that they are given."""

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from mailflow.mail.pool import Pool
from mailflow.selftest.points import Point, reach

EXHAUSTED, KILLED, KILLED_IDLE = "memory exhausted", "killed at work", "killed before it"
_SHARE_BYTES = 1 << 26


def hows(_: Point) -> Sequence[str]:
    """What can go wrong at a task."""
    return (EXHAUSTED, KILLED, KILLED_IDLE)


def listen() -> None:
    """From now on each task of each pool is a point; to be called once."""
    spread = Pool._spread

    async def listening(self: Pool, task: Callable[..., Any], work: Sequence[Any], at: Any) -> Any:
        how = reach("memory", task.__name__.strip("_")) if work else None
        if how == KILLED_IDLE:
            for process in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(process.cmdline()):
                        process.kill()
        worse = {EXHAUSTED: _exhaust, KILLED: _die}
        return await spread(self, worse.get(how or "", task), work, at)

    setattr(Pool, "_spread", listening)  # noqa: B010  mypy would not have a method assigned


def _exhaust(*_: Any) -> list[Any]:
    """In a process of the pool: take more than it may have."""
    taken = []
    while True:
        taken.append(bytearray(_SHARE_BYTES))


def _die(*_: Any) -> list[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []
