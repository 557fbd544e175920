"""The jobs, killed between any two of their commits, and run again a day later: nothing lost, nothing doubled."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from mailflow.core.model import Right
from mailflow.jobs import dispatch, lifetimes, retention, work
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.daily import JOBS
from mailflow.jobs.orders import Notice
from mailflow.register import Register, Transaction, intake
from mailflow.wire.dispatch import read_told
from tests.support.databases import VAULT, Databases
from tests.support.jobs import TERMS, file_of, night, ordered
from tests.support.reception import Reception, a_file, a_request
from tests.support.records import claim, key_rows, rows, settlement

DAYS = (date(2026, 4, 20), date(2026, 12, 1), date(2027, 1, 14), date(2028, 1, 14))
"""Retention and dispatch; notices; the end, which is dispatched; the purge."""
ONE_DAY = timedelta(days=1)
NIGHTS = [night(day + delay) for day in DAYS for delay in (timedelta(), ONE_DAY)]
"""A job that is killed is run again in the next one."""
FULL = frozenset({Right.CREATION, Right.CONSULT})


class Killed(BaseException):
    """The process is no more."""


@dataclass(slots=True)
class Mortal:
    """A register whose process dies just before the `fatal`th commit: all that was committed until then stays."""

    register: Register
    fatal: int | None
    commits: int = 0

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self.register.begin() as tx:
            yield tx
            self.commits += 1
            if self.commits == self.fatal:
                raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.register, name)


async def a_world(register: Register) -> None:
    """Two desks that may consult, one that may not; mails of several requests, answered."""
    reception = Reception(register)
    await reception.enrol("mairie", "59123", ["059"], rights=FULL)
    await reception.enrol("agglo", "59777", ["059"], rights=FULL)
    await reception.enrol("agglo", "59888", ["059"])
    mails = [("mairie", "59123", "ABC"), ("agglo", "59777", "DE"), ("agglo", "59888", "F")]
    for sender, desk, surnames in mails:
        forms = [a_request(surname, desk=desk) for surname in surnames]
        await reception.outcomes(a_file(*forms, desk=desk), sender=sender)
    taken = await claim(register, at=reception.at)
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mail.id) for mail in taken], reception.at)


async def all_jobs(mortal: Mortal, at: datetime) -> None:
    for job in JOBS:
        if job is not AUDIT:  # it changes nothing of this; its sealing is killed in `test_journal_sealed`
            await work.run(mortal, job, TERMS, at)  # type: ignore[arg-type]  # it does as a register does


async def remains(register: Register) -> dict[str, Any]:
    """All that the jobs left behind, but for the instants."""
    orders = [order for _, order in await ordered(register)]
    notices = [order for order in orders if isinstance(order, Notice)]
    told = {(o.sender, o.desk, o.number): read_told(file_of(o)) for o in orders if not isinstance(o, Notice)}
    columns = "state, motive, expires_on, ended_on, noticed_for, revision, payload IS NULL AS gone"
    return {
        "requests": [row._mapping for row in await rows(register, f"SELECT {columns} FROM request ORDER BY number")],
        "notices": Counter((order.desk, *one) for order in notices for one in order.requests),
        "mails of notices": Counter(order.desk for order in notices),
        "dispatches": {key: [(one.number, one.state) for one in about] for key, about in told.items()},
        "journal": Counter(row.kind for row in await rows(register, "SELECT kind FROM journal")),
        "mails kept": len(await rows(register, "SELECT id FROM intake WHERE raw IS NOT NULL")),
        "keys": len(await key_rows(register)),
    }


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job needs several transactions."""
    monkeypatch.setattr(dispatch, "REQUESTS_MAX", 2)
    for module in (lifetimes, retention):
        monkeypatch.setattr(module, "BATCH", 2)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Register]:
    register = Register.open(url, VAULT)
    try:
        yield register
    finally:
        await register.close()


async def live(url: str, nights: Sequence[datetime], fatal: int | None = None) -> int:
    """Every job in each of these nights; how many commits there were."""
    async with opened(url) as register:
        mortal = Mortal(register, fatal)
        for at in nights:
            with contextlib.suppress(Killed):
                await all_jobs(mortal, at)
        return mortal.commits


async def begun(url: str) -> str:
    async with opened(url) as register:
        await a_world(register)
    return url


async def left(url: str) -> dict[str, Any]:
    async with opened(url) as register:
        return await remains(register)


@pytest.mark.long_on("postgresql")
@pytest.mark.slow
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_jobs_killed_at_any_commit_are_made_up_for(databases: Databases, small_steps: None, every: int) -> None:
    url = asyncio.run(begun(databases.fresh(migrated=True)))
    evenings, commits = [], []
    for at in NIGHTS:
        evenings.append(databases.copy(url))
        commits.append(asyncio.run(live(url, [at])))
    unharmed = asyncio.run(left(url))
    assert unharmed["requests"]
    assert all(row["state"] == "deregistered" and row["gone"] for row in unharmed["requests"])
    assert set(unharmed["notices"].values()) == {1}
    assert len(unharmed["notices"]) == len(unharmed["requests"])
    for number, evening in enumerate(evenings):
        for fatal in range(1, commits[number] + 1, every):
            harmed = databases.copy(evening)
            asyncio.run(live(harmed, NIGHTS[number:], fatal))
            assert (number, fatal, asyncio.run(left(harmed))) == (number, fatal, unharmed)
