"""Content keys, wrapped by master keys that the database does not hold."""

import sqlalchemy as sa

from mailflow.register.columns import metadata
from mailflow.register.types import Instant

# By the name of its file. That it cannot be removed while it wraps anything is the foreign key below.
master_key = sa.Table(
    "master_key",
    metadata,
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
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("master", sa.Text, sa.ForeignKey("master_key.name"), nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)
