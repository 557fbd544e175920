"""Registers with the cast enrolled, each a copy of one that was made once."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mailflow.register import Register
from tests.servers.postgres import PostgresServer
from tests.simulation.cast import enrol, the_cast
from tests.support.databases import VAULT


class Copies(Protocol):
    """Makes registers of one kind."""

    def fresh(self) -> str:
        """The URL of a register in which nothing has happened yet."""
        ...

    def drop(self, url: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class SqliteCopies:
    """Files in `folder`."""

    folder: Path
    made: int = 0

    def fresh(self) -> str:
        template = self.folder / "template.db"
        if not template.exists():
            asyncio.run(_make(f"sqlite:///{template}"))
        self.made += 1
        copy = self.folder / f"register-{self.made}.db"
        shutil.copy(template, copy)
        return f"sqlite:///{copy}"

    def drop(self, url: str) -> None:
        for file in self.folder.glob(f"{url.rpartition('/')[2]}*"):
            file.unlink()


@dataclass(slots=True, kw_only=True)
class PostgresCopies:
    """Databases of a server."""

    server: PostgresServer
    template: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def fresh(self) -> str:
        if not self.template:
            self.template = self.server.create_database()
            asyncio.run(_make(self.server.url(self.template)))
        name = self.server.create_database(template=self.template)
        self.names[self.server.url(name)] = name
        return self.server.url(name)

    def drop(self, url: str) -> None:
        self.server.drop_database(self.names.pop(url))


async def _make(url: str) -> None:
    register = Register.open(url, VAULT)
    try:
        await register.migrate()
        await enrol(register, the_cast().senders)
    finally:
        await register.close()
