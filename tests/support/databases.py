"""Registers for tests: the same tests run on SQLite and on PostgreSQL, each on a database of its own."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol, Self

import pytest

from mailflow.register import Register
from mailflow.register.key_store import beside
from mailflow.register.vault import Vault
from tests.servers.postgres import PostgresServer, find_binaries, postgres

KINDS = ("sqlite", "postgresql")
VAULT = Vault({"test": b"m" * 32}, first="test", lookup_key=b"l" * 32)


def copy_register(file: Path, copy: Path) -> str:
    """A register in a file, which nobody has open, with its key store; the URL of the copy."""
    for one, other in ((file, copy), (_keys(file), _keys(copy))):
        shutil.copy(one, other)
    return f"sqlite:///{copy}"


def drop_register(file: Path) -> None:
    """Delete a register in a file, and its key store."""
    for one in (file, _keys(file)):
        for part in file.parent.glob(f"{one.name}*"):
            part.unlink()


def _keys(file: Path) -> Path:
    return Path(beside(f"sqlite:///{file}").removeprefix("sqlite:///"))


@cache
def _template() -> Path:
    """A migrated, empty register in a file: made once, for as long as the process lives."""
    folder = tempfile.mkdtemp(prefix="mailflow-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / "register.db"
    asyncio.run(_migrate(f"sqlite:///{file}"))
    return file


class Databases(Protocol):
    """Makes databases of one kind."""

    def fresh(self, *, migrated: bool) -> str:
        """The URL of a new database."""
        ...

    def copy(self, url: str) -> str:
        """The URL of a copy of a register that nobody is connected to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFiles:
    folder: Path

    def fresh(self, *, migrated: bool) -> str:
        return self.copy(f"sqlite:///{_template()}") if migrated else f"sqlite:///{self._next()}"

    def copy(self, url: str) -> str:
        return copy_register(Path(url.removeprefix("sqlite:///")), self._next())

    def _next(self) -> Path:
        return self.folder / f"register-{len(list(self.folder.iterdir()))}.db"


@dataclass(slots=True, kw_only=True)
class PostgresDatabases:
    server: PostgresServer
    template: str | None = None
    made: list[str] = field(default_factory=list)
    """Names of those that have not been dropped."""

    def fresh(self, *, migrated: bool) -> str:
        if migrated and self.template is None:
            self.template = self.server.create_database()
            asyncio.run(_migrate(self.server.url(self.template)))
        return self._copy(self.template if migrated and self.template else "template0")

    def copy(self, url: str) -> str:
        return self._copy(url.partition("?")[0].rpartition("/")[2])

    def _copy(self, database: str) -> str:
        self.made.append(self.server.create_database(template=database))
        return self.server.url(self.made[-1])

    @contextmanager
    def dropped(self) -> Iterator[Self]:
        """Databases that are made meanwhile are dropped at the end: thousands of them would fill the disk."""
        before = len(self.made)
        try:
            yield self
        finally:
            for name in self.made[before:]:
                self.server.drop_database(name)
            del self.made[before:]


@contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    with postgres() as server:
        yield PostgresDatabases(server=server)


def postgres_is_installed() -> bool:
    return find_binaries() is not None


async def _migrate(url: str) -> None:
    register = Register.open(url, VAULT)
    try:
        await register.migrate()
    finally:
        await register.close()


def server_of(request: pytest.FixtureRequest) -> PostgresServer | None:
    """For a fixture whose parameters are `KINDS`: the server of the session; None: SQLite."""
    if request.param == "sqlite":
        return None
    made = request.getfixturevalue("postgres_server")
    assert isinstance(made, PostgresDatabases)
    return made.server
