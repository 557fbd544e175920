"""What the live view shows and does, read from the register anew each time; it needs no worker on this machine."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from mailflow import app
from mailflow.cli.invocation import Row
from mailflow.cli.outlook import read_view
from mailflow.cli.queue import entry_row, read_intake, read_set_aside, read_waiting
from mailflow.ops.alarms import is_known
from mailflow.ops.messages import in_short
from mailflow.ops.outlook import Outlook
from mailflow.register import Register, acts, alarms, journal, queues
from mailflow.register.acts import MAILS, OUTGOING, Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.types import IntakeState, OutboxState
from mailflow.settings import Settings

HEALTH_SECONDS_MAX = 1.0


def possible(verb: Verb, row: Row) -> bool:
    """Whether it makes sense to ask for it; what is true when it is done the register sees to."""
    if row.get("outbox") is None:
        return verb in MAILS and MAILS[verb][IntakeState(str(row["state"]))] is None
    return verb in OUTGOING and OUTGOING[verb][OutboxState(str(row["state"]))] is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All that is shown, at one instant."""

    view: Outlook
    waiting: Sequence[Row]
    set_aside: Sequence[Row]
    states: Sequence[Row]
    health: str
    """In one sentence; empty when nobody was asked."""
    alarms: Sequence[str]
    """A sentence for each that lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One mail with its history."""

    intake: int
    facts: Row
    entries: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the view gets what it shows."""

    register: Register
    settings: Settings
    by: str
    """Who acts, for the journal."""
    limit: int
    """Most rows of a list."""

    async def read(self) -> Board:
        """Raises Unavailable."""
        at = app.now()
        async with self.register.read() as tx:
            view = await read_view(tx, self.settings, at)
            waiting = await read_waiting(tx, self.settings, at, self.limit)
            set_aside = await read_set_aside(tx, self.limit)
            counts = await queues.counts(tx)
            raised = [one for one in await alarms.lasting(tx) if one.raised_at and is_known(one.code)]
        states: list[Row] = [
            {"queue": table, "state": state, "mails": number}
            for table, of_table in counts.items()
            for state, number in sorted(of_table.items())
        ]
        health = await asyncio.to_thread(ask_health, self.settings.status.address)
        return Board(
            view=view,
            waiting=waiting,
            set_aside=set_aside,
            states=states,
            health=health,
            alarms=in_short(raised),
        )

    async def story(self, intake: int) -> Story:
        """Raises Unavailable."""
        async with self.register.read() as tx:
            facts, entries = await read_intake(tx, intake)
        return Story(intake=intake, facts=facts, entries=[entry_row(kept) for kept in entries])

    async def act(self, verb: Verb, row: Row, why: str) -> str:
        """Why it was left alone, which is empty when it was done. Raises Unavailable."""
        outgoing = row.get("outbox")
        one = Filter(intakes=[int(str(row["intake"]))], kinds=[MAIL])
        if outgoing is not None:
            one = Filter(outgoing=[int(str(outgoing))])
        async with self.register.begin() as tx:
            weighed = await acts.perform(tx, verb, one, journal.Act(by=self.by, why=why), app.now())
        return "; ".join(left.value for _, left in weighed.left)


def ask_health(address: str) -> str:
    """What the worker says of itself, when it serves its status here."""
    if not address:
        return ""
    try:
        with urllib.request.urlopen(f"http://{address}/health/ready", timeout=HEALTH_SECONDS_MAX):
            return "The worker is ready."
    except urllib.error.HTTPError as error:
        with error:
            return f"The worker is in trouble: {'; '.join(json.load(error)['problems'])}."
    except OSError:
        return "No worker answers here."
