"""A pool of processes that judge, typeset and compose, so that every core works and one hung mail ends alone.

`pebble`, because the standard library's pool cannot end one task: a mail that takes too long or too much memory
costs its own task, and the pool goes on. The processes are spawned, hold keys and enrolments of one generation of
the trust store, and read no clock, file or network.
"""

import asyncio
import contextlib
import gc
import os
import pickle
import resource
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TaskTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import reduction
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import RLock
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from mailflow.attestation import Attestation, typeset
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail.composer import Composer
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.trust import Trust, TrustMaterial
from mailflow.meter import UNMEASURED, Meter

NICENESS = 5
"""How far the processes stand back for whoever wants the same core, above all for the worker's own process: while that
waits for a core, all else waits for it. (nice(2): with 5 the cores idle a third less, with 19 no less than that.)"""

T = TypeVar("T")
U = TypeVar("U")


class TaskFailed(MailflowError):
    """A task raised what it should not, took too long, or died. `what` and `place` are identifiers, never content."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(what, place)  # as it was made, or it would not cross from process to process
        self.what = what
        self.place = place

    def __str__(self) -> str:
        return f"{self.what} {self.place}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What the processes may use."""

    processes: int
    task_seconds_max: float
    """For one task, which is a share of a chunk."""
    memory_bytes_max: int
    """Address space of one process (RLIMIT_AS)."""


class Pool:
    """Judges, typesets and composes in processes. One pool serves one generation of the trust store; see `serve`."""

    def __init__(
        self,
        limits: PoolLimits,
        judge: Callable[[Trust], Judge],
        composer: Callable[[Trust], Composer],
        meter: Meter = UNMEASURED,
    ) -> None:
        """`judge` and `composer` are picklable makers: they run once in every process of a generation."""
        self._limits = limits
        self._makers = (judge, composer)
        self._meter = meter
        self._processes: ProcessPool | None = None
        self._shared: _Shared | None = None
        self._whole = True
        """Whether the processes can be heard."""
        self.served: TrustMaterial | None = None
        self._serving = asyncio.Lock()
        self._under_way = 0
        """Works that are spread over the processes just now."""

    async def serve(self, material: TrustMaterial) -> None:
        """Work from this material from now on. Tasks that are under way end under the former.

        Raises Misconfigured when a trust file or a key is not usable: here, where it can be told, and not in a
        process, where it would look as if a mail were to blame.
        """
        async with self._serving:  # two stages may find the same news at once
            if material != self.served:
                await self._serve(material)

    async def _serve(self, material: TrustMaterial) -> None:
        await asyncio.to_thread(_make, material, *self._makers)
        former, shared, whole = self._processes, self._shared, self._whole
        self._shared = _Shared(material)
        self._processes = ProcessPool(
            max_workers=self._limits.processes,
            context=_Spawned(),
            initializer=_begin,
            initargs=(self._limits.memory_bytes_max, self._shared, *self._makers),
        )
        self.served, self._whole = material, True
        await self._end(former, shared, at_once=not whole)

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        """One verdict per mail, in order; None for those that were left for another time (`Judge.judge_some`).

        Raises TaskFailed for the whole chunk when one of them breaks.
        """
        with self._meter.call("pool", "judge"):
            return await self._spread(_judge, mails, at)

    async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
        """Who sent each mail, in order; None where nobody is proven. Raises TaskFailed likewise."""
        with self._meter.call("pool", "recognise"):
            return await self._spread(_recognise, mails, at)

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        """A PDF for each, in order. Raises TaskFailed likewise."""
        return await self._spread(_typeset, attestations, at)

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        """What came of each composition, in order. Raises TaskFailed likewise."""
        with self._meter.call("pool", "compose"):
            return await self._spread(_compose, compositions, at)

    async def close(self) -> None:
        """End the processes, at once: whatever they were doing is done again by whoever claims it next."""
        former, shared, self._processes, self._shared = self._processes, self._shared, None, None
        await self._end(former, shared, at_once=True)

    def _distrust(self, processes: ProcessPool) -> None:
        if processes is self._processes:  # others may serve by now
            self.served, self._whole = None, False

    async def _end(self, processes: ProcessPool | None, shared: "_Shared | None", *, at_once: bool) -> None:
        """Let them finish what is under way, or not."""
        if processes is None or shared is None:
            return
        if at_once:
            processes.stop()
        else:
            processes.close()
        await asyncio.to_thread(_join, processes, (self._under_way + 1) * self._limits.task_seconds_max)
        shared.close()

    async def _spread(
        self, task: Callable[[Sequence[T], datetime], list[U]], work: Sequence[T], at: datetime
    ) -> list[U]:
        processes = self._processes
        assert processes is not None, "serve comes first"
        if not work:
            return []
        share = -(-len(work) // self._limits.processes)
        slices = [work[i : i + share] for i in range(0, len(work), share)]
        self._under_way += 1
        try:
            seconds = self._limits.task_seconds_max
            futures = [processes.schedule(task, args=(part, at), timeout=seconds) for part in slices]
            if not await _ended(futures, within_seconds=(self._under_way + 1) * seconds):
                self._distrust(processes)
                for told in (future for future in futures if not future.cancelled()):
                    _result(told)  # raises when it died: then it may be to blame
                raise Unavailable("the processes of the pool say nothing; they are started anew")
            return [one for future in futures for one in _result(future)]
        except (RuntimeError, OSError):  # a pool that cannot go on, in pebble's words, or begin: no mail is to blame
            self._distrust(processes)
            raise Unavailable("the processes of the pool have failed; they are started anew") from None
        except (Unavailable, Misconfigured):  # a key is away: whoever has a session with its token begins anew
            self.served = None
            raise
        finally:
            self._under_way -= 1


def _join(processes: ProcessPool, within_seconds: float) -> None:
    """Wait for them to finish what is under way; one of them may have fallen silent meanwhile."""
    try:
        processes.join(within_seconds)
    except TimeoutError:
        processes.stop()
        processes.join()


async def _ended(futures: "Sequence[Future[list[U]]]", *, within_seconds: float) -> bool:
    """Whether all came to an end in time, be it a bad one; the others are cancelled.

    Each task has its own bound, but that counts from when a process says that it has begun. One that is killed while
    it tells a result leaves half of a message in the channel that all share, and nobody is heard there any more.
    """
    # Gathered with their errors, which would else be logged as never retrieved, content and all.
    ends = asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    try:
        async with asyncio.timeout(within_seconds):
            await ends
    except TimeoutError:
        return False
    return True


def _result(future: "Future[list[U]]") -> list[U]:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool | Unavailable | Misconfigured):
        raise error
    if isinstance(error, TaskTimeout):
        raise TaskFailed("timeout") from None
    if isinstance(error, ProcessExpired):
        raise TaskFailed("died", f"exit-{error.exitcode}") from None
    if isinstance(error, MemoryError):
        raise TaskFailed("memory") from None
    if isinstance(error, TaskFailed):
        raise TaskFailed(error.what, error.place) from None
    raise TaskFailed(type(error).__name__.lower()) from None


