"""Tables of a time that the register does not know: numbers that went out in it, and how far it was looked into."""

import sqlalchemy as sa

from mailflow.register.columns import metadata
from mailflow.register.types import Instant

reserved_number = sa.Table(
    "reserved_number",
    metadata,
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("number", sa.Text, nullable=False, index=True),
    sa.Column("given_at", Instant),  # to the request that had it
    sa.PrimaryKeyConstraint("digest", "desk", "position"),
)

mailbox_mark = sa.Table(
    "mailbox_mark",
    metadata,
    sa.Column("mailbox", sa.Text, primary_key=True),
    sa.Column("uidvalidity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),
)
