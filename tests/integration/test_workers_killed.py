"""Two workers on one mailbox, of which one is killed at random moments: nothing is lost or doubled.

A worker killed at each of its named points is a kind of the sweep, `tests.faults`.
"""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from tests.servers.postgres import PostgresServer
from tests.support.available import require
from tests.support.databases import KINDS, server_of
from tests.support.letters import Writer, many, verdict
from tests.support.mail_world import SERVICE_USER, MailWorld

KILLED = -9
KILLS = 2
LETTERS = 24
SEED = 20261125
POINTS_MAX = 60
"""Far enough into the work of one portion to be anywhere in it."""
DRAIN_SECONDS = 300
POST_SECONDS = 0.2
"""Between two mails: IDLE wakes both workers for each of them."""
SHORT_LEASES = {
    "worker": {"processes": 1, "chunk": 10, "lease_seconds": 6, "task_seconds_max": 5, "attempts_max": 20},
    "mailbox": {"poll_seconds": 1},
}
"""The living worker takes over within seconds. A mail may be in the hands of a killed one more often than thrice."""


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """None: SQLite."""
    return server_of(request)


@pytest.mark.long_on("sqlite")
@pytest.mark.slow
def test_two_workers_on_one_mailbox_of_which_one_is_killed_again_and_again(
    server: PostgresServer | None, tmp_path: Path
) -> None:
    require("dovecot")
    require("postfix")
    chance, at = random.Random(SEED), datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    software = desks(pki)
    with MailWorld(tmp_path, pki, software, postgres=server, changes=SHORT_LEASES) as world:
        letters = many(Writer(world.installation, at), software, LETTERS)
        portions = [letters[start :: KILLS + 1] for start in range(KILLS + 1)]
        world.begin_anew()
        world.post([letter.raw for letter in portions.pop()])
        steady = world.start(arguments=("run",))
        try:
            for portion in portions:
                victim = world.start("--kill", f"any:{chance.randint(1, POINTS_MAX)}", arguments=("run",))
                for letter in portion:
                    world.post([letter.raw])
                    time.sleep(POST_SECONDS)
                code, said = victim.wait()
                assert code == KILLED, said
            until = time.monotonic() + DRAIN_SECONDS
            while world.dovecot.messages(SERVICE_USER) and time.monotonic() < until:
                time.sleep(0.2)
            assert steady.stop()[0] == 0
        finally:
            steady.kill()
        world.finish()
        assert not verdict(world, letters, at)
