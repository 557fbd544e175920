"""A long queue costs what is worked on, not what waits: claims look at an index, never at the mails themselves."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.register import Register, blame, clocks, doubt, lateness, outbox, piecemeal, queues, rates
from mailflow.register.presence import take_over
from mailflow.register.tables import metadata
from tests.support.records import LATER, NOW, ROOMY, a_draft, claim, claim_solo, frozen, take_in


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_sealed_values_stand_behind_all_others(table: sa.Table) -> None:
    """SQLite reads a value of any size through to reach the columns behind it."""
    large = [isinstance(column.type, sa.LargeBinary) for column in table.columns]
    if table.name not in ("certificate", "exhibit", "file"):  # small, or read as a whole
        assert large == sorted(large)


@contextmanager
def listening(wanted: Callable[[str], bool]) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile, with their parameters."""
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if wanted(statement):
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        yield asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)


async def plans(register: Register, asked: Sequence[tuple[str, Any]]) -> list[str] | None:
    """How SQLite finds the rows. None of PostgreSQL, which keeps large values apart, and plans by what it counted."""
    found: list[str] = []
    async with register.read() as tx:
        if tx.connection.dialect.name == "postgresql":
            return None
        for statement, parameters in asked:
            plan = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters))
            found += [str(row.detail) for row in plan.all()]
    return found


async def test_a_claim_passes_over_what_waits_without_reading_it(register: Register) -> None:
    await take_in(register, 3)
    with listening(lambda statement: statement.startswith("SELECT intake.") and "next_at <=" in statement) as asked:
        assert len(await claim(register, limit=1, urgent_before=NOW - timedelta(days=1))) == 1
        assert await claim_solo(register) is None
    if (found := await plans(register, asked)) is not None:
        *looks, alone = found
        assert len(looks) == 6
        assert all("USING COVERING INDEX ix_intake_" in plan for plan in looks), found
        assert alone == "USE TEMP B-TREE FOR ORDER BY", "of those that run alone, the one that has been due for longest"


async def test_whether_there_is_room_is_found_without_looking_at_any_mail(register: Register) -> None:
    await take_in(register, 3)
    with listening(lambda statement: "turn_at" in statement) as asked:
        async with register.read() as tx:
            assert (await queues.count_waiting(tx, 9), await queues.bytes_put_off(tx)) == (3, 0)
            assert await rates.endangered(tx, NOW) == {}
    if (found := await plans(register, asked)) is not None:
        looks = [plan for plan in found if "intake" in plan]
        assert len(looks) == 3
        assert "COVERING INDEX ix_intake_turn (turn_at=?" in looks[0], "what waits for a turn is passed over"
        assert all("COVERING INDEX ix_intake_turn (turn_at>?" in plan for plan in looks[1:]), "and so is what does not"


async def test_what_has_not_left_is_counted_without_looking_at_any_mail(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: "outbox.kind =" in statement) as asked:
        async with register.begin() as tx:
            kind = a_draft(None).kind
            assert (await queues.count_unsent(tx, kind, 9), await queues.count_unsent(tx, kind, 2)) == (3, 2)
            (held,) = await outbox.claim_composed(tx, "me", 1, NOW, LATER, size_bytes_max=ROOMY)
            await outbox.hold(tx, "me", [held.id], "refused", NOW)
            assert await queues.count_unsent(tx, kind, 9) == 2
    if (found := await plans(register, [one for one in asked if "count(*) AS mails" in one[0]])) is not None:
        assert len([plan for plan in found if "COVERING INDEX ix_outbox_on_its_way (kind=?)" in plan]) == 3, found
        ahead = [plan for plan in found if re.match("(SCAN|SEARCH) part_held", plan)]
        assert len(ahead) == 3
        assert all(plan.endswith("(kind=? AND key=? AND part<?)") for plan in ahead), "what is before a further part"


async def test_of_the_outgoing_mails_too_what_is_deferred_or_leased_is_passed_over(register: Register) -> None:
    await frozen(register, 3)
    urgent = NOW - timedelta(days=1)
    with listening(lambda statement: statement.startswith("SELECT outbox.id, length(")) as claims:
        async with register.begin() as tx:
            claimed = await outbox.claim_composed(tx, "me", 1, NOW, LATER, size_bytes_max=ROOMY, urgent_before=urgent)
            assert len(claimed) == 1
            assert await outbox.claim_queued(tx, "me", 1, NOW, LATER, urgent_before=urgent) == []
    # The size is only asked of what is claimed.
    due = [(re.sub(r", length\(.*\) AS size_bytes", "", statement), parameters) for statement, parameters in claims]
    if (found := await plans(register, due)) is not None:
        first, urgent_ones, others = (
            "ix_outbox_round (state=? AND round=?)",
            "ix_outbox_due (state=? AND received_at<?)",
            "ix_outbox_round (state=? AND round>?)",
        )
        wanted = (first, urgent_ones, others) * 2
        mails = [plan for plan in found if re.match("(SCAN|SEARCH) outbox", plan)]
        assert all(f"USING COVERING INDEX {index}" in plan for plan, index in zip(mails, wanted, strict=True)), found
        # And of a further part the one before it.
        before = [plan for plan in found if re.match("(SCAN|SEARCH) part_before", plan)]
        assert len(before) == len(wanted)
        assert all(plan.endswith("(kind=? AND key=? AND part=?)") for plan in before), found


