"""Content keys under which the register keeps nothing are destroyed.

A crash can leave a key too many: made for what was then not committed, or not destroyed after what it sealed was
erased. A copy of the key store that is restored brings back those that were destroyed since.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from mailflow.jobs.work import Due, Job, JobTerms
from mailflow.register import Register, Transaction, gates, keys
from mailflow.register.gates import Gate

PAGE = 1_000
"""Content keys that are looked at together."""
AGE_MIN = timedelta(hours=1)
"""Of a key that is looked at: most that are younger are still wanted."""


async def _due(_tx: Transaction, _terms: JobTerms, _at: datetime) -> Due:
    """Nothing is told beforehand: to look goes through all keys."""
    return Due(count=0, examples=())


@contextlib.asynccontextmanager
async def _settled(register: Register) -> AsyncIterator[Transaction]:
    """Meanwhile no key waits for its owner to be committed: its age is told by two clocks, and one may be wrong."""
    async with register.begin() as tx:
        await gates.have_alone(tx, Gate.KEYS)
        yield tx


async def _step(register: Register, _terms: JobTerms, at: datetime) -> int:
    """All of it, a page at a time; so that it ends, what is found later is for the next time."""
    after, destroyed = "", 0
    while True:
        async with _settled(register) as tx:
            page = await keys.page(tx, after, at - AGE_MIN, PAGE)
            if page is None:
                break
            loose = await keys.unneeded(tx, page.owners)
            destroyed += await register.keys.destroy(loose) if loose else 0
        after = page.last
    await register.keys.sweep()
    return destroyed


LOOSE_KEYS = Job(
    name="keys",
    what="Destroys content keys under which nothing is kept, as a crash or a restored copy leaves them.",
    due=_due,
    step=_step,
)
