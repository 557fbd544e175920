"""The intake against a model in plain Python: whatever workers do in whatever order, both agree on every mail."""

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mailflow.register import LeaseLost, Register, intake
from tests.support.databases import VAULT, Databases
from tests.support.records import NOW, ROOMY, arrival, rows, settlement

LEASE = timedelta(minutes=10)
ATTEMPTS_MAX = 3
OWNERS = st.sampled_from(["anna", "anna", "bert"])
PICK = st.tuples(st.integers(min_value=1, max_value=15), st.sampled_from([0, 0, 0, 1, 2]))
"""Which of the first four mails that an owner holds (bits), and perhaps one that it may not hold."""


@dataclass(slots=True, kw_only=True)
class Mail:
    """What the contract says of a mail. Its id is its place in the order of arrival, which is that of reception."""

    due: datetime | None
    state: str = "received"
    solo: bool = False
    attempts: int = 0
    owner: str | None = None
    until: datetime | None = None

    def free(self, **changes: Any) -> None:
        self.owner = self.until = None
        for name, value in changes.items():
            setattr(self, name, value)

    def claimable(self, at: datetime, *, solo: bool) -> bool:
        return self.due is not None and self.due <= at and self.owner is None and self.solo is solo


class IntakeModel(RuleBasedStateMachine):
    databases: Databases

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.register = Register.open(self.databases.fresh(migrated=True), VAULT)
        self.mails: dict[int, Mail] = {}
        self.at = NOW
        self.uids = itertools.count(1)

    def teardown(self) -> None:
        self.loop.run(self.register.close())
        self.loop.close()

    def _do(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(step)

    def _pick(self, owner: str, bits: int, any_id: int) -> set[int]:
        held = [id_ for id_, mail in self.mails.items() if mail.owner == owner]
        return {id_ for place, id_ in enumerate(held[:4]) if bits >> place & 1} | ({any_id} - {0})

    def _ours(self, owner: str, ids: set[int]) -> list[Mail]:
        return [mail for id_, mail in self.mails.items() if id_ in ids and mail.owner == owner]

    def _expire(self) -> None:
        for mail in self.mails.values():
            if mail.until is not None and mail.until <= self.at:
                mail.free(solo=True)

    @rule(minutes=st.sampled_from([1, 2, 5, 11]))
    def time_passes(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)

    @initialize()
    def there_is_work(self) -> None:
        self._take_in(4)
        self._claim_chunk("anna", 3)

    @rule(count=st.integers(min_value=1, max_value=2))
    def some_arrive(self, count: int) -> None:
        self._take_in(count)

    def _take_in(self, count: int) -> None:
        arrivals = [arrival(uid, minutes_ago=10_000 - uid) for uid in itertools.islice(self.uids, count)]

        async def step() -> None:
            async with self.register.begin() as tx:
                await intake.take_in(tx, arrivals, self.at)

        self._do(step())
        for one in arrivals:
            self.mails[len(self.mails) + 1] = Mail(due=one.received_at)

    @rule(owner=OWNERS, limit=st.integers(min_value=1, max_value=4))
    def a_chunk_is_claimed(self, owner: str, limit: int) -> None:
        self._claim_chunk(owner, limit)

    def _claim_chunk(self, owner: str, limit: int) -> None:
        async def step() -> list[int]:
            async with self.register.begin() as tx:
                until = self.at + LEASE
                found = await intake.claim_chunk(tx, owner, limit, self.at, until, size_bytes_max=ROOMY)
                return [mail.id for mail in found]

        claimed = self._do(step())
        self._expire()
        assert claimed == [id_ for id_, mail in self.mails.items() if mail.claimable(self.at, solo=False)][:limit]
        for id_ in claimed:
            self.mails[id_].owner, self.mails[id_].until = owner, self.at + LEASE

    @rule(owner=OWNERS)
    def one_is_claimed_alone(self, owner: str) -> None:
        async def step() -> tuple[int, int] | None:
            async with self.register.begin() as tx:
                found = await intake.claim_solo(tx, owner, self.at, self.at + LEASE, ATTEMPTS_MAX)
                return None if found is None else (found.id, found.attempts)

        claimed = self._do(step())
        self._expire()
        alone = [id_ for id_, mail in self.mails.items() if mail.claimable(self.at, solo=True)]
        for id_ in alone:
            if self.mails[id_].attempts >= ATTEMPTS_MAX:
                self.mails[id_].free(state="set_aside", due=None)
        left = [(mail.due, id_) for id_ in alone if (mail := self.mails[id_]).due is not None]
        _, first = min(left, default=(None, None))
        if first is not None:
            mail = self.mails[first]
            mail.owner, mail.until, mail.attempts = owner, self.at + LEASE, mail.attempts + 1
        assert claimed == (None if first is None else (first, self.mails[first].attempts))

    @rule(owner=OWNERS, pick=PICK)
    def a_chunk_fails(self, owner: str, pick: tuple[int, int]) -> None:
        ids = self._pick(owner, *pick)

        async def step() -> None:
            async with self.register.begin() as tx:
                await intake.make_solo(tx, owner, sorted(ids))

        self._do(step())
        for mail in self._ours(owner, ids):
            mail.free(solo=True)

    @rule(owner=OWNERS, pick=PICK, refund=st.booleans())
    def some_are_given_back(self, owner: str, pick: tuple[int, int], refund: bool) -> None:
        ids = self._pick(owner, *pick)

        async def step() -> None:
            async with self.register.begin() as tx:
                await intake.release(tx, owner, sorted(ids), refund=refund)

        self._do(step())
        for mail in self._ours(owner, ids):
            mail.free(attempts=max(0, mail.attempts - refund))

    @rule(owner=OWNERS, pick=PICK, minutes=st.integers(min_value=1, max_value=6))
    def some_cannot_be_told_yet(self, owner: str, pick: tuple[int, int], minutes: int) -> None:
        ids = self._pick(owner, *pick)
        until = self.at + timedelta(minutes=minutes)

        async def step() -> None:
            async with self.register.begin() as tx:
                await intake.postpone(tx, owner, sorted(ids), until, reason="R", detail="")

        if self._holds(owner, ids, step()):
            for mail in self._ours(owner, ids):
                mail.free(state="undetermined", due=until, attempts=max(0, mail.attempts - 1))

    @rule(owner=OWNERS, pick=PICK)
    def some_are_settled(self, owner: str, pick: tuple[int, int]) -> None:
        ids = self._pick(owner, *pick)

        async def step() -> None:
            async with self.register.begin() as tx:
                await intake.settle(tx, owner, [settlement(id_) for id_ in sorted(ids)], self.at)

        if self._holds(owner, ids, step()):
            for mail in self._ours(owner, ids):
                mail.free(state="answered", due=None)

    def _holds(self, owner: str, ids: set[int], step: Coroutine[Any, Any, None]) -> bool:
        """Whether the step was allowed: only when every one of them is leased to the owner."""
        if len(self._ours(owner, ids)) == len(ids):
            self._do(step)
            return True
        with pytest.raises(LeaseLost):
            self._do(step)
        return False

    @invariant()
    def both_agree(self) -> None:
        found = self._do(rows(self.register, "SELECT id, state, solo, attempts, lease_owner FROM intake ORDER BY id"))
        assert [(r.id, r.state, bool(r.solo), r.attempts, r.lease_owner) for r in found] == [
            (id_, mail.state, mail.solo, mail.attempts, mail.owner) for id_, mail in self.mails.items()
        ]


def test_the_intake_does_what_the_model_does(databases: Databases) -> None:
    machine = type("Machine", (IntakeModel,), {"databases": databases})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate],  # each step is a transaction: making an example smaller would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
