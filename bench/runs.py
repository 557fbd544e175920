"""The measurements: a full mailbox drained by `mailflow run --once`, and lone mails that find `mailflow run` idle."""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import processes
from bench.world import AUDIT_USER, SERVICE_USER, World

ANSWER_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.002
UNIT = Path(__file__).parents[1] / "systemd/mailflow.service"
AS_INSTALLED = {**os.environ, **dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))}
"""What surrounds the service when systemd starts it."""


class NotAsExpectedError(Exception):
    """The worker did not do what it is measured at: then there is nothing to report."""


def drain(world: World, mails: Sequence[bytes], cores: int, *, program: str) -> dict[str, Any]:
    """Fill the mailbox, run one batch of `program` (a module), and see what it took."""
    world.dovecot.fill(SERVICE_USER, mails)
    log, told = world.folder / f"{program}.log", world.folder / f"{program}.json"
    delivered_before, octets_before = world.delivered(), world.dovecot.octets(AUDIT_USER)
    before = world.cpu_seconds()
    started = time.time()
    with log.open("wb") as errors, told.open("wb") as output:
        batch = command(world, "run", "--once", "--json", program=program)
        worker = subprocess.Popen(batch, stdout=output, stderr=errors, env=AS_INSTALLED)
        usage = processes.watch(worker)
    progress = json.loads(told.read_text() or "{}")
    count = len(mails)
    if usage.exit_code or progress.get("sent") != count or progress.get("registered") != count:
        raise NotAsExpectedError(f"exit code {usage.exit_code}, {progress}; see {log}")
    accepted = instants(log, "sent")[-1] - started
    delivered = world.wait_until_delivered(delivered_before + 2 * count) - started
    servers = {name: seconds - before[name] for name, seconds in world.cpu_seconds().items()}
    cpu = {name: 1000 * seconds / count for name, seconds in {**usage.cpu_seconds, **servers}.items()}
    return {
        "mails": count,
        "mail_bytes_mean": round(statistics.mean(map(len, mails))),
        "answer_bytes_mean": round((world.dovecot.octets(AUDIT_USER) - octets_before) / count),
        "seconds_to_last_accepted": accepted,
        "mails_per_second_accepted": count / accepted,
        "mails_per_second_delivered": count / delivered,
        "cpu_ms_per_mail": cpu,
        "cpu_ms_per_mail_all": sum(cpu.values()),
        "cores_busy": sum(cpu.values()) / 1000 * count / delivered / cores,
        "rate_bound_by_all_cpu": 1000 * cores / sum(cpu.values()),
        "peak_pss_bytes": usage.peak_bytes,
        "peak_pss_parts": usage.peak_parts,
    }


def lone(world: World, mails: Sequence[bytes]) -> dict[str, Any]:
    """Deliver mails one by one to an idle service; seconds from handing each in to its answer being accepted."""
    log = world.folder / "lone.log"
    samples = []
    with service(world, log):
        for number, mail in enumerate(mails, 1):
            handed_in = time.time()
            world.dovecot.deliver(SERVICE_USER, mail)
            samples.append(_wait_for_answer(log, number) - handed_in)
            time.sleep(0.3)
    first, *others = samples
    inside = [end - begun for begun, end in zip(instants(log, "taken-in"), instants(log, "sent"), strict=True)]
    return {
        "samples": len(others),
        "median_seconds": statistics.median(others),
        "worst_seconds": max(others),
        "first_seconds": first,
        "median_seconds_since_read": statistics.median(inside[1:]),
    }


def stages(world: World, mails: Sequence[bytes]) -> dict[str, Any]:
    """Drain once more with every step of every task timed: CPU milliseconds per mail, by stage."""
    world.dovecot.fill(SERVICE_USER, mails)
    report = world.folder / "stages.json"
    command = [sys.executable, "-m", "bench.stages", str(world.installation.config), str(report), str(len(mails))]
    with (world.folder / "stages.log").open("wb") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    measured: dict[str, Any] = json.loads(report.read_text())
    return measured


@contextlib.contextmanager
def service(
    world: World, log: Path, *, program: str = "mailflow", limited: Sequence[str] = ()
) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker as a service, within the block; `limited`: what begins it with a share of the machine."""
    with log.open("wb") as errors:
        worker = subprocess.Popen(
            [*limited, *command(world, "run", program=program)], stdout=errors, stderr=errors, env=AS_INSTALLED
        )
        try:
            yield worker
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(STOP_SECONDS_MAX)


def command(world: World, *arguments: str, program: str = "mailflow") -> list[str]:
    """What runs it there."""
    return [sys.executable, "-m", program, "--config", str(world.installation.config), *arguments]


def _wait_for_answer(log: Path, number: int) -> float:
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while len(accepted := instants(log, "sent")) < number:
        if time.monotonic() > deadline:
            raise NotAsExpectedError(f"mail {number} was not answered; see {log}")
        time.sleep(LOOK_SECONDS)
    return accepted[number - 1]


def instants(log: Path, stage: str) -> list[float]:
    """When mails came to this stage, by the worker's own log; `sent`: the server has accepted the answer."""
    lines = log.read_text().splitlines()
    return [datetime.fromisoformat(line.split()[0]).timestamp() for line in lines if f" stage={stage} " in line]
