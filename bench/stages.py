"""Runs one batch in this process with the CPU time of every task's every step put down to its stage.

`python -m bench.stages CONFIG REPORT COUNT`. Slower than the command, so only the shares mean anything. What runs in no
task of a stage (protocols, the loop itself) is `loop`; `threads` are the database's and the pool's.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any

from mailflow import app, log
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.stages import Stage
from mailflow.settings import load

_stage: ContextVar[str] = ContextVar("stage", default="")
_seconds: dict[str, float] = defaultdict(float)


class _Timed(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are timed. Tasks that it makes belong to the same stage, by their context."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any, /) -> Any:
        begun = time.thread_time()
        try:
            return self._inner.send(value)
        finally:
            _seconds[_name()] += time.thread_time() - begun

    def throw(self, *error: Any) -> Any:
        begun = time.thread_time()
        try:
            return self._inner.throw(*error)
        finally:
            _seconds[_name()] += time.thread_time() - begun

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


def _name() -> str:
    """The stage in whose turn this task is, or was made."""
    return _stage.get() or "loop"


def _factory(
    loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None, **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(_Timed(work), loop=loop, context=context, **options)


def _put_down(stage: Stage) -> None:
    turn = stage.turn

    async def put_down(door: MailDoor) -> Progress:
        _stage.set(stage.name)
        return await turn(door)

    stage.turn = put_down


async def _batch(config: Path) -> None:
    asyncio.get_running_loop().set_task_factory(_factory)
    settings = load(config)
    async with app.register_of(settings) as register, app.mail_door(settings, register) as door:
        stages = app.stages_of(door, settings)
        for stage in (stages.receive, stages.process, stages.compose, stages.deliver, stages.doubtful):
            _put_down(stage)
        await stages.drain(asyncio.Event())


def main() -> None:
    """See the module."""
    config, report, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    log.configure(form="text", level="info")
    before, others = time.thread_time(), time.process_time() - time.thread_time()
    asyncio.run(_batch(config))
    _seconds["loop"] += time.thread_time() - before - sum(_seconds.values())
    _seconds["threads"] = time.process_time() - time.thread_time() - others
    report.write_text(json.dumps({name: 1000 * seconds / count for name, seconds in _seconds.items()}))


if __name__ == "__main__":
    main()
