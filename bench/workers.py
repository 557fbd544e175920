"""`make bench-workers`: a full mailbox drained by one, two and four workers on one PostgreSQL, and whose time it took.

Each worker is a service with one process of its pool. On a machine of few cores one worker would use them all and a
second could add nothing: so each gets a share of a core, as if it ran on a small host of its own. The rate grows with
the workers until the cores or the database are all in use; so beside it stands what the database took of it, and the
rate at which its own work would fill the cores that it would have alone.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bench import mails, processes
from bench.runs import NotAsExpectedError, instants, service
from bench.share import share
from bench.world import SERVICE, SERVICE_USER, World, world
from mailflow.demo.pki import Pki
from tests.servers.dovecot import DOMAIN

CORES = os.cpu_count() or 1
DATABASE = "postgresql"
SMALL = {"worker": {"processes": 1}, "smtp": {"connections": 8}}
"""Settings of a worker on a small host."""
LOOK_SECONDS = 0.2
NOTHING_SECONDS_MAX = 60.0
"""Without any answer for so long, the workers do not do what they are measured at."""
UNTIL = 0.95
"""Of all answers: with the last ones not every worker has something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What has been done until then."""

    at: float
    answers: Sequence[int]
    """By worker."""
    workers_seconds: float
    """Of a core."""
    servers_seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One drain by so many workers: from when each has answered something until nearly all is answered."""

    workers: int
    mails_per_second: float
    cpu_ms_per_mail: float
    """All processes that take part."""
    database_cpu_ms_per_mail: float
    cores_busy: float
    """Of all cores."""
    per_worker: Sequence[int]
    """Answers that each sent, of all mails."""

    @property
    def database_share(self) -> float:
        """Of all CPU time that of PostgreSQL."""
        return self.database_cpu_ms_per_mail / self.cpu_ms_per_mail

    @property
    def database_bound(self) -> float:
        """Mails a second at which a database that has these cores alone would be the limit."""
        return 1000 * CORES / self.database_cpu_ms_per_mail


@click.command()
@click.option("--mails", "count", default=2_000, show_default=True, help="How many each drain has.")
@click.option("--workers", default="1,2,4", show_default=True, help="How many workers: a drain for each number.")
@click.option("--cores", "share_cores", default=0.2, show_default=True, help="Of a core, what each worker has.")
@click.option("--program", type=click.Choice(["bench.bare", "mailflow"]), default="bench.bare", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here as well.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".cache/bench-workers"), show_default=True)
def main(count: int, workers: str, share_cores: float, program: str, json_file: Path | None, folder: Path) -> None:
    """Measure end to end on Dovecot, Postfix and PostgreSQL; bench.bare answers without attestations."""
    at = datetime.now(UTC).replace(microsecond=0)
    shutil.rmtree(folder, ignore_errors=True)
    pki = Pki(at=at)
    software = mails.senders(pki, DOMAIN)
    numbers = [int(number) for number in workers.split(",")]
    whole = count * len(numbers)
    made = mails.make(software, whole, at=at, encrypt_to=pki.service_rsa.der, recipient=SERVICE, processes=CORES)
    lots = [made[start : start + count] for start in range(0, whole, count)]
    measured = []
    for number, lot in zip(numbers, lots, strict=True):
        with world(folder.absolute() / str(number), pki, software, DATABASE, changes=SMALL) as at_work:
            print(f"{number} workers: draining {len(lot)} mails", file=sys.stderr, flush=True)
            measured.append(_drain(at_work, lot, number, share_cores, program))
    if json_file is not None:
        facts = [
            {name: getattr(one, name) for name in (*Scaled.__slots__, "database_share", "database_bound")}
            for one in measured
        ]
        json_file.write_text(
            json.dumps({"at": at.isoformat(), "cores": CORES, "cores_a_worker": share_cores, "drains": facts}, indent=2)
            + "\n"
        )
    _show(measured, share_cores)


def _drain(around: World, lot: Sequence[bytes], workers: int, cores: float, program: str) -> Scaled:
    around.dovecot.fill(SERVICE_USER, lot)
    logs = [around.folder / f"worker-{number}.log" for number in range(workers)]
    with contextlib.ExitStack() as closing:
        running = [closing.enter_context(_service(around, log, cores, program)) for log in logs]

        def instant() -> Instant:
            return Instant(
                at=time.monotonic(),
                answers=[len(instants(log, "sent")) for log in logs],
                workers_seconds=sum(processes.cpu_seconds(one.pid) for one in running),
                servers_seconds=around.cpu_seconds(),
            )

        begun = _when(instant, lambda now: all(now.answers))
        ended = _when(instant, lambda now: sum(now.answers) >= UNTIL * len(lot))
        last = _when(instant, lambda now: sum(now.answers) >= len(lot))
    if not begun.at < ended.at:
        raise NotAsExpectedError("not every worker had something to do: there have to be more mails")
    seconds, answered = ended.at - begun.at, sum(ended.answers) - sum(begun.answers)
    servers = {name: spent - begun.servers_seconds[name] for name, spent in ended.servers_seconds.items()}
    whole = sum(servers.values()) + ended.workers_seconds - begun.workers_seconds
    return Scaled(
        workers=workers,
        mails_per_second=answered / seconds,
        cpu_ms_per_mail=1000 * whole / answered,
        database_cpu_ms_per_mail=1000 * servers[DATABASE] / answered,
        cores_busy=whole / seconds / CORES,
        per_worker=last.answers,
    )


def _when(instant: Callable[[], Instant], true: Callable[[Instant], bool]) -> Instant:
    """The first instant at which it is so. Raises NotAsExpectedError when answers cease to come before."""
    now = before = instant()
    while not true(now):
        if now.at - before.at > NOTHING_SECONDS_MAX:
            raise NotAsExpectedError(f"no answer in {NOTHING_SECONDS_MAX:.0f} s, after {now.answers}")
        time.sleep(LOOK_SECONDS)
        now = instant()
        before = now if now.answers != before.answers else before
    return now


@contextlib.contextmanager
def _service(around: World, log: Path, cores: float, program: str) -> "Iterator[subprocess.Popen[bytes]]":
    with (
        share(cores) as limited,
        service(around, log, program=program, limited=limited) as running,
    ):
        yield running


def _show(measured: Sequence[Scaled], share_cores: float) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for title in (
        *("workers", "mails a second", "of cores busy", "CPU ms a mail", "of it the database"),
        *("database alone: at most", "answers by worker"),
    ):
        table.add_column(title, justify="right")
    for one in measured:
        table.add_row(
            str(one.workers),
            f"{one.mails_per_second:.0f}",
            f"{one.cores_busy:.0%}",
            f"{one.cpu_ms_per_mail:.1f}",
            f"{one.database_share:.0%}",
            f"{one.database_bound:.0f}",
            " + ".join(map(str, one.per_worker)),
        )
    Console().print(f"{CORES} cores, {share_cores:g} of one for each worker")
    Console().print(table)


if __name__ == "__main__":
    main()
