"""Where the story is played: a world, the batch of mails that comes to it, and the real worker in this very process.

The worker is composed as in production, `mailflow run --once` with its jobs and its watch, so that a thousand runs
fit into an hour; its pool of processes is replaced where the kind of fault is not about it. Between it and the servers
stand proxies.
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailflow import app
from mailflow.app import parts
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.errors import MailflowError
from mailflow.mail import stages
from mailflow.mail.pool import Pool
from mailflow.mail.stages import Drained
from mailflow.meter import Meter
from mailflow.selftest import lines, points
from mailflow.selftest.points import Fault, Point, Run
from mailflow.selftest.proxy import Break, FaultProxy, Side
from mailflow.selftest.proxy import Fault as LineFault
from mailflow.settings import Settings, load
from tests.faults import clocks, files, mailbox, memory, statements
from tests.faults.played import Played
from tests.servers.postgres import PostgresServer
from tests.support import compiled
from tests.support.clock import read_by
from tests.support.judges_here import JudgesHere
from tests.support.letters import Letter, Writer, a_batch, verdict
from tests.support.mail_world import LATER_MINUTES, MailWorld

REPLY_SECONDS_MAX = 0.7
BATCH_SECONDS_MAX = 180
"""Of one `run --once`, whatever fails and however busy the machine: every wait in it has an end."""
BATCHES_MAX = 8
CLOCK_SET_AT = BATCHES_MAX - 3
"""By a clock that is days behind nothing is decided: somebody sets it right then, within the deadline, who was told."""
INBOX = "Demandes"
"""A folder that can be renamed and made anew."""
VICTIM = "a couple"
"""The letter that somebody expunges: no other one depends on what becomes of it."""

_listening = False


class Stage:
    """An async context manager; one in a process."""

    def __init__(self, folder: Path, *, postgres: PostgresServer | None = None, cyrus: bool = False) -> None:
        self._at = datetime.now(UTC).replace(microsecond=0)
        pki = Pki(at=self._at)
        self._software = desks(pki)
        self.world = MailWorld(
            folder,
            pki,
            self._software,
            postgres=postgres,
            inbox=INBOX,
            cyrus=cyrus,
            changes={"smtp": {"connections": 1}, "worker": {"processes": 1}},
        )
        self._closing = contextlib.AsyncExitStack()
        self._clock = clocks.Clock()
        self.proxies: dict[str, FaultProxy] = {}
        """Before the servers: `mailbox`, `audit`, `smtp`."""
        self._with_pool = False
        self.letters: tuple[Letter, ...] = ()
        self._neighbour: mailbox.Neighbour
        self._drained: Drained | None = None

    async def __aenter__(self) -> "Stage":
        async with self._closing as closing:
            await asyncio.to_thread(self.world.__enter__)
            closing.push(self.world)
            self.letters = tuple(a_batch(Writer(self.world.installation, self._at), self._software))
            (victim,) = [letter for letter in self.letters if letter.what == VICTIM]
            self._neighbour = mailbox.Neighbour(self.world, victim)
            for name, port in (
                ("mailbox", self.world.mailbox.imap_port),
                ("audit", self.world.dovecot.imap_port),
                ("smtp", self.world.postfix.port),
            ):
                proxy = FaultProxy(port, at_line=self._at_line(name))
                self.proxies[name] = await closing.enter_async_context(proxy)
            closing.enter_context(self._set_up())
            self._closing = closing.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._closing.aclose()

    @contextlib.contextmanager
    def _set_up(self) -> Iterator[None]:
        """What is listened to, and how long a stage waits after a failure, which shows nothing here."""
        global _listening
        if not _listening:
            statements.listen()
            memory.listen()
            compiled.share()
            _listening = True
        files.listen(self.world.installation.folder)
        settings = load(self.world.installation.config)
        here = JudgesHere(judge_of=parts.make_judge(settings), composer_of=parts.make_composer(settings))
        pool_of, now = parts.make_pool, parts.now
        first, most = stages.BACKOFF_FIRST_SECONDS, stages.BACKOFF_MOST_SECONDS

        def judges(settings: Settings, meter: Meter) -> Pool | JudgesHere:
            return pool_of(settings, meter) if self._with_pool else here

        try:
            stages.BACKOFF_FIRST_SECONDS, stages.BACKOFF_MOST_SECONDS = 0.02, 0.1
            parts.make_pool = judges  # type: ignore[assignment]  # either serves the door
            self._clock.wind()
            yield
        finally:
            stages.BACKOFF_FIRST_SECONDS, stages.BACKOFF_MOST_SECONDS = first, most
            parts.make_pool = pool_of
            read_by(now)

    def _at_line(self, name: str) -> Callable[[Side, bytes], Break | None]:
        protocol = "smtp" if name == "smtp" else "imap"

        def at_line(side: Side, octets: bytes) -> Break | None:
            if name == "mailbox" and side is Side.CLIENT and (act := self._neighbour.about_to(octets)):
                return Break(fault=LineFault.ACT, act=lambda: asyncio.to_thread(act))
            return lines.at_line(protocol, side, octets)

        return at_line

    # Playing

    async def record(self, *faults: Fault, with_pool: bool = False) -> list[Point]:
        """The points of a run from end to end, after runs that these broke, one each."""
        self._with_pool = with_pool
        await asyncio.to_thread(self.begin_anew)
        for number, fault in enumerate(faults):
            await self._run(Run(fault), number)
        run = Run()
        said = await self._finish(len(faults), run)
        if wrong := [*said, *await asyncio.to_thread(self._wrong, faults)]:
            raise AssertionError(f"already without a further fault: {wrong}")
        return run.passed

    async def play(self, *faults: Fault, with_pool: bool = False, once_more: bool = False) -> Played:
        """Runs that these break, one each; then the worker may finish, and come `once_more` when nothing seems left."""
        self._with_pool = with_pool
        await asyncio.to_thread(self.begin_anew)
        said, reached = [], True
        for number, fault in enumerate(faults):
            run = Run(fault)
            said += await self._run(run, number)
            reached = reached and run.fired
        said += await self._finish(len(faults), None)
        if once_more:
            said += await self._run(None, BATCHES_MAX)
        wrong = await asyncio.to_thread(self._wrong, faults)
        return Played(faults=faults, reached=reached, wrong=(*said, *wrong))

    def begin_anew(self) -> None:
        """The mails lie in the mailbox, and nothing was done yet."""
        self._clock.set_right(wholly=True)
        self.world.begin_anew()
        self._neighbour.begin_anew()
        self.world.post([letter.raw for letter in self.letters])

    async def _finish(self, runs_before: int, first: Run | None) -> list[str]:
        """Again and again, each time later, until nothing is left to do."""
        said: list[str] = []
        for number in range(runs_before, BATCHES_MAX):
            if number == CLOCK_SET_AT and _is_told(self._drained):
                self._clock.set_right(wholly=True)
            said += await self._run(first if number == runs_before else None, number)
            if self._drained is not None and not self._drained.waiting and not self._drained.unavailable:
                return said
        return [*said, "something is left to do for ever"]

    async def _run(self, run: Run | None, number: int) -> list[str]:
        """One batch, `number` waits after the first; what is wrong with how it ended."""
        self._clock.later = number * timedelta(minutes=LATER_MINUTES)
        self._drained = None
        points.begin(run)
        try:
            async with asyncio.timeout(BATCH_SECONDS_MAX):
                self._drained = await app.run_once(self._settings())
        except TimeoutError:
            return ["the batch hangs"]
        except MailflowError:
            pass  # told in a sentence, with an exit code that says to come again
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise
            frames = traceback.extract_tb(error.__traceback__)[-4:]
            places = (f"{Path(frame.filename).name}-{frame.lineno}" for frame in frames)
            return [f"the batch ended by {type(error).__name__} at {' '.join(places)}"]
        finally:
            points.begin(None)
            self._clock.set_right()
            for proxy in self.proxies.values():
                proxy.drop_all()  # what was stalled ends at last for the server, too
            await asyncio.to_thread(self._neighbour.restore)
            await asyncio.to_thread(self.world.settle)
        return []

    def _settings(self) -> Settings:
        """Those of the installation, through the proxies and with little patience."""
        settings = load(self.world.installation.config)
        ports = {name: proxy.port for name, proxy in self.proxies.items()}
        soon = {"timeout_seconds": REPLY_SECONDS_MAX}
        tables = {
            "mailbox": {"port": ports["mailbox"], **soon},
            "audit": {"port": ports["audit"]},
            "smtp": {"port": ports["smtp"], "data_timeout_seconds": REPLY_SECONDS_MAX, **soon},
        }
        changed = {name: getattr(settings, name).model_copy(update=table) for name, table in tables.items()}
        return settings.model_copy(update=changed)

    def _wrong(self, faults: Sequence[Fault]) -> list[str]:
        """What is wrong in the end. A mail that others took away need not be answered, nor lie where ours lie."""
        done = {fault.how for fault in faults if fault.point.kind == "mailbox"}
        letters = self.letters
        wrong = verdict(self.world, letters, self._at)
        if mailbox.EXPUNGED in done:
            wrong = [one for one in wrong if "1 mails are missing, 0 too many" not in one]
            if wrong:
                letters = tuple(letter for letter in letters if letter.what != VICTIM)
                wrong = verdict(self.world, letters, self._at)
        if done & {mailbox.COPIED, mailbox.MISSING, mailbox.MOVED}:
            # Two copies of a mail in its folder, or one that went with the folder, do no harm.
            wrong = [one for one in wrong if " mails are missing, " not in one or INBOX in one]
        return wrong


def _is_told(drained: Drained | None) -> bool:
    """Whether an operator hears of what waits: mails that could not be told yet, or a stage that cannot work."""
    return drained is not None and bool(drained.unavailable or drained.progress.undetermined)


@contextlib.asynccontextmanager
async def a_stage(folder: Path, *, postgres: PostgresServer | None = None, cyrus: bool = False) -> AsyncIterator[Stage]:
    """A stage, on the servers that are wanted."""
    async with Stage(folder, postgres=postgres, cyrus=cyrus) as stage:
        yield stage
