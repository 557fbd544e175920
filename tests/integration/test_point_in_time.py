"""A server of PostgreSQL that is lost, or whose register is spoilt, while its log is archived; and what comes of it.

Real servers. What is typed at them and written into their settings is what the handbook says, with the names of here.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailflow.cli.main import call
from mailflow.errors import Unavailable
from mailflow.mail.hindsight import Hindsight
from mailflow.register import Register
from tests.servers.postgres import PostgresServer, postgres
from tests.support.available import require
from tests.support.databases import VAULT, PostgresDatabases
from tests.support.doors import House
from tests.support.handbook import settings_under, typed_under
from tests.support.losing import ARCHIVE_KEY, losing_world, post, told
from tests.support.mail_world import LATER_MINUTES, MailWorld
from tests.support.restored import Loser

HEADING = "PostgreSQL, to a point in time"
DONE = 0
RECOVERY_SECONDS_MAX = 120
KEEPS_ITS_WORD = {"synchronous_commit": "on", "full_page_writes": "on"}
"""What was committed outlives a process that is killed."""
WHY = ("--why", "the register was spoilt", "--apply")
NOW = 'psql -Atc "SELECT clock_timestamp()"'
LINES = typed_under(HEADING)
FIRST_OF_RESTORE = LINES.index("systemctl stop postgresql")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that archives its log as the handbook says."""
    require("postgresql")
    with postgres(settings=KEEPS_ITS_WORD) as made:
        made.type(f"mkdir {made.folder}/wal {made.folder}/base")
        made.stop()
        made.set(here(made, settings_under(HEADING)))
        made.start()
        yield made


@pytest.fixture
def url(server: PostgresServer) -> str:
    """Of a migrated, empty register there."""
    return PostgresDatabases(server=server).fresh(migrated=True)


def here(server: PostgresServer, text: str, *, ends: str = "fast") -> str:
    """With the names of this server, which `ends` so when it is stopped."""
    names = {
        "systemctl stop postgresql": f"pg_ctl -D {server.data} -m {ends} -w stop",
        "systemctl start postgresql": f"pg_ctl -D {server.data} -l {server.folder}/log -w start",
        "/usr/lib/postgresql/15/bin": f"{server.bin}",
        "/var/lib/postgresql/15/main": f"{server.data}",
        "/var/lib/postgresql/15": f"{server.folder}",
        "/srv/": f"{server.folder}/",
    }
    for theirs, ours in names.items():
        text = text.replace(theirs, ours)
    return text


def take_base_backup(server: PostgresServer) -> None:
    for line in LINES[:FIRST_OF_RESTORE]:
        server.type(here(server, line))


def crash_and_restore(server: PostgresServer) -> None:
    """To the end. What was not archived yet is on the disk of the server that has crashed."""
    for line in LINES[FIRST_OF_RESTORE:]:
        if "recovery_target_time" not in line:
            _type(server, here(server, line, ends="immediate"))


def restore_without_disk(server: PostgresServer, to: str) -> None:
    """From base backup and archive alone. `to` is the line with the time."""
    for line in LINES[FIRST_OF_RESTORE:]:
        if "/lost/" not in line:
            _type(server, to if "recovery_target_time =" in line else here(server, line))
        if line.startswith("mv"):
            server.type(f"rm -r {server.folder}/lost")


def _type(server: PostgresServer, line: str) -> None:
    until = time.monotonic() + RECOVERY_SECONDS_MAX
    while server.type(line) == "t\n":  # it is recovering still
        assert time.monotonic() < until, "it is not promoted"
        time.sleep(0.05)


def a_time(server: PostgresServer, at: str) -> str:
    """The line of the handbook with another time."""
    (line,) = [one for one in LINES if "recovery_target_time =" in one]
    assert "2026-11-25 10:29:00+01" in line
    return here(server, line.replace("2026-11-25 10:29:00+01", at))


def run(world: MailWorld, *arguments: str) -> int:
    return call(["--config", str(world.installation.config), *arguments])


def a_day(world: MailWorld, server: PostgresServer) -> str:
    """A base backup while a mail is decided, and one after it; the instant after which two more were answered."""
    post(world, "Durand")
    worker = world.start("--later", str(LATER_MINUTES), "--until-nothing")
    take_base_backup(server)
    assert worker.wait()[0] == DONE
    post(world, "Petit")
    world.finish()
    instant = server.type(NOW).strip()
    server.type('psql -c "SELECT pg_switch_wal()"')
    post(world, "Moreau", "Roux")
    world.finish()
    return instant


