"""Tables by which persons of active requests are told apart. Like all tables they hold nothing of them in clear."""

import sqlalchemy as sa

from mailflow.core.identity import Likeness
from mailflow.register.columns import key, metadata, one_of, serial
from mailflow.register.types import Instant

near_person = sa.Table(
    "near_person",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), nullable=False),
    sa.Column("element", sa.Text, nullable=False),
    sa.Column("tokens", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("request_id", "element"),
    sqlite_autoincrement=True,
)

# The longest table by far: two integers a row and nothing else. No foreign key, which would search it for each person.
near_token = sa.Table(
    "near_token",
    metadata,
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("person", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("token", "person"),
    sqlite_with_rowid=False,
)

probable_duplicate = sa.Table(
    "probable_duplicate",
    metadata,
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("number", sa.Text, sa.ForeignKey("request.number"), nullable=False),
    sa.Column("other", sa.Text, sa.ForeignKey("request.number"), nullable=False),
    sa.Column("likeness", sa.Text, nullable=False),
    sa.Column("found_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("territory", "number", "other"),
    one_of("likeness", Likeness, "likeness"),
)
sa.Index("ix_probable_duplicate_found_at", probable_duplicate.c.found_at)

homonym_release = sa.Table(
    "homonym_release",
    metadata,
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("desk", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("token", "territory", "desk"),
)

nir = sa.Table(
    "nir",
    metadata,
    sa.Column("request_id", sa.Text, sa.ForeignKey("request.id"), primary_key=True),
    key(),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
