"""What groups of processes use: CPU time, ended children included, and memory as the sum of PSS."""

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

SAMPLE_SECONDS = 0.5
MEMORY_SAMPLES = 4
"""Every so many of them the memory is summed up, and each time until the pool is there, which in a short run does not
live long: it takes 15 ms of the CPU that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the worker used."""

    seconds: float
    """From its start to its end."""
    exit_code: int
    cpu_seconds: Mapping[str, float]
    """Of `main` and `pool`."""
    peak_bytes: int
    """Sum of PSS of all processes of the worker, at its highest."""
    peak_parts: Mapping[str, int]
    """The same for `main` and `pool`, at that moment."""


def watch(worker: "subprocess.Popen[bytes]") -> Usage:
    """Wait for the worker to end, looking every SAMPLE_SECONDS, and at its memory more rarely."""
    started = time.monotonic()
    main = psutil.Process(worker.pid)
    own, peak = 0.0, {"main": 0, "pool": 0}
    looks = itertools.count()
    while True:
        ended, status, rusage = os.wait4(worker.pid, os.WNOHANG)
        if ended:
            break
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            times = main.cpu_times()
            own = times.user + times.system
            if not peak["pool"] or next(looks) % MEMORY_SAMPLES == 0:
                peak = max(peak, memory(main), key=lambda parts: sum(parts.values()))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    worker.returncode = os.waitstatus_to_exitcode(status)
    # Its children are all awaited, so that its own account includes them.
    return Usage(
        seconds=seconds,
        exit_code=worker.returncode,
        cpu_seconds={"main": own, "pool": rusage.ru_utime + rusage.ru_stime - own},
        peak_bytes=sum(peak.values()),
        peak_parts=peak,
    )


def cpu_seconds(master: int) -> float:
    """Of a server so far: of the processes that live, and of all that they have awaited."""
    process = psutil.Process(master)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            total += sum(one.cpu_times()[:4])
    return total


def memory(main: psutil.Process) -> dict[str, int]:
    """PSS of the worker's main process and of its children, in bytes."""
    pool = 0
    for child in main.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            pool += child.memory_full_info().pss
    return {"main": main.memory_full_info().pss, "pool": pool}
