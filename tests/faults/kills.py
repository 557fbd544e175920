"""Workers that are killed (SIGKILL) at a named point, in a process of their own, with their own pool.

`tests.support.killed` knows the points; it puts them on the seams between the worker and the world.
"""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.selftest.points import Fault, Point
from tests.faults.played import Played
from tests.servers.postgres import PostgresServer
from tests.support.letters import Writer, a_batch, verdict
from tests.support.mail_world import INBOX, LATER_MINUTES, MailWorld

KILLED = "killed"
EXIT_CODE = -signal.SIGKILL
ONE_BY_ONE = {"smtp": {"connections": 1}, "worker": {"processes": 1}}
"""One connection, so that every run passes the same points; one process, because each run begins by starting it."""


def hows(_: Point) -> Sequence[str]:
    """What can go wrong at a point."""
    return (KILLED,)


class Killings:
    """An async context manager that plays stories of killed workers."""

    def __init__(self, folder: Path, *, postgres: PostgresServer | None = None, inbox: str = INBOX) -> None:
        self._at = datetime.now(UTC).replace(microsecond=0)
        pki = Pki(at=self._at)
        self._software = desks(pki)
        self._folder = folder
        self.world = MailWorld(folder, pki, self._software, postgres=postgres, inbox=inbox, changes=ONE_BY_ONE)
        self._closing = contextlib.ExitStack()

    async def __aenter__(self) -> "Killings":
        await asyncio.to_thread(self._closing.enter_context, self.world)
        self.letters = a_batch(Writer(self.world.installation, self._at), self._software)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self._closing.close)

    async def record(self, *faults: Fault, with_pool: bool = True) -> list[Point]:
        """The points of a run from end to end, after workers that were killed at these."""
        return await asyncio.to_thread(self._record, *faults)

    async def play(self, *faults: Fault, with_pool: bool = True) -> Played:
        """Workers that are killed at these, each when it is started anew; then one may finish."""
        return await asyncio.to_thread(self._play, *faults)

    def _record(self, *faults: Fault) -> list[Point]:
        file = self._folder / "points"
        file.unlink(missing_ok=True)
        self.begin_anew()
        self._kill(faults)
        _, said = self.world.run("--record", str(file), "--later", str(len(faults) * LATER_MINUTES))
        self.world.settle()
        if wrong := self.wrong():
            raise AssertionError(f"already without a further kill: {wrong}\n{said}")
        named = [line.rpartition(":") for line in file.read_text().split()]
        return [Point(kind="kill", name=name, nth=int(nth)) for name, _, nth in named]

    def _play(self, *faults: Fault) -> Played:
        self.begin_anew()
        codes = self._kill(faults)
        self.world.finish(later=len(faults) * LATER_MINUTES)
        wrong = self.wrong()
        return Played(faults=faults, reached=all(code == EXIT_CODE for code in codes), wrong=tuple(wrong))

    def begin_anew(self) -> None:
        """The mails lie in the mailbox, and nothing was done yet."""
        self.world.begin_anew()
        self.world.post([letter.raw for letter in self.letters])

    def wrong(self) -> list[str]:
        """What is wrong in the end."""
        return verdict(self.world, self.letters, self._at)

    def _kill(self, faults: Sequence[Fault]) -> list[int]:
        codes = []
        for number, fault in enumerate(faults):
            at = f"{fault.point.name}:{fault.point.nth}"
            codes.append(self.world.run("--kill", at, "--later", str(number * LATER_MINUTES))[0])
            self.world.settle()
        return codes
