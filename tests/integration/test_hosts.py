"""Several workers and hosts, in short: what `make kills` and `make hosts` do at length (`tests/hosts`)."""

import subprocess
import sys

import pytest

from tests.hosts.network import possible
from tests.support.available import require

KILLS = ["tests.hosts.kills", "--kills", "12", "--kill-pause", "0.5"]
PARTITION = ["tests.hosts.partitions", "within_the_commit"]
FAILOVER = ["tests.hosts.failovers", "the_primary_is_killed"]


@pytest.mark.long_on("kills")
@pytest.mark.long_on("fail-over")
@pytest.mark.slow
@pytest.mark.parametrize("command", [KILLS, PARTITION, FAILOVER], ids=["kills", "partition", "fail-over"])
def test_nothing_is_lost_doubled_or_answered_twice(command: list[str]) -> None:
    for what in ("dovecot", "postfix", "postgresql"):
        require(what)
    if command is not KILLS and (lacking := possible()):
        pytest.skip(f"hosts want {', '.join(lacking)}")
    done = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
