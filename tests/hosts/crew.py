"""Workers as processes that begin at once and can be killed by the hundred.

Each is `mailflow run`, whole, forked from a process that has loaded the program and done nothing else. They judge and
compose in their own process: those of the pool would take a second each to begin, and die with their worker anyway.
"""

import asyncio
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support import nursery

LOADED = (
    "apscheduler.schedulers.asyncio",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "concurrent.futures.thread",
    "_strptime",
    "tests.support.judges_here",
)
"""Beside what the sweeps load."""
STOP_SECONDS_MAX = 60

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*nursery.LOADED, *LOADED])


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that works, or was killed."""

    process: BaseProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def ended(self) -> bool:
        return not self.process.is_alive()

    def kill(self) -> None:
        """SIGKILL; returns once it is dead."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.join()

    def stop(self) -> int | None:
        """SIGTERM, as a service manager stops it; its exit code, None when it had to be killed."""
        os.kill(self.pid, signal.SIGTERM)
        if not wait([self.process.sentinel], STOP_SECONDS_MAX):
            self.kill()
            return None
        self.process.join()
        return self.process.exitcode


def begin(config: Path, log: Path, *, before: Callable[[], None] | None = None, mail_alone: bool = False) -> Worker:
    """A worker with these settings, which adds to `log`. `before`: what it does first, such as to move to a host.

    `mail_alone`: it does not begin with the jobs of the day and a look at everything, which take longer than it lives.
    """
    process = _context.Process(target=_live, args=(config, log, before, mail_alone))
    process.start()
    return Worker(process=process)


def _live(config: Path, log: Path, before: Callable[[], None] | None, mail_alone: bool) -> None:
    from cryptography.hazmat.primitives import serialization

    from mailflow import app
    from mailflow.app import parts
    from mailflow.app.attendance import Attendance
    from mailflow.app.status import Watch
    from mailflow.cli.main import call
    from mailflow.settings import Settings
    from tests.support.judges_here import JudgesHere

    os.setsid()
    if before is not None:
        before()
    os.chdir(config.parent)
    with log.open("ab", buffering=0) as output, Path(os.devnull).open("rb") as nothing:
        for number, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), number)

    def judges(settings: Settings, _meter: object = None) -> JudgesHere:
        return JudgesHere(judge_of=parts.make_judge(settings), composer_of=parts.make_composer(settings))

    load = functools.partial(serialization.load_pem_private_key, unsafe_skip_rsa_key_validation=True)
    setattr(serialization, "load_pem_private_key", load)  # noqa: B010  known good: to look costs a tenth of a second
    setattr(parts, "make_pool", judges)  # noqa: B010  mypy would not have a function assigned
    if mail_alone:
        for module, work in ((app, "keep_jobs"), (Watch, "keep"), (Attendance, "keep")):
            setattr(module, work, _for_ever)
    sys.exit(call(["--config", str(config), "run"]))


async def _for_ever(*_: object) -> None:
    await asyncio.Event().wait()


def stop_all(workers: Sequence[Worker]) -> list[int | None]:
    """One after the other; their exit codes."""
    return [worker.stop() for worker in workers if not worker.ended]
