"""Where the story is played: a world, the batch of mails that comes to it, and the real worker in this very process.

The worker is composed as in production, `mailflow run --once` with its jobs and its watch, so that a thousand runs
fit into an hour; its pool of processes is replaced where the kind of fault is not about it. Between it and the servers
stand proxies. A worker that is to be killed has a process of its own.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
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
from tests.faults import audit, clocks, files, kills, mailbox, memory, statements
from tests.faults.played import Played
from tests.faults.unforeseen import Unforeseen
from tests.servers.cyrus import Cyrus
from tests.servers.postgres import PostgresServer
from tests.support import compiled
from tests.support.clock import read_by
from tests.support.judges_here import JudgesHere
from tests.support.letters import Fate, Letter, Writer, a_batch, verdict
from tests.support.mail_world import LATER_MINUTES, PROCESSED, MailWorld

REPLY_SECONDS_MAX = 0.7
LATER = timedelta(minutes=LATER_MINUTES)
"""From one batch to the next."""
BATCH_SECONDS_MAX = 180
"""Of one `run --once`, whatever fails and however busy the machine: every wait in it has an end."""
BATCHES_MAX = 8
LAST_BATCH = 10
"""More than 12 hours after the first: what would be done only then should not be done at all."""
CLOCK_SET_AT = BATCHES_MAX - 3
"""By a clock that is days behind nothing is decided: somebody sets it right then, within the deadline, who was told."""
INBOX = "Demandes"
"""A folder that can be renamed and made anew."""
VICTIM = "a couple"
"""The letter that somebody expunges: no other one depends on what becomes of it."""

_listening = False


class Stage:
    """An async context manager; one in a process. `without`: what Dovecot does not offer."""

    def __init__(
        self,
        folder: Path,
        *,
        postgres: PostgresServer | None = None,
        cyrus: bool = False,
        without: Sequence[str] = (),
    ) -> None:
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
            without=without,
            changes={"smtp": {"connections": 1}, "worker": {"processes": 1}},
        )
        self._postgres = postgres
        self._closing = contextlib.AsyncExitStack()
        self._clock = clocks.Clock()
        self.proxies: dict[str, FaultProxy] = {}
        """Before the servers: `mailbox`, `audit`, `smtp`."""
        self._with_pool = False
        self.letters: tuple[Letter, ...] = ()
        self._neighbour: mailbox.Neighbour
        self._keeper: audit.Keeper
        self._not_disturbed = ""
        """Why what others were to do was refused."""
        self._unforeseen = Unforeseen()
        self._drained: Drained | None = None
        self._failed = ""
        """By which error the last batch ended that an operator is told in a sentence."""

    async def __aenter__(self) -> "Stage":
        async with self._closing as closing:
            await asyncio.to_thread(self.world.__enter__)
            closing.push(self.world)
            self.letters = tuple(a_batch(Writer(self.world.installation, self._at), self._software))
            (victim,) = [letter for letter in self.letters if letter.what == VICTIM]
            self._neighbour = mailbox.Neighbour(self.world, victim)
            self._keeper = audit.Keeper(self.world)
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
        log = logging.getLogger("mailflow")
        log.addHandler(self._unforeseen)
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
            log.removeHandler(self._unforeseen)
            stages.BACKOFF_FIRST_SECONDS, stages.BACKOFF_MOST_SECONDS = first, most
            parts.make_pool = pool_of
            read_by(now)

    def _at_line(self, name: str) -> Callable[[Side, bytes], Break | None]:
        protocol = "smtp" if name == "smtp" else "imap"
        clients: dict[str, mailbox.Neighbour | audit.Keeper] = {"mailbox": self._neighbour, "audit": self._keeper}
        others = clients.get(name)

        def at_line(side: Side, octets: bytes) -> Break | None:
            if others and side is Side.CLIENT and (act := others.about_to(octets)):
                return Break(fault=LineFault.ACT, act=lambda: self._disturb(act))
            return lines.at_line(protocol, side, octets)

        return at_line

    async def _disturb(self, act: Callable[[], None]) -> None:
        """The proxy drops the connection when that raises, as if it were the server's doing."""
        try:
            await asyncio.to_thread(act)
        except AssertionError as error:
            self._not_disturbed = f"what others were to do has failed: {error}"
            raise

    # Playing

    @property
    def cannot(self) -> frozenset[str]:
        """What cannot go wrong on these servers: only Cyrus has a limit for a folder alone."""
        return frozenset() if isinstance(self.world.mailbox, Cyrus) else frozenset({mailbox.FULL})

    @property
    def _moves_by_parts(self) -> bool:
        """The worker may be cut off when it has copied mails, and when it has marked them."""
        return "MOVE" in self.world.dovecot.without

    async def record(self, *faults: Fault, kinds: Collection[str]) -> list[Point]:
        """The points of these kinds of a run from end to end, after runs that these broke, one each."""
        points: list[Point] = []
        if {*kinds} - {"kill", "memory"}:
            points += await self._record(faults, with_pool=False)
        if "memory" in kinds:
            points += [point for point in await self._record(faults, with_pool=True) if point.kind == "memory"]
        if "kill" in kinds:
            points += await self._record_kills(faults)
        return [point for point in points if point.kind in kinds]

    async def _record(self, faults: Sequence[Fault], *, with_pool: bool) -> list[Point]:
        await self._begin(faults, with_pool=with_pool)
        run = Run()
        self._surely(await self.finish(len(faults), run, faults))
        return run.passed

    async def _record_kills(self, faults: Sequence[Fault]) -> list[Point]:
        await self._begin(faults, with_pool=False)
        passed = await asyncio.to_thread(kills.passed, self.world, len(faults) * LATER)
        await asyncio.to_thread(self.world.settle)
        self._surely(await self.finish(len(faults) + 1, None, faults))
        return passed

    @staticmethod
    def _surely(wrong: Sequence[str]) -> None:
        if wrong:
            raise AssertionError(f"already without a further fault: {wrong}")

    async def play(self, *faults: Fault) -> Played:
        """Runs that these break, one each; then the worker may finish."""
        said, reached = await self._begin(faults, with_pool="memory" in {fault.point.kind for fault in faults})
        return Played(faults=faults, reached=reached, wrong=(*said, *await self.finish(len(faults), None, faults)))

    async def _begin(self, faults: Sequence[Fault], *, with_pool: bool) -> tuple[list[str], bool]:
        """Runs that these break; what is wrong with how they ended, and whether each fault happened."""
        self._with_pool = with_pool
        await asyncio.to_thread(self.begin_anew)
        said, reached = [], True
        for number, fault in enumerate(faults):
            run = Run(fault)
            said += await self._run(run, number)
            reached = reached and run.fired
        return said, reached

    def begin_anew(self) -> None:
        """The mails lie in the mailbox, and nothing was done yet."""
        self._clock.set_right(wholly=True)
        self._unforeseen.heard(disturbed=True)
        self.world.begin_anew()
        self._neighbour.begin_anew()
        self.world.post([letter.raw for letter in self.letters])

    async def finish(self, runs_before: int, first: Run | None = None, faults: Sequence[Fault] = ()) -> list[str]:
        """Batches, each later, until nothing is left to do; what is wrong with them, and in the end."""
        said = await self._finish(runs_before, first)
        return [*said, *await asyncio.to_thread(self._wrong, faults)]

    async def _finish(self, runs_before: int, first: Run | None) -> list[str]:
        """And once more when the 12 hours are over."""
        said: list[str] = []
        for number in range(runs_before, BATCHES_MAX):
            if number == CLOCK_SET_AT and _is_told(self._drained):
                self._clock.set_right(wholly=True)
            said += await self._run_undisturbed(first if number == runs_before else None, number)
            if self._drained is not None and not self._drained.waiting and not self._drained.unavailable:
                return [*said, *await self._run_undisturbed(None, LAST_BATCH)]
        return [*said, "something is left to do for ever"]

    async def _run_undisturbed(self, run: Run | None, number: int) -> list[str]:
        """A batch that can work, but for a clock that nobody has set right yet."""
        said = await self._run(run, number)
        unavailable = self._drained.unavailable if self._drained else ()
        if not self._clock.is_wrong and (why := self._failed or ", ".join(unavailable)):
            said.append(f"batch {number} could not work though nothing was broken any more: {why}")
        return said

    async def _run(self, run: Run | None, number: int) -> list[str]:
        """One batch, `number` waits after the first; what is wrong with how it ended."""
        self._clock.later = number * LATER
        self._drained, self._failed, self._not_disturbed = None, "", ""
        points.begin(run)
        try:
            if run is not None and run.fault is not None and run.fault.point.kind == "kill":
                run.fired = await asyncio.to_thread(kills.killed, self.world, run.fault.point, self._clock.later)
                return []
            async with asyncio.timeout(BATCH_SECONDS_MAX):
                self._drained = await app.run_once(self._settings())
        except TimeoutError:
            return ["the batch hangs"]
        except MailflowError as error:
            self._failed = f"{type(error).__name__} {error}"  # told in a sentence; the exit code says to come again
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
            self._keeper.restore()
            await asyncio.to_thread(self.world.settle)
            if self._postgres:
                await asyncio.to_thread(self._postgres.await_recovery)  # of a crash that was planted
        disturbed = self._clock.is_wrong or (run is not None and run.fault is not None)
        heard = self._unforeseen.heard(disturbed=disturbed)
        said = [f"unforeseen: {one}" for one in heard if not _loses_processes(run)]
        return [*said, self._not_disturbed] if self._not_disturbed else said

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
        """What is wrong in the end. A mail that others took away need not be answered, nor lie where ours lie.

        Where the copies are gone, nobody can know that an answer went out: it goes once more, the same octets.
        """
        done = {fault.how: fault.point for fault in faults if fault.point.kind == "mailbox"}
        letters, late = self.letters, _is_late(faults)
        if self._moves_by_parts:
            self._neighbour.expunge()
        wrong = verdict(self.world, letters, self._at, late=late)
        if expunged := done.get(mailbox.EXPUNGED):
            wrong = [one for one in wrong if one != f"{PROCESSED}: 1 mails are missing, 0 too many"]
            if wrong and not expunged.name.endswith(mailbox.MOVING):  # whoever moves it has read it
                letters = tuple(letter for letter in letters if letter.what != VICTIM)
                wrong = verdict(self.world, letters, self._at, late=late)
        # Two copies of a mail in its folder, or those that went with the folder, do no harm.
        if mailbox.COPIED in done or self._moves_by_parts:
            wrong = [one for one in wrong if ": 0 mails are missing, " not in one or one.startswith(INBOX)]
        if mailbox.MISSING in done:
            wrong = [one for one in wrong if not (one.startswith(PROCESSED) and one.endswith(" missing, 0 too many"))]
        if audit.EXPUNGED in {fault.how for fault in faults if fault.point.kind == "audit"}:
            gone = ("1 identical copies of an answer", "the audit mailbox has ")
            wrong = [one for one in wrong if not one.startswith(gone)]
        persons = {file.about for letter in letters for file in letter.files if file.fate is not Fate.REFUSED}
        if (given := self.world.numbers_given()) != {len(persons)}:
            wrong.append(f"{len(persons)} persons have numbers, the register has requests and numbers: {given}")
        return wrong


def _is_late(faults: Sequence[Fault]) -> bool:
    """Whether a batch, not the first, ended without answers for want of processes: then receipts go at its end."""
    return len(faults) > 1 and faults[-1].point.kind == "memory"


def _is_told(drained: Drained | None) -> bool:
    """Whether an operator hears of what waits: mails that could not be told yet, or a stage that cannot work."""
    return drained is not None and bool(drained.unavailable or drained.progress.undetermined)


def _loses_processes(run: Run | None) -> bool:
    """Whether the very fault is that tasks of the pool end badly, which is told as such."""
    return run is not None and run.fault is not None and run.fault.point.kind == "memory"