def sequences(world: MailWorld, server: PostgresServer) -> list[str]:
    """Of the numbers that the register knows."""
    numbers = server.type(f'psql -Atc "SELECT number FROM request ORDER BY number" {world.database}').split()
    return [number[7:13] for number in numbers]


FOUR = ["000001", "000002", "000003", "000004"]


@pytest.mark.slow
@pytest.mark.long_on("on the same server")
@pytest.mark.parametrize("keys", ["on the same server", "on another server"])
def test_a_register_as_it_was_before_stops_the_numbers_and_gives_each_request_its_own_again(
    server: PostgresServer, postgres_server: PostgresDatabases, tmp_path: Path, keys: str
) -> None:
    """The key store goes back with it, or stays as it is."""
    keeper = server if keys == "on the same server" else postgres_server.server
    with losing_world(tmp_path, server, {"keys_url": keeper.url(keeper.create_database())}) as world:
        instant = a_day(world, server)
        before = told(world)
        assert sorted(number[7:13] for _, _, number in before) == FOUR
        restore_without_disk(server, a_time(server, instant))
        assert sequences(world, server) == FOUR[:2], "what was decided before, no more and no less"

        post(world, "Simon")
        _, said = world.run()
        assert "register-behind" in said
        assert (told(world), sequences(world, server)) == (before, FOUR[:2]), "nobody is given a number"
        assert run(world, "restore", "--archive-key", str(tmp_path / ARCHIVE_KEY), *WHY) == DONE
        assert run(world, "resume", *WHY) == DONE
        world.finish()
        after = told(world)[len(before) :]
        assert set(before[2:]) <= set(after), "the same requests have the same numbers"
        (new,) = set(after) - set(before)
        assert new[2][7:13] == "000005"
        assert run(world, "restore", "--why", "what came of it") == DONE
        assert run(world, "reconcile") == DONE


@pytest.mark.long
def test_at_the_end_of_the_log_nothing_is_lost_and_nothing_stops(server: PostgresServer, tmp_path: Path) -> None:
    with losing_world(tmp_path, server, {"keys_url": server.url(server.create_database())}) as world:
        a_day(world, server)
        before = told(world)
        crash_and_restore(server)
        assert sequences(world, server) == FOUR
        post(world, "Simon")
        said = world.finish()
        assert "register-behind" not in said
        *same, new = told(world)
        assert (same, new[2][7:13]) == (before, "000005")
        assert run(world, "reconcile") == DONE


async def test_a_worker_that_lives_on_looks_back_when_its_server_is_one_that_was_restored(
    server: PostgresServer, url: str
) -> None:
    loser = Loser(PostgresDatabases(server=server), url, House(Register.open(url, VAULT)))
    await loser.house.enrol()
    trails = loser.trails
    door = replace(loser.house.door(), hindsight=Hindsight(lambda: trails))
    take_base_backup(server)
    await loser.work(door)
    crash_and_restore(server)
    with pytest.raises(Unavailable):
        await loser.work(door)  # by its former connections
    assert [trail.asked for trail in trails] == [1, 1]
    await loser.work(door)
    await loser.work(door)
    assert [trail.asked for trail in trails] == [2, 2]
    await loser.house.register.close()


@pytest.mark.long
def test_who_regrets_the_time_begins_again_from_the_same_base_backup(server: PostgresServer) -> None:
    def kept() -> str:
        return server.type("psql -Atc \"SELECT string_agg(what, ' ' ORDER BY what) FROM kept\"").strip()

    server.type('psql -c "CREATE TABLE kept (what text)"')
    take_base_backup(server)
    times = []
    for what in ("a", "b", "c"):
        server.type(f"psql -c \"INSERT INTO kept VALUES ('{what}')\"")
        times.append(server.type(NOW).strip())
    restore_without_disk(server, a_time(server, times[0]))
    assert kept() == "a"
    server.type("psql -c \"INSERT INTO kept VALUES ('never')\"")
    current = f"echo \"recovery_target_timeline = 'current'\" >> {server.data}/postgresql.auto.conf"
    restore_without_disk(server, f"{a_time(server, times[1])} && {current}")
    assert kept() == "a b"
    restore_without_disk(server, current)
    assert kept() == "a b c"
