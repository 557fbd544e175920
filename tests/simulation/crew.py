"""Plays many seeds side by side, one process for each core."""

import gc
import logging
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailflow.register import restoring
from tests.simulation import oracle
from tests.simulation.mutants import MUTANTS
from tests.simulation.registers import SqliteCopies
from tests.simulation.run import Run
from tests.simulation.simulation import play
from tests.simulation.story import PLAYS_MAX, Part, Story, shortest

INTAKES_AHEAD = 10_000
"""By so much a restore moves the numbering of mails on, of which a story has some dozens. To try each Message-ID
between, with the 100,000 of the service, took a fifth of all the time."""


@dataclass(frozen=True, slots=True)
class Tale:
    """A story that was played."""

    story: Story
    findings: Sequence[str]
    parts: Sequence[Part] = ()
    """What could be left out of it."""
    told: Sequence[str] = ()
    """What happened in it, in order."""

    def __str__(self) -> str:
        return "\n".join(
            [
                f"seed {self.story.seed}: {len(self.findings)} broken promises",
                *self.findings,
                "",
                *self.told,
                "",
                f"again: python -m tests.simulation replay {self.story}",
            ]
        )


def tell(story: Story, copies: SqliteCopies, mutant: str | None = None) -> Tale:
    """Play a story, with a fault that is planted or without."""
    url, kept = copies.fresh(), list[Run]()

    async def judge(run: Run) -> list[str]:
        kept.append(run)
        return await oracle.judge(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "INTAKES_AHEAD", INTAKES_AHEAD)
        if mutant is not None:
            MUTANTS[mutant](patch)
        findings = play(story, url, judge)
    copies.drop(url)
    # Of one whose stages broke nothing is left but the error.
    return Tale(story, findings, kept[0].parts, kept[0].world.told) if kept else Tale(story, findings)


def shorten(tale: Tale, copies: SqliteCopies, mutant: str | None = None, *, plays_max: int = PLAYS_MAX) -> Tale:
    """The shortest story found in so many plays that breaks a promise, too."""
    found = shortest(tale.story, tale.parts, lambda story: bool(tell(story, copies, mutant).findings), plays_max)
    return tell(found, copies, mutant)


@dataclass(frozen=True, slots=True)
class Job:
    """Seeds to be played until one finds something."""

    seeds: Sequence[int]
    mutant: str | None = None

    def do(self, copies: SqliteCopies) -> Tale | None:
        """The first that found anything; the shortest story of it when no fault was planted."""
        for seed in self.seeds:
            tale = tell(Story(seed), copies, self.mutant)
            if tale.findings:
                return tale if self.mutant else shorten(tale, copies)
        return None


class Crew:
    """All jobs are begun at once, in this order; a single one is done right here, where a debugger reaches it.

    So is each when pytest itself spreads the tests over the cores.
    """

    def __init__(self, folder: Path, jobs: Iterable[Job]) -> None:
        self._here = SqliteCopies(folder=folder)
        self._pool: ProcessPoolExecutor | None = None
        self._begun: dict[Job, Future[Tale | None]] = {}
        several = list(jobs)
        if len(several) > 1 and "PYTEST_XDIST_WORKER" not in os.environ:
            self._pool = pool(folder, min(len(several), os.cpu_count() or 1))
            self._begun = {job: self._pool.submit(do, job) for job in several}

    def found(self, job: Job) -> Tale | None:
        """Waits until it is done."""
        return self._begun[job].result() if job in self._begun else job.do(self._here)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def pool(folder: Path, processes: int) -> ProcessPoolExecutor:
    """Processes that can `do` jobs; their registers lie in `folder`."""
    return ProcessPoolExecutor(
        max_workers=processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(folder,),
    )


# Inside a process of the crew

_copies: list[SqliteCopies] = []


def _begin(folder: Path) -> None:
    own = folder / str(os.getpid())
    own.mkdir()
    _copies.append(SqliteCopies(folder=own))
    logging.disable()  # what breaks there is meant to
    # What is loaded stays: to look through it for garbage at each of a story's many small steps cost a tenth.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def do(job: Job) -> Tale | None:
    """See `Job.do`."""
    return job.do(_copies[0])
