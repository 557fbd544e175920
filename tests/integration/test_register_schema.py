"""The tables: made by migrations, equal to what the code works with, checked at start."""

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from mailflow.errors import Misconfigured
from mailflow.register import Register, migrations
from mailflow.register.tables import metadata
from tests.support.databases import VAULT, Databases

SQLITE_CATALOGUE = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
POSTGRESQL_CATALOGUE = """
SELECT 'column', table_name || '.' || column_name,
       concat_ws(' ', data_type, is_nullable, column_default, is_identity)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


async def _catalogue(connection: AsyncConnection) -> set[tuple[str, ...]]:
    query = SQLITE_CATALOGUE if connection.dialect.name == "sqlite" else POSTGRESQL_CATALOGUE
    rows = (await connection.execute(sa.text(query))).all()
    described = {tuple(" ".join(str(value).split()) for value in row) for row in rows}
    return {row for row in described if "alembic_version" not in " ".join(row)}


async def test_what_the_migrations_make_is_what_the_code_works_with(databases: Databases, register: Register) -> None:
    declared = Register.open(databases.fresh(migrated=False), VAULT)
    async with declared.begin() as tx:
        await tx.connection.run_sync(metadata.create_all)
        wanted = await _catalogue(tx.connection)
    await declared.close()
    async with register.read() as tx:
        made = await _catalogue(tx.connection)
    assert made == wanted
    assert len(made) > 40


def test_the_version_that_is_asked_for_is_the_newest_there_is() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_heads() == [migrations.NEWEST]


async def test_migrating_twice_changes_nothing(register: Register) -> None:
    async with register.read() as tx:
        before = await _catalogue(tx.connection)
    await register.migrate()
    async with register.read() as tx:
        assert await _catalogue(tx.connection) == before
    await register.require_current_schema()


async def test_a_register_without_tables_says_what_to_run(databases: Databases) -> None:
    empty = Register.open(databases.fresh(migrated=False), VAULT)
    with pytest.raises(Misconfigured, match="mailflow init"):
        await empty.require_current_schema()
    await empty.close()


async def test_a_register_of_another_version_says_what_to_run(register: Register, register_url: str) -> None:
    async with register.begin() as tx:
        await tx.connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(Misconfigured, match="version 0000: run"):
        await register.require_current_schema()
    looking = Register.open(register_url, VAULT, read_only=True)
    with pytest.raises(Misconfigured, match="version 0000: look at a copy"):
        await looking.require_current_schema()
    await looking.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:////no/such/f"]
)
def test_a_url_that_names_no_register_is_a_configuration_fault(url: str) -> None:
    with pytest.raises(Misconfigured):
        Register.open(url, VAULT)
