"""Workers that begin at once: each is forked from a process that has loaded the program and done nothing else.

Loading it is most of what a short run costs, and the sweeps start the worker by the hundred. `python -m mailflow` is
what the tests of `tests/acceptance` start.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryFile

from tests.support import killed

LOADED = ("mailflow.cli.main", "mailflow.mail.makers", "alembic.runtime.migration", "tests.support.clock")
RUN_SECONDS_MAX = 600
ORPHAN_SECONDS_MAX = 60
"""How long a process of the pool may outlive its killed worker."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*LOADED])
_one_at_a_time = threading.Lock()
"""multiprocessing asks all its children how they are whenever one is started: not from two threads at once."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that works, or was killed."""

    process: BaseProcess
    log: Path

    def wait(self) -> tuple[int, str]:
        """Exit code and what it said, once it and all its processes have ended. A worker that hangs is an error."""
        if not wait([self.process.sentinel], RUN_SECONDS_MAX):
            self.kill()
            raise TimeoutError(f"a worker hangs; see {self.log}")
        _await_end_of_children(_pid(self.process))
        return self._code(), self.log.read_text(errors="replace")

    def stop(self) -> tuple[int, str]:
        """SIGTERM, as a service manager stops it."""
        os.kill(_pid(self.process), signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """The whole session at once: for when a test has failed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_pid(self.process), signal.SIGKILL)
        self._code()

    def _code(self) -> int:
        with _one_at_a_time:
            self.process.join()
            assert self.process.exitcode is not None
            return self.process.exitcode


def begin(
    arguments: Sequence[str], *, folder: Path, log: Path, errors: Path | None = None, stdin: bytes = b""
) -> Worker:
    """`python -m tests.support.killed` with these arguments, in a session of its own.

    It writes to `log`, and its standard error to `errors` when that is given.
    """
    with _one_at_a_time:
        process = _context.Process(target=_live, args=(list(arguments), folder, log, errors, stdin))
        process.start()
    return Worker(process=process, log=log)


def _live(arguments: list[str], folder: Path, log: Path, errors: Path | None, stdin: bytes) -> None:
    os.setsid()
    os.chdir(folder)
    with log.open("wb") as output, TemporaryFile() as given, contextlib.ExitStack() as stack:
        given.write(stdin)
        given.seek(0)
        said = stack.enter_context(errors.open("wb")) if errors else output
        for number, file in enumerate((given, output, said)):
            os.dup2(file.fileno(), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  multiprocessing has put another in its place
    killed.main(arguments)


def _pid(process: BaseProcess) -> int:
    assert process.pid is not None
    return process.pid


def _await_end_of_children(group: int) -> None:
    """Processes of the pool end by themselves when their worker was killed."""
    until = time.monotonic() + ORPHAN_SECONDS_MAX
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
        raise AssertionError("processes of a worker live on after its end")
