"""Registers with the cast enrolled and some requests registered, each a copy of one that was made once."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from mailflow import registrar
from mailflow.core.model import Door, Environment, Registered, Submission, Submitter
from mailflow.demo.applications import file_name
from mailflow.register import Register, directory, intake
from mailflow.register.arrivals import Arrival
from mailflow.registrar import Terms
from mailflow.wire.reader import read_file
from tests.servers.postgres import PostgresServer
from tests.simulation.cast import KNOWN, KNOWN_DEPOSIT, enrol, the_cast
from tests.simulation.chance import chance_of
from tests.simulation.letters import Wish, creations
from tests.simulation.service import LIMITS
from tests.support.databases import VAULT, copy_register, drop_register
from tests.support.pki import AT


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
        return copy_register(template, self.folder / f"register-{self.made}.db")

    def drop(self, url: str) -> None:
        drop_register(self.folder / url.rpartition("/")[2])


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
    cast, register = the_cast(), Register.open(url, VAULT)
    try:
        with chance_of("register"):
            await register.migrate()
            await enrol(register, cast.senders)
            await _register_known(register)
    finally:
        await register.close()


async def _register_known(register: Register) -> None:
    """Register the couples' requests that letters may be about, by a mail of long ago."""
    alpha = the_cast().senders[0]
    desk, territory = alpha.desks[0]
    made_at = AT - timedelta(days=1)
    couples = [
        Wish(persons=known.persons, territory=territory, deposited_on=KNOWN_DEPOSIT, complete=True) for known in KNOWN
    ]
    name = file_name(desk, made_at, 900_000)
    file = read_file(name, creations(desk, couples, made_at), limits=LIMITS.file, received_at=AT)
    arrival = Arrival(
        account="before", mailbox="INBOX", uidvalidity=1, uid=1, raw=b"gone", size_bytes=4, received_at=AT
    )
    async with register.begin() as tx:
        terms = Terms(directory=await directory.read(tx), environment=Environment.PRODUCTION)
        await intake.take_in(tx, [arrival], AT)
        (claimed,) = await intake.claim_chunk(tx, "before", 1, AT, AT + timedelta(hours=1), size_bytes_max=1 << 20)
        submission = Submission(
            submitter=Submitter(
                sender=alpha.code,
                certificate=alpha.identity.fingerprint,
                trust_generation=terms.directory.generation,
            ),
            door=Door.MAIL,
            intake=claimed.id,
            received_at=AT,
            files=(file,),
        )
        (receipt,) = await registrar.submit(tx, [submission], terms, AT)
        told = [outcome.number for outcome in receipt.files[0].outcomes if isinstance(outcome, Registered)]
        assert told == [known.number for known in KNOWN]
        done = intake.Settlement(id=claimed.id, state="answered", reason="", detail="", sender=alpha.code)
        await intake.settle(tx, "before", [done], AT)
