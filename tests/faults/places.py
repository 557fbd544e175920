"""Each kind of fault on the servers that it is about, and how a share of it is played in a process of its own."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mailflow.selftest.points import Fault, Portion
from tests.faults.progress import Progress
from tests.faults.report import Row
from tests.faults.stage import Stage
from tests.faults.sweep import KINDS, WORST, sweep, worst_of
from tests.servers.postgres import PostgresServer, postgres

AGAIN = "again"
"""As a kind: any fault, in the run that mends the first one."""
DOVECOT, CYRUS, WITHOUT_MOVE = "dovecot", "cyrus", "dovecot without MOVE"
"""Servers of the mailbox; without MOVE mails are moved by COPY, STORE and EXPUNGE."""
CRASH_SAFE = {"synchronous_commit": "on"}
"""What is committed survives a crash of the server, though not of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A kind of fault, and where it is played."""

    kind: str
    database: str = "sqlite"
    mailbox: str = DOVECOT
    first: Fault | None = None
    """What broke the run before, one of the worst; of `AGAIN`, and of what is done only after a fault."""

    @property
    def row(self) -> Row:
        """Its row in the report, before anything was played."""
        first = str(self.first or "")
        return Row(kind=self.kind, database=self.database, mailbox=self.mailbox, first=first)


(UNANSWERED,) = (fault for fault in WORST if fault.point.kind == "smtp")
"""Whether it was sent, only the audit mailbox knows."""

PLACES = (
    Place(kind="kill"),
    Place(kind="kill", database="postgresql"),
    Place(kind="kill", mailbox=WITHOUT_MOVE),
    Place(kind="imap"),
    Place(kind="imap", mailbox=CYRUS),
    Place(kind="imap", mailbox=WITHOUT_MOVE),
    Place(kind="smtp"),
    Place(kind="sqlite"),
    Place(kind="postgresql", database="postgresql"),
    Place(kind="file"),
    Place(kind="clock"),
    Place(kind="memory"),
    Place(kind="mailbox"),
    Place(kind="mailbox", mailbox=CYRUS),
    Place(kind="mailbox", mailbox=WITHOUT_MOVE),
    Place(kind="audit", first=UNANSWERED),
    *(
        Place(kind=AGAIN, first=fault, database=database)
        for database, elsewhere in (("sqlite", {"postgresql"}), ("postgresql", {"sqlite", "kill"}))
        for fault in WORST
        if fault.point.kind not in elsewhere
    ),
)


def swept(place: Place, portion: Portion, until: float, one_way: bool, progress: Progress) -> Row:
    """A share of what is played in a place, in this process; no run begins after `until`, in seconds of the epoch."""
    logging.getLogger().addHandler(logging.NullHandler())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailflow-faults-")))
        server = stack.enter_context(database_of(place))
        said = stack.enter_context((folder / "said").open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        return asyncio.run(_play(place, portion, folder, server, until, one_way, progress))


@contextlib.contextmanager
def database_of(place: Place) -> Iterator[PostgresServer | None]:
    """The server of its database; None: there is none."""
    if place.database == "sqlite":
        yield None
        return
    with postgres(settings=CRASH_SAFE) as server:
        yield server


async def _play(
    place: Place,
    portion: Portion,
    folder: Path,
    server: PostgresServer | None,
    until: float,
    one_way: bool,
    progress: Progress,
) -> Row:
    def goes_on() -> bool:
        return time.time() < until

    without = ("MOVE",) if place.mailbox == WITHOUT_MOVE else ()
    async with Stage(folder, postgres=server, cyrus=place.mailbox == CYRUS, without=without) as stage:
        kinds: tuple[str, ...] = (place.kind,)
        first: tuple[Fault, ...] = ()
        if place.first is not None:
            kinds = tuple(KINDS) if place.kind == AGAIN else kinds
            first = tuple(fault for fault in worst_of(await stage.record(kinds=KINDS)) if fault == place.first)
        came = await sweep(
            stage, *kinds, portion=portion, first=first, one_way=one_way, progress=progress, goes_on=goes_on
        )
    return place.row.plus(came)
