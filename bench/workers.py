"""`make bench-workers`: a full mailbox drained by one, two and four workers on one PostgreSQL, and whose time it took.

Each worker is a process with one process of its pool. Rates grow with the workers until the cores or the database are
all in use; so beside each rate stands what the database took of it, and the rate at which its own work would fill the
cores that it would have alone.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bench import mails, processes
from bench.runs import AS_INSTALLED, NotAsExpectedError, command, instants
from bench.world import SERVICE, SERVICE_USER, World, world
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from tests.servers.dovecot import DOMAIN

CORES = os.cpu_count() or 1
DATABASE = "postgresql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One drain by so many workers."""

    workers: int
    mails_per_second: float
    cpu_ms_per_mail: float
    """All processes that take part."""
    database_cpu_ms_per_mail: float
    cores_busy: float
    """Of all cores, from the first worker's start to the last answer that was accepted."""
    per_worker: Sequence[int]
    """Answers that each sent."""

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
@click.option("--program", type=click.Choice(["bench.bare", "mailflow"]), default="bench.bare", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here as well.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".cache/bench-workers"), show_default=True)
def main(count: int, workers: str, program: str, json_file: Path | None, folder: Path) -> None:
    """Measure end to end on Dovecot, Postfix and PostgreSQL; bench.bare answers without attestations."""
    at = datetime.now(UTC).replace(microsecond=0)
    shutil.rmtree(folder, ignore_errors=True)
    pki = Pki(at=at)
    software = mails.senders(pki, DOMAIN)
    numbers = [int(number) for number in workers.split(",")]
    whole = count * len(numbers)
    made = mails.make(software, whole, at=at, encrypt_to=pki.service_rsa.der, recipient=SERVICE, processes=CORES)
    lots = [made[start : start + count] for start in range(0, whole, count)]
    measured = [
        _measure(folder.absolute() / str(number), pki, software, lot, number, program)
        for number, lot in zip(numbers, lots, strict=True)
    ]
    if json_file is not None:
        facts = [
            {name: getattr(one, name) for name in (*Scaled.__slots__, "database_share", "database_bound")}
            for one in measured
        ]
        json_file.write_text(json.dumps({"at": at.isoformat(), "cores": CORES, "drains": facts}, indent=2) + "\n")
    _show(measured)


def _measure(
    folder: Path, pki: Pki, software: Sequence[DeskSoftware], lot: Sequence[bytes], workers: int, program: str
) -> Scaled:
    with world(folder, pki, software, DATABASE, changes={"worker": {"processes": 1}}) as around:
        print(f"{workers} workers: draining {len(lot)} mails", file=sys.stderr, flush=True)
        return _drain(around, lot, workers, program)


def _drain(around: World, lot: Sequence[bytes], workers: int, program: str) -> Scaled:
    around.dovecot.fill(SERVICE_USER, lot)
    before, started = around.cpu_seconds(), time.time()
    logs = [around.folder / f"worker-{number}.log" for number in range(workers)]
    running = [
        subprocess.Popen(
            command(around, "run", "--once", "--json", program=program),
            stdout=log.with_suffix(".json").open("wb"),
            stderr=log.open("wb"),
            env=AS_INSTALLED,
        )
        for log in logs
    ]
    with ThreadPoolExecutor(workers) as threads:
        used = list(threads.map(processes.watch, running))
    told = [json.loads(log.with_suffix(".json").read_text() or "{}") for log in logs]
    sent = [one.get("sent", 0) for one in told]
    if any(one.exit_code for one in used) or sum(sent) != len(lot):
        raise NotAsExpectedError(f"exit codes {[one.exit_code for one in used]}, {told}; see {around.folder}")
    seconds = max(instant for log in logs for instant in instants(log, "sent")) - started
    servers = {name: spent - before[name] for name, spent in around.cpu_seconds().items()}
    whole = sum(servers.values()) + sum(sum(one.cpu_seconds.values()) for one in used)
    return Scaled(
        workers=workers,
        mails_per_second=len(lot) / seconds,
        cpu_ms_per_mail=1000 * whole / len(lot),
        database_cpu_ms_per_mail=1000 * servers[DATABASE] / len(lot),
        cores_busy=whole / seconds / CORES,
        per_worker=sent,
    )


def _show(measured: Sequence[Scaled]) -> None:
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
    Console().print(f"{CORES} cores")
    Console().print(table)


if __name__ == "__main__":
    main()
