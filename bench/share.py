"""Shares of a core for processes, by control groups (cgroups(7)): several workers on small hosts, on one machine.

Needs root. Of version 1 the `cpu` controller, as it is mounted usually; of version 2 the root of the hierarchy.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD_MICROSECONDS = 100_000
"""In each, a group may use its share of it (kernel, sched-bwc)."""
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
EMPTY_SECONDS_MAX = 30.0


@contextlib.contextmanager
def share(cores: float) -> Iterator[list[str]]:
    """What to put before a command so that it and all that it starts have so many cores together, or less than one."""
    quota = round(cores * PERIOD_MICROSECONDS)
    group = Path(tempfile.mkdtemp(prefix="mailflow-", dir=V1 if V1.is_dir() else V2))
    try:
        if V1.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_MICROSECONDS}")
        yield ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs")]
    finally:
        # What it started may live a moment longer than it, and with its small share not a short one.
        until = time.monotonic() + EMPTY_SECONDS_MAX
        while (group / "cgroup.procs").read_text() and time.monotonic() < until:
            time.sleep(0.1)
        group.rmdir()


def to_be_had() -> bool:
    """Whether this machine can share out its cores so."""
    try:
        with share(1.0):
            return True
    except OSError:
        return False
