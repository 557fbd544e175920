"""Each kind of fault on the servers that it is about, and how a share of it is played in a process of its own."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailflow.selftest.points import Portion
from tests.faults.kills import Killings
from tests.faults.report import Row
from tests.faults.stage import Stage
from tests.faults.sweep import KINDS, Player, sweep, worst_of
from tests.servers.postgres import PostgresServer, postgres

AGAIN, AGAIN_KILLED = "again", "again, killed"
CRASH_SAFE = {"synchronous_commit": "on"}
"""What is committed survives a crash of the server, though not of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A kind of fault, and where it is played."""

    kind: str
    database: str = "sqlite"
    mailbox: str = "dovecot"

    def __str__(self) -> str:
        return f"{self.kind} on {self.database} and {self.mailbox}"


PLACES = (
    Place(kind="kill"),
    Place(kind="kill", database="postgresql"),
    Place(kind="imap"),
    Place(kind="imap", mailbox="cyrus"),
    Place(kind="smtp"),
    Place(kind="sqlite"),
    Place(kind="postgresql", database="postgresql"),
    Place(kind="file"),
    Place(kind="clock"),
    Place(kind="memory"),
    Place(kind="mailbox"),
    Place(kind="mailbox", mailbox="cyrus"),
    Place(kind=AGAIN),
    Place(kind=AGAIN, database="postgresql"),
    Place(kind=AGAIN_KILLED),
)


def swept(place: Place, portion: Portion, until: float) -> Row:
    """A share of what is played in a place, in this process; no run begins after `until`, in seconds of the epoch."""
    logging.getLogger().addHandler(logging.NullHandler())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailflow-faults-")))
        server = stack.enter_context(database_of(place))
        said = stack.enter_context((folder / "said").open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        return asyncio.run(_play(place, portion, folder, server, until))


@contextlib.contextmanager
def database_of(place: Place) -> Iterator[PostgresServer | None]:
    """The server of its database; None: there is none."""
    if place.database == "sqlite":
        yield None
        return
    with postgres(settings=CRASH_SAFE) as server:
        yield server


@contextlib.asynccontextmanager
async def player_of(place: Place, folder: Path, server: PostgresServer | None) -> AsyncIterator[Player]:
    """Who plays stories there."""
    if place.kind in {"kill", AGAIN_KILLED}:
        async with Killings(folder, postgres=server) as killings:
            yield killings
    else:
        async with Stage(folder, postgres=server, cyrus=place.mailbox == "cyrus") as stage:
            yield stage


async def _play(place: Place, portion: Portion, folder: Path, server: PostgresServer | None, until: float) -> Row:
    begun = time.monotonic()
    row = Row(kind=place.kind, database=place.database, mailbox=place.mailbox)

    def goes_on() -> bool:
        return time.time() < until

    async with player_of(place, folder, server) as player:
        if place.kind in KINDS:
            row = row.plus(await sweep(player, place.kind, portion=portion, goes_on=goes_on))
        else:
            for first in worst_of(await player.record()):
                row = row.after(await sweep(player, *KINDS, portion=portion, first=(first,), goes_on=goes_on))
    return row.lasting(time.monotonic() - begun)
