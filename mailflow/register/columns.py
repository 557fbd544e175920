"""What tables are made of: kinds of columns, constraints that the two databases spell differently, names."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.canary import CANARY_DESKS
from mailflow.register import triggers
from mailflow.register.types import Instant

_NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
metadata = sa.MetaData(naming_convention=_NAMES)
triggers.attach(metadata)
key_metadata = sa.MetaData(naming_convention=_NAMES)
"""Of the key store, which is a database of its own."""

DESK_REGEX = "[0-9A-Z]{5}"
DESK_GLOB = "[0-9A-Z]" * 5
of_canary_desk = f"desk IN ({', '.join(repr(str(code)) for code in CANARY_DESKS.values())})"
"""Of a row with a column `desk`: whether it is the canary's."""

serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def one_of(column: str, values: Iterable[str], name: str) -> sa.CheckConstraint:
    """A column that holds one of a few words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name)


def grammar(name: str, postgresql: str, sqlite: str) -> tuple[sa.CheckConstraint, sa.CheckConstraint]:
    """A condition that the two databases spell differently."""
    return (
        sa.CheckConstraint(postgresql, name=name).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(sqlite, name=name).ddl_if(dialect="sqlite"),
    )


def key() -> sa.Column[str]:
    """The content key of a row's sealed values; when it is deleted they are erased.

    No foreign key: SQLite would search every table for each new key, and a missing key has a meaning.
    """
    return sa.Column("key_id", sa.Text)


def lease() -> tuple[sa.Column[str], sa.Column[datetime], sa.CheckConstraint]:
    """Whose a row is, and until when."""
    return (
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", Instant),
        sa.CheckConstraint("(lease_owner IS NULL) = (lease_until IS NULL)", name="lease_whole"),
    )


def partial_index(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool]) -> None:
    """An index of the rows for which `where` holds."""
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)