class _Spawned(SpawnContext):
    """How the processes begin. Their locks have names in the system, which last as long as this.

    pebble lets the locks go before it ends the processes: one that was only just beginning would not find them, and say
    so with a traceback on the standard error.
    """

    def __init__(self) -> None:
        super().__init__()
        self._locks: list[RLock] = []

    def RLock(self) -> RLock:  # noqa: N802  multiprocessing's name
        lock = super().RLock()
        self._locks.append(lock)
        return lock


class _Shared:
    """What every process reads when it begins, in memory that belongs to no process.

    Not through the pipe that each is started with: more than fits into it is written while the process is starting, and
    when one dies meanwhile, whoever starts it would wait for ever.
    """

    def __init__(self, material: TrustMaterial) -> None:
        self._file = os.memfd_create("mailflow-trust")
        with open(self._file, "wb", closefd=False) as file:
            pickle.dump(material, file)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._file)

    def __setstate__(self, state: Any) -> None:
        self._file = state.detach()

    def read(self) -> TrustMaterial:
        """The material. The offset is every process's own business."""
        material: TrustMaterial = pickle.loads(os.pread(self._file, os.fstat(self._file).st_size, 0))  # noqa: S301  ours
        return material

    def close(self) -> None:
        """No process will begin any more."""
        os.close(self._file)


# Inside a process of the pool

_here: dict[str, Any] = {}


def _begin(
    memory_bytes_max: int,
    shared: _Shared,
    judge: Callable[[Trust], Judge],
    composer: Callable[[Trust], Composer],
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    with contextlib.suppress(OSError):  # a sandbox may forbid it: all works without
        os.nice(NICENESS)
    os.environ["RAYON_NUM_THREADS"] = "1"  # the typesetter's threads: there is a process for each core
    _here["judge"], _here["composer"] = _make(shared.read(), judge, composer)
    gc.freeze()  # what is here now stays: the garbage collector need not look at it again


def _make(
    material: TrustMaterial, judge: Callable[[Trust], Judge], composer: Callable[[Trust], Composer]
) -> tuple[Judge, Composer]:
    trust = Trust(material)
    return judge(trust), composer(trust)


def _judge(mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
    judge: Judge = _here["judge"]
    with _failing_by_name():
        return judge.judge_some(mails, at)


def _recognise(mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
    judge: Judge = _here["judge"]
    with _failing_by_name():
        return [judge.recognise(mail, at) for mail in mails]


def _typeset(attestations: Sequence[Attestation], _: datetime) -> list[bytes]:
    with _failing_by_name():
        return [typeset(attestation) for attestation in attestations]


def _compose(compositions: Sequence[Composition], at: datetime) -> list[Composed]:
    composer: Composer = _here["composer"]
    with _failing_by_name():
        return [composer.compose(composition, at) for composition in compositions]


@contextlib.contextmanager
def _failing_by_name() -> Iterator[None]:
    """The message of an unforeseen exception may hold content, its type and place never do; so they alone leave here.

    Not every exception can be told to another process, and one that cannot would end the whole pool.
    """
    try:
        yield
    except (Unavailable, Misconfigured, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001  a panic of a library in Rust is no Exception; the mail falls alone
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}-{frame.lineno}"
        raise TaskFailed(type(error).__name__.lower(), place) from None