async def test_a_place_in_the_outbox_is_found_without_reading_what_waits(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: statement.startswith("SELECT outbox.") and "round" in statement) as asked:
        async with register.begin() as tx:
            await outbox.queue(tx, [a_draft(None, key="next")], NOW)
    if (found := await plans(register, asked)) is not None:
        mails = [plan for plan in found if re.match("(SCAN|SEARCH) outbox", plan)]
        assert len(mails) == 3
        assert all("USING COVERING INDEX ix_outbox_" in plan for plan in mails), found
        assert not any("TEMP B-TREE" in plan for plan in found), found
        before = [plan for plan in found if re.match("(SCAN|SEARCH) part_before", plan)]
        assert len(before) == len(mails)
        assert all(plan.endswith("(kind=? AND key=? AND part=?)") for plan in before), found


async def test_the_parts_behind_those_that_come_in_anew_are_found_by_their_order(register: Register) -> None:
    ids = await frozen(register, 3)
    with listening(lambda statement: "AS ahead" in statement) as asked:
        async with register.read() as tx:
            assert await piecemeal.behind(tx, ids) == {}
    if (found := await plans(register, asked)) is not None:
        tables = [plan for plan in found if re.match("(SCAN|SEARCH) part_", plan)]
        assert [re.sub(r".* \(", "(", plan) for plan in tables] == ["(rowid=?)", "(kind=? AND key=? AND part>?)"], found


async def test_what_has_lost_its_place_is_found_without_looking_at_what_has_one(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: "outbox.round IS NULL" in statement) as asked:
        async with register.begin() as tx:
            await outbox.claim_composed(tx, "me", 1, NOW, LATER, size_bytes_max=ROOMY)
    if (found := await plans(register, asked)) is not None:
        (plan,) = [one for one in found if re.match("(SCAN|SEARCH) outbox", one)]
        assert re.search("INDEX ix_outbox_(round .state=. AND round=.|placeless .state=.)", plan)


async def test_what_was_perhaps_sent_is_found_without_reading_what_is_being_sent(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: "outbox.sending_at AS since" in statement) as asked:
        async with register.read() as tx:
            assert await doubt.doubtful(tx, 9, NOW, LATER - NOW) == []
    shown = [(re.sub(r"SELECT .*(?=FROM)", "SELECT outbox.id ", s, flags=re.DOTALL), given) for s, given in asked]
    if (found := await plans(register, shown)) is not None:
        assert len(found) == 2
        assert all(re.search(r"USING COVERING INDEX ix_outbox_(sending|lease) \(", plan) for plan in found), found


async def test_clocks_are_looked_at_without_reading_what_is_over(register: Register) -> None:
    with listening(lambda statement: "SELECT" in statement) as asked:
        async with register.read() as tx:
            assert await clocks.one_to_come(tx, NOW) is None
            assert not await clocks.is_too_far(tx, "me", NOW, lease=LATER - NOW, put_off_max=LATER - NOW)
    if (found := await plans(register, asked)) is not None:
        assert len(found) == 8
        for plan in found:
            assert re.search(r"INDEX ix_(intake_(turn|lease|due)|outbox_(round|due|lease|sending)) \(", plan), plan


async def test_who_is_to_blame_is_found_without_looking_at_more_than_a_few_mails(register: Register) -> None:
    with listening(lambda statement: "settled_at" in statement) as asked:
        async with register.read() as tx:
            assert await blame.allowance(tx, NOW) == blame.FAULTS_IN_A_ROW_MAX, "nothing was ever decided"
    if (found := await plans(register, asked)) is not None:
        (plan,) = found  # and none that sorts
        assert "USING INDEX ix_intake_kept (settled_at<?)" in plan


async def test_late_answers_are_found_without_looking_at_those_that_left(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: "JOIN outbox" in statement) as asked:
        async with register.read() as tx:
            await lateness.find(tx, "answer", NOW, 9, size_bytes_max=1)
    if (found := await plans(register, asked)) is not None:
        assert "INDEX ix_outbox_due (state=? AND received_at<?)" in found[0], found


async def test_what_a_worker_holds_is_found_without_looking_at_what_nobody_holds(register: Register) -> None:
    await frozen(register, 3)
    with listening(lambda statement: "outbox" in statement and "lease_owner" in statement) as asked:
        async with register.begin() as tx:
            await outbox.release_all(tx, "me")
        await take_over(register, "me", NOW)
    if (found := await plans(register, asked)) is not None:
        assert len(found) == 2
        assert all("INDEX ix_outbox_lease" in plan for plan in found), found
