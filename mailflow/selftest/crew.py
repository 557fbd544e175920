"""The real worker in processes of its own: `mailflow run --once`, waited for, and killed (SIGKILL) when it is to be."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path

from mailflow.cli.invocation import Exit

BATCH_SECONDS_MAX = 180.0
"""Of one batch, whatever fails: every wait in it has an end."""
COMMAND = (
    sys.executable,
    *(flag for flag, given in (("-I", sys.flags.isolated), ("-S", sys.flags.no_site)) if given),
    *("-c", f"import sys; sys.path[:] = {sys.path!r}; from mailflow.__main__ import main; main()"),
)
"""This very program, wherever it and its libraries were installed."""
HANGS = "a batch hangs"


class Crew:
    """Starts workers of one installation."""

    def __init__(self, config: Path, command: Sequence[str] = COMMAND) -> None:
        self._command = (*command, "--config", str(config), "run", "--once")
        self._working: set[Process] = set()
        self.log = Path()
        """Where the workers write what they say."""

    async def start(self) -> Process:
        """One more."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=log, stderr=STDOUT)
        self._working.add(process)
        return process

    async def wait(self, process: Process) -> int | None:
        """Its exit code; None when it hung, and was killed for it."""
        try:
            async with asyncio.timeout(BATCH_SECONDS_MAX):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            await self._end(process)

    def kill(self) -> bool:
        """Kill one that works; whether any did."""
        for process in self._working:
            if process.returncode is None:
                process.kill()
                return True
        return False

    async def close(self) -> None:
        """Kill whoever still works."""
        for process in [*self._working]:
            await self._end(process)

    async def _end(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self._working.discard(process)


def fault_of(code: int | None, *, killed: bool) -> str:
    """What is wrong with how a batch ended; empty when nothing is."""
    if code is None:
        return HANGS
    if code in {*Exit} or (killed and code < 0):
        return ""
    return f"a batch ended with {code}"
