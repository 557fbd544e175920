"""A long queue costs what is worked on, not what waits: claims look at an index, never at the mails themselves."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.register import Register
from mailflow.register.tables import metadata
from tests.support.records import NOW, claim, claim_solo, take_in


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_sealed_values_stand_behind_all_others(table: sa.Table) -> None:
    """SQLite reads a value of any size through to reach the columns behind it."""
    large = [isinstance(column.type, sa.LargeBinary) for column in table.columns]
    if table.name not in ("certificate", "exhibit", "file"):  # small, or read as a whole
        assert large == sorted(large)


async def test_a_claim_passes_over_what_waits_without_reading_it(register: Register) -> None:
    await take_in(register, 3)
    plans: list[str] = []
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT intake.") and "next_at <=" in statement:
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        assert len(await claim(register, limit=1, urgent_before=NOW - timedelta(days=1))) == 1
        assert await claim_solo(register) is None
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)
    async with register.read() as tx:
        if tx.connection.dialect.name == "postgresql":  # keeps large values apart, and plans by what it counted
            return
        for statement, parameters in asked:
            found = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters))
            plans += [str(row.detail) for row in found.all()]
    assert len(plans) == 4
    assert all("USING COVERING INDEX ix_intake_" in plan for plan in plans), plans
