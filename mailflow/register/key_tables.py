"""The tables of the key store: content keys, wrapped by master keys that no database holds.

`key_home` alone lies in the register: which key store is its own.
"""

import sqlalchemy as sa

from mailflow.register.columns import key_metadata, metadata
from mailflow.register.types import Instant

key_home = sa.Table(
    "key_home",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("store", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

key_store = sa.Table(
    "key_store",
    key_metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

# By the name of its file. That it cannot be removed while it wraps anything is the foreign key below.
master_key = sa.Table(
    "master_key",
    key_metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("current", sa.Boolean, nullable=False),
)
sa.Index(
    "uq_master_key_current",
    master_key.c.current,
    unique=True,
    sqlite_where=master_key.c.current,
    postgresql_where=master_key.c.current,
)

content_key = sa.Table(
    "content_key",
    key_metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("master", sa.Text, sa.ForeignKey("master_key.name"), nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),  # whose it is: `keys.Owner`
)
