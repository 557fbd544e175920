"""Plays many seeds side by side, one process for each core."""

import logging
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulation import oracle
from tests.simulation.mutants import MUTANTS
from tests.simulation.registers import SqliteCopies
from tests.simulation.simulation import play


@dataclass(frozen=True, slots=True)
class Job:
    """Seeds to be played until one finds something."""

    seeds: Sequence[int]
    mutant: str | None = None

    def do(self, copies: SqliteCopies) -> list[str]:
        """What the first seed that found anything found."""
        for seed in self.seeds:
            url = copies.fresh()
            with pytest.MonkeyPatch.context() as patch:
                if self.mutant is not None:
                    MUTANTS[self.mutant](patch)
                findings = play(seed, url, oracle.judge)
            copies.drop(url)
            if findings:
                return findings
        return []


class Crew:
    """All jobs are begun at once, in this order; a single one is done right here, where a debugger reaches it.

    So is each when pytest itself spreads the tests over the cores.
    """

    def __init__(self, folder: Path, jobs: Iterable[Job]) -> None:
        self._here = SqliteCopies(folder=folder)
        self._pool: ProcessPoolExecutor | None = None
        self._begun: dict[Job, Future[list[str]]] = {}
        several = list(jobs)
        if len(several) > 1 and "PYTEST_XDIST_WORKER" not in os.environ:
            self._pool = ProcessPoolExecutor(
                max_workers=min(len(several), os.cpu_count() or 1),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(folder,),
            )
            self._begun = {job: self._pool.submit(_do, job) for job in several}

    def findings(self, job: Job) -> list[str]:
        """Waits until it is done."""
        return self._begun[job].result() if job in self._begun else job.do(self._here)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


# Inside a process of the crew

_copies: list[SqliteCopies] = []


def _begin(folder: Path) -> None:
    own = folder / str(os.getpid())
    own.mkdir()
    _copies.append(SqliteCopies(folder=own))
    logging.disable()  # what breaks there is meant to


def _do(job: Job) -> list[str]:
    return job.do(_copies[0])
