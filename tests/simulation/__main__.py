"""Plays many seeds, on all cores, and goes on where it was stopped; plays one story again; lists the planted faults.

python -m tests.simulation play 0:100000 --minutes 60
python -m tests.simulation replay 57 weather:0-9 step:0-12,30 letter:3
python -m tests.simulation mutants
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from tests.simulation.crew import Job, Tale, do, pool, tell
from tests.simulation.mutants import MUTANTS
from tests.simulation.registers import SqliteCopies
from tests.simulation.simulation import WHOLE_EVERY
from tests.simulation.story import Story, numbers_in, ranges
from tests.support.version import version_of

HERE = Path(__file__).parent
PROGRESS = HERE.parents[1] / "build" / "simulation.txt"
"""A line for each seed that was played: version, seed, how many promises it broke."""
REPORT = HERE / "SEEDS.md"
PLAYED = ("mailflow", "tests/simulation/*.py", ":!tests/simulation/test_*.py")
"""What makes a seed the story that it is: whatever else changes, it was played."""
TABLE = HERE / "MUTANTS.md"
MUTANT_SEEDS = range(0, 240 * WHOLE_EVERY, WHOLE_EVERY)
"""A planted fault is to be noticed in one of these, which are whole stories."""
HEAD = """# Planted faults

Each is one mistake that somebody could make (`tests/simulation/mutants`), under a sentence that says what it breaks.
The number is how many whole stories are played, from the first, until a promise is broken; the limit in the tests is
240. Written by `python -m tests.simulation mutants`.

| fault | stage | stories |
| --- | --- | --- |
"""


@contextlib.contextmanager
def _crew(cores: int) -> Iterator[ProcessPoolExecutor]:
    with tempfile.TemporaryDirectory() as folder:
        workers = pool(Path(folder), cores)
        try:
            yield workers
        finally:
            workers.shutdown(cancel_futures=True)


# Play


@dataclass(slots=True)
class Tally:
    """What a command has played so far."""

    version: str
    played: set[int] = field(default_factory=set)
    failed: list[int] = field(default_factory=list)

    def note(self, seed: int, tale: Tale | None) -> str:
        """A line for the progress."""
        self.played.add(seed)
        if tale is not None:
            self.failed.append(seed)
            print(tale, flush=True)
        return f"{self.version} {seed} {len(tale.findings) if tale else 0}\n"

    def row(self) -> str:
        """A line for the report."""
        failed = ", ".join(map(str, self.failed)) or "none"
        seeds = f"{ranges(self.played)} | {len(self.played)}"
        return f"| {datetime.now(UTC).date()} | {self.version} | {seeds} | {failed} |\n"


def play_all(seeds: str, cores: int, minutes: float) -> int:
    """Play these seeds (`first:end`) but those that this version has played; how many broke a promise."""
    tally, until = Tally(version_of(*PLAYED)), time.monotonic() + 60 * minutes
    first, end = (int(number) for number in seeds.split(":"))
    waiting = iter(sorted(set(range(first, end)) - _played(tally.version)))
    PROGRESS.parent.mkdir(exist_ok=True)
    with _crew(cores) as workers, PROGRESS.open("a") as progress:
        running = {workers.submit(do, Job((seed,))): seed for seed in islice(waiting, cores)}
        while running:
            future = next(as_completed(running))
            progress.write(tally.note(running.pop(future), future.result()))
            progress.flush()
            if time.monotonic() < until:
                running |= {workers.submit(do, Job((seed,))): seed for seed in islice(waiting, 1)}
    with REPORT.open("a") as report:
        report.write(tally.row())
    print(f"{len(tally.played)} seeds played, {len(tally.failed)} of them broke a promise")
    return len(tally.failed)


def _played(now: str) -> set[int]:
    """By this version, here or on another machine: those of a run that was cut off stand in its progress alone."""
    if now.endswith("+"):
        return set()
    lines = PROGRESS.read_text().splitlines() if PROGRESS.exists() else []
    here = {int(line.split()[1]) for line in lines if line.startswith(f"{now} ")}
    rows = (row.split(" | ") for row in REPORT.read_text().splitlines() if f" | {now} | " in row)
    return here.union(*(numbers_in(row[2]) for row in rows))


# Replay


def replay(words: Sequence[str]) -> int:
    """Play one story, and say what happens in it."""
    with tempfile.TemporaryDirectory() as folder:
        tale = tell(Story.read(words), SqliteCopies(folder=Path(folder)))
    print(tale)
    return len(tale.findings)


# Planted faults


def mutants(cores: int) -> int:
    """Write the table of planted faults anew; how many nobody noticed."""
    with _crew(cores) as workers:
        playing = {name: workers.submit(do, Job(MUTANT_SEEDS, name)) for name in MUTANTS}
        found = {name: future.result() for name, future in playing.items()}
    TABLE.write_text(HEAD + "".join(_row(name, tale) for name, tale in found.items()))
    return sum(tale is None for tale in found.values())


def _row(name: str, tale: Tale | None) -> str:
    stage = MUTANTS[name].__module__.rpartition(".")[2]
    return f"| {name} | {stage} | {MUTANT_SEEDS.index(tale.story.seed) + 1 if tale else 'not noticed'} |\n"


def main() -> int:
    """0 when no promise was broken, and each planted fault was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    play = commands.add_parser("play", help="many seeds; goes on where it was stopped")
    play.add_argument("seeds", metavar="FIRST:END")
    play.add_argument("--minutes", type=float, default=float("inf"), help="begin no seed any more after so long")
    again = commands.add_parser("replay", help="one seed, or what is left of it without some parts")
    again.add_argument("story", nargs="+", metavar="SEED [PART:NUMBERS]")
    listing = commands.add_parser("mutants", help="every planted fault, until it is noticed")
    for command in (play, listing):
        command.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.command == "play":
        return min(1, play_all(options.seeds, options.cores, options.minutes))
    return min(1, replay(options.story) if options.command == "replay" else mutants(options.cores))


if __name__ == "__main__":
    sys.exit(main())
