"""Memory and open file descriptors of the workers while they work, and whether they became more."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import psutil

from bench.processes import memory
from mailflow.selftest.oracle import Finding
from tests.hosts.beside import Beside
from tests.hosts.soak.oracle import Wrong

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All workers together, at one moment of the monotonic clock."""

    at: float
    main: float
    """MiB, PSS."""
    pool: float
    descriptors: int

    @property
    def memory(self) -> float:
        """MiB of all their processes."""
        return self.main + self.pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that should stay what it is."""

    what: str
    of: Callable[[Sample], float]
    together: Callable[[Iterable[float]], float] = statistics.median
    """Of many samples one: a median does not see what an outage piles up for a moment."""


MEASURES = (
    Measure(what="memory of the main processes (MiB)", of=lambda sample: sample.main),
    Measure(what="memory of the pools (MiB)", of=lambda sample: sample.pool),
    Measure(what="memory, all (MiB)", of=lambda sample: sample.memory),
    # An outage closes them, so that what is open at the most is what stays the same.
    Measure(what="file descriptors, at the most", of=lambda sample: sample.descriptors, together=max),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A measure in the second and in the last quarter of the soak. The first is the start."""

    what: str
    before: float
    after: float

    @property
    def percent(self) -> float:
        """How much more it is in the end."""
        return 100 * (self.after / self.before - 1) if self.before else 0.0


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Of every measure; none of fewer than four samples."""
    quarter = len(samples) // 4
    if not quarter:
        return []
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return [
        Growth(what=one.what, before=one.together(map(one.of, second)), after=one.together(map(one.of, last)))
        for one in MEASURES
    ]


def grown(measured: Sequence[Growth], percent_max: float) -> list[Finding]:
    """What became more than may be."""
    return [
        Finding(wrong=Wrong.GROWN, what=f"{one.what}: from {one.before:.0f} to {one.after:.0f}, {one.percent:+.1f} %")
        for one in measured
        if one.percent > percent_max
    ]


@dataclass(kw_only=True)
class Sampler(Beside):
    """Looks every so often within the block."""

    workers: Sequence[int]
    """Process ids."""
    every_seconds: float
    samples: list[Sample] = field(default_factory=list)

    def _go_on(self) -> None:
        while not self._over.wait(self.every_seconds):
            # A worker that has ended is told by whoever waits for it.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                self.samples.append(_sample([psutil.Process(pid) for pid in self.workers]))


def _sample(workers: Sequence[psutil.Process]) -> Sample:
    held = [memory(worker) for worker in workers]
    return Sample(
        at=time.monotonic(),
        main=sum(one["main"] for one in held) / MIB,
        pool=sum(one["pool"] for one in held) / MIB,
        descriptors=sum(map(_descriptors, workers)),
    )


def _descriptors(worker: psutil.Process) -> int:
    total = worker.num_fds()
    for child in worker.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            total += child.num_fds()
    return total
