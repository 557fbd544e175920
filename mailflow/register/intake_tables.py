"""The table of mails that were taken in, and what of it is found without a look at any mail."""

import sqlalchemy as sa

from mailflow.register.columns import key, lease, metadata, one_of, partial_index, serial
from mailflow.register.types import Instant, IntakeState

intake = sa.Table(
    "intake",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("uidvalidity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text),  # SHA-256 of the octets; NULL when they were too many to be read
    sa.Column("message_token", sa.BigInteger),  # of its Message-ID, by which operators find it
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("taken_at", Instant, nullable=False),
    key(),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("sender", sa.Text),
    sa.Column("settled_at", Instant),
    sa.Column("late_at", Instant),  # when it was late and looked at, whether its sender can be told that it is here
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("solo", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("next_at", Instant),  # when work is due; NULL when none is left
    sa.Column("line", sa.Text, nullable=False, server_default=""),  # among whose mails it waits: see `rounds`
    sa.Column("round", sa.Integer, nullable=False, server_default="0"),
    sa.Column("turn_at", Instant),  # of a mail beyond its sender's rates: counted, and not to be counted again
    *lease(),
    sa.Column("raw", sa.LargeBinary),
    sa.UniqueConstraint("account", "mailbox", "uidvalidity", "uid"),
    one_of("state", IntakeState, "state"),
    sa.CheckConstraint("(next_at IS NOT NULL) = (state IN ('received', 'undetermined'))", name="due"),
    sa.CheckConstraint("lease_until IS NULL OR next_at IS NOT NULL", name="lease_only_while_due"),
    sa.CheckConstraint("attempts >= 0", name="attempts"),
    sqlite_autoincrement=True,
)
# All that a claim asks is in the index: what waits, or is leased, is passed over without a look at its row.
partial_index(
    "ix_intake_due",
    intake.c.received_at,
    intake.c.id,
    intake.c.next_at,
    intake.c.lease_owner,
    intake.c.solo,
    intake.c.attempts,
    intake.c.size_bytes,
    intake.c.turn_at,
    intake.c.sender,
    intake.c.reason,
    where=intake.c.next_at.is_not(None),
)
partial_index(
    "ix_intake_round",
    intake.c.round,
    intake.c.received_at,
    intake.c.id,
    intake.c.next_at,
    intake.c.lease_owner,
    intake.c.solo,
    intake.c.size_bytes,
    where=intake.c.next_at.is_not(None),
)
partial_index("ix_intake_line", intake.c.line, intake.c.round, intake.c.next_at, where=intake.c.next_at.is_not(None))
# What waits for its sender's turn and what does not lie apart: each is counted without a look at the other.
partial_index(
    "ix_intake_turn",
    intake.c.turn_at,
    intake.c.next_at,
    intake.c.sender,
    intake.c.reason,
    intake.c.size_bytes,
    where=intake.c.next_at.is_not(None),
)
sa.Index(
    "ix_intake_lease",
    intake.c.lease_until,
    sqlite_where=intake.c.lease_until.is_not(None),
    postgresql_where=intake.c.lease_until.is_not(None),
)
sa.Index("ix_intake_digest", intake.c.digest)
partial_index("ix_intake_message_token", intake.c.message_token, where=intake.c.message_token.is_not(None))
partial_index(
    "ix_intake_late", intake.c.taken_at, intake.c.id, where=intake.c.late_at.is_(None) & (intake.c.state != "answered")
)
partial_index("ix_intake_kept", intake.c.settled_at, intake.c.id, where=intake.c.raw.is_not(None))
# What operators count, without a look at any row. Spelt out: SQLite knows its index again only by the very same words.
unanswered_mail = intake.c.state != sa.literal_column("'answered'")
partial_index(
    "ix_intake_unanswered",
    intake.c.state,
    intake.c.reason,
    intake.c.settled_at,
    intake.c.received_at,
    where=unanswered_mail,
)
