"""A database that has no room for a while: mails stay where they are, none is blamed, and all goes on by itself."""

import contextlib
import io
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from mailflow.mail import worker
from mailflow.register import Register
from tests.support.batches import drain, hurry, letter
from tests.support.databases import PostgresDatabases, SqliteFiles
from tests.support.disks import small_disk
from tests.support.doors import House
from tests.support.records import another, rows

TURNS = 3
"""Batches that find no room; each tries several times."""
MAILS = 3
DISK_BYTES = 32 * 1024 * 1024
PAGES_MAX = 2**32 - 2
DISK_FULL = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

Sick = Callable[[Register], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """A register that is closed, and how its database comes to have no room once it is open."""

    url: str
    sick: Sick


def full_disk(request: pytest.FixtureRequest, folder: Path) -> Place:
    """A disk of its own, on which no octet is free."""
    disk = small_disk(request, folder, DISK_BYTES)
    url = SqliteFiles(folder=disk).fresh(migrated=True)

    @contextlib.contextmanager
    def sick(_: Register) -> Iterator[None]:
        for file in disk.glob("*.db"):
            with contextlib.closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the log has room of its own
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space left"):
            fill(filling)
        yield
        filler.unlink()

    return Place(url, sick)


def full_file(_: pytest.FixtureRequest, folder: Path) -> Place:
    """No file of the register grows by a page, and SQLite itself says that the disk is full."""

    @contextlib.contextmanager
    def sick(register: Register) -> Iterator[None]:
        full = True

        def bound(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full else PAGES_MAX
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        listen(register, "begin", bound)
        yield
        full = False

    return Place(SqliteFiles(folder=folder).fresh(migrated=True), sick)


def full_server(request: pytest.FixtureRequest, _: Path) -> Place:
    """Whatever writes finds the server's disk full (SQLSTATE 53100)."""

    @contextlib.contextmanager
    def sick(register: Register) -> Iterator[None]:
        full = True

        def refuse(cursor: Any, statement: str, *_: object) -> None:
            if full and statement.startswith(("INSERT", "UPDATE", "DELETE")):
                cursor.execute(DISK_FULL)

        listen(register, "do_execute", refuse)
        listen(register, "do_executemany", refuse)
        yield
        full = False

    return Place(server_of(request).fresh(migrated=True), sick)


def too_many_clients(request: pytest.FixtureRequest, _: Path) -> Place:
    """The server lets nobody in any more (SQLSTATE 53300), as when all its connections are in use."""
    url = server_of(request).fresh(migrated=True)
    role = f"limited_{url.partition('?')[0].rpartition('/')[2]}"
    do(url, f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data, pg_write_all_data TO {role}")

    @contextlib.contextmanager
    def sick(_: Register) -> Iterator[None]:
        do(url, f"ALTER ROLE {role} CONNECTION LIMIT 0; {END_ALL}")
        yield
        do(url, f"ALTER ROLE {role} CONNECTION LIMIT -1")

    return Place(url.replace("//postgres@", f"//{role}@"), sick)


def refused(request: pytest.FixtureRequest, _: Path) -> Place:
    """Nobody listens where the server was."""
    url = server_of(request).fresh(migrated=True)
    folder = tempfile.TemporaryDirectory(prefix="mailflow-")  # the path of a socket has 107 octets at most
    request.addfinalizer(folder.cleanup)
    there, here = url.partition("host=")[2], Path(folder.name) / "socket"
    here.symlink_to(there)

    @contextlib.contextmanager
    def sick(_: Register) -> Iterator[None]:
        here.unlink()
        do(url, END_ALL)
        yield
        here.symlink_to(there)

    return Place(url.replace(there, f"{here}"), sick)


def fill(file: io.FileIO) -> None:
    while True:
        file.write(bytes(4096))


def server_of(request: pytest.FixtureRequest) -> PostgresDatabases:
    server = request.getfixturevalue("postgres_server")
    assert isinstance(server, PostgresDatabases)
    return server


def listen(register: Register, what: str, hook: Callable[..., None]) -> None:
    for database in (register, register.keys):
        sa.event.listen(database._engine.sync_engine, what, hook)


def do(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


@pytest.fixture(params=[full_disk, full_file, full_server, too_many_clients, refused])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made = request.param(request, tmp_path)
    assert isinstance(made, Place)
    return made


async def test_what_finds_no_room_stays_where_it_is_and_goes_on_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    async with another(place.url) as register:
        house = House(register)
        await house.enrol()
        door = house.door()
        for number in range(MAILS):
            house.mailbox.deliver(letter(number))
        await worker.receive(door)
        for number in range(MAILS, 2 * MAILS):
            house.mailbox.deliver(letter(number))
        with place.sick(register):
            for _ in range(TURNS):
                stuck = await drain(door)
                assert {"receive", "process"} <= {*stuck.unavailable}, "told, and tried again"
                assert not stuck.progress
            assert len(house.mailbox.inbox) == MAILS, "the intake stands"
        mails = await rows(register, "SELECT state, attempts, solo FROM intake")
        assert [(row.state, row.attempts, bool(row.solo)) for row in mails] == [("received", 0, False)] * MAILS
        house.now += timedelta(hours=1)  # a lease that could not be given back has run out
        assert not (await drain(door)).unavailable
        assert not house.mailbox.inbox
        assert len(house.mailer.accepted) == len({mail.envelope_id for mail in house.mailer.accepted}) == 2 * MAILS
