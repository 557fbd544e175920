"""Tables. Each promise of the service is a constraint here or a trigger in `triggers`.

No column holds personal data in clear: sealed values are BLOBs under a content key, look-ups go through tokens.
In clear are codes, numbers, digests, instants, states, file names and the enrolled addresses of senders.

Large values stand last in their tables: SQLite reads through all of a mail to reach what stands behind it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.model import CertificateUse, Standing
from mailflow.core.numbers import SEQUENCE_MAX
from mailflow.register import triggers
from mailflow.register.types import Instant, IntakeState, OutboxState, RequestState

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
triggers.attach(metadata)

DESK_REGEX = "[0-9A-Z]{5}"
DESK_GLOB = "[0-9A-Z]" * 5

_serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _one_of(column: str, values: Iterable[str], name: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name)


def _grammar(name: str, postgresql: str, sqlite: str) -> tuple[sa.CheckConstraint, sa.CheckConstraint]:
    """A condition that the two databases spell differently."""
    return (
        sa.CheckConstraint(postgresql, name=name).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(sqlite, name=name).ddl_if(dialect="sqlite"),
    )


def _key() -> sa.Column[str]:
    """The content key of a row's sealed values; when it is deleted they are erased.

    No foreign key: SQLite would search every table for each new key, and a missing key has a meaning.
    """
    return sa.Column("key_id", sa.Text)


def _lease() -> tuple[sa.Column[str], sa.Column[datetime], sa.CheckConstraint]:
    return (
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", Instant),
        sa.CheckConstraint("(lease_owner IS NULL) = (lease_until IS NULL)", name="lease_whole"),
    )


def _partial_index(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool]) -> None:
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


content_key = sa.Table(
    "content_key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("master", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)

intake = sa.Table(
    "intake",
    metadata,
    sa.Column("id", _serial, sa.Identity(), primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("uidvalidity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text),  # SHA-256 of the octets; NULL when they were too many to be read
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("taken_at", Instant, nullable=False),
    _key(),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("sender", sa.Text),
    sa.Column("settled_at", Instant),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("solo", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("next_at", Instant),  # when work is due; NULL when none is left
    *_lease(),
    sa.Column("raw", sa.LargeBinary),
    sa.UniqueConstraint("account", "mailbox", "uidvalidity", "uid"),
    _one_of("state", IntakeState, "state"),
    sa.CheckConstraint("(next_at IS NOT NULL) = (state IN ('received', 'undetermined'))", name="due"),
    sa.CheckConstraint("lease_until IS NULL OR next_at IS NOT NULL", name="lease_only_while_due"),
    sa.CheckConstraint("attempts >= 0", name="attempts"),
    sqlite_autoincrement=True,
)
# All that a claim asks is in the index: what waits, or is leased, is passed over without a look at its row.
_partial_index(
    "ix_intake_due",
    intake.c.received_at,
    intake.c.id,
    intake.c.next_at,
    intake.c.lease_owner,
    intake.c.solo,
    intake.c.attempts,
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
_partial_index("ix_intake_kept", intake.c.settled_at, intake.c.id, where=intake.c.raw.is_not(None))

file = sa.Table(
    "file",
    metadata,
    sa.Column("id", _serial, sa.Identity(), primary_key=True),
    sa.Column("record", sa.Text, nullable=False, unique=True),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("intake_id", _serial, sa.ForeignKey("intake.id"), nullable=False, index=True),
    _key(),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("receipt", sa.LargeBinary),
    sa.Column("returned", sa.LargeBinary),
    sa.UniqueConstraint("desk", "name"),
    *_grammar("desk", f"desk ~ '^{DESK_REGEX}$'", f"desk GLOB '{DESK_GLOB}'"),
    *_grammar(
        "name",
        "name ~ '^[0-9A-Za-z.-]{1,64}$'",
        "length(name) BETWEEN 1 AND 64 AND name NOT GLOB '*[^0-9A-Za-z.-]*'",
    ),
    sqlite_autoincrement=True,
)
sa.Index("ix_file_digest_desk", file.c.digest, file.c.desk)

request = sa.Table(
    "request",
    metadata,
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("expires_on", sa.Date, nullable=False),
    sa.Column("registered_at", Instant, nullable=False),
    _key(),
    sa.Column("file_record", sa.Text, sa.ForeignKey("file.record"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary),
    sa.UniqueConstraint("file_record", "position"),
    _one_of("state", RequestState, "state"),
    *_grammar(
        "number",
        f"number ~ '^[0-9]{{2}}[0-9AB](0[1-9]|1[0-2])[0-9]{{8}}{DESK_REGEX}$'",
        f"number GLOB '[0-9][0-9][0-9AB]0[1-9]{'[0-9]' * 8}{DESK_GLOB}'"
        f" OR number GLOB '[0-9][0-9][0-9AB]1[0-2]{'[0-9]' * 8}{DESK_GLOB}'",
    ),
    sa.CheckConstraint("substr(number, 1, 3) = territory", name="territory"),
)

request_reference = sa.Table(
    "request_reference",
    metadata,
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column(
        "request_id",
        sa.Text,
        sa.ForeignKey("request.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    sa.PrimaryKeyConstraint("desk", "token"),
)

active_identity = sa.Table(
    "active_identity",
    metadata,
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("nir_token", sa.Text),
    sa.Column(
        "request_id",
        sa.Text,
        sa.ForeignKey("request.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    sa.PrimaryKeyConstraint("territory", "token", "ordinal"),
    sa.UniqueConstraint("territory", "nir_token"),
    sa.CheckConstraint("ordinal >= 0", name="ordinal"),
)

counter = sa.Table(
    "counter",
    metadata,
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("month", sa.Text, nullable=False),
    sa.Column("last", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("territory", "month"),
    sa.CheckConstraint(f"last BETWEEN 0 AND {SEQUENCE_MAX}", name="last"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", _serial, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("intake_id", _serial, sa.ForeignKey("intake.id"), index=True),
    sa.Column("received_at", Instant, nullable=False),  # the promise runs from here
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False, unique=True),
    sa.Column("envelope_id", sa.Text, nullable=False, unique=True),
    sa.Column("dated_at", Instant, nullable=False),
    sa.Column("queued_at", Instant, nullable=False),
    _key(),
    sa.Column("body_digest", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", Instant),
    sa.Column("sending_at", Instant),
    sa.Column("sent_at", Instant),
    *_lease(),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("raw", sa.LargeBinary),
    sa.UniqueConstraint("kind", "key", "part"),
    _one_of("state", OutboxState, "state"),
    sa.CheckConstraint("(next_at IS NOT NULL) = (state IN ('queued', 'composed'))", name="due"),
    sa.CheckConstraint("state <> 'queued' OR raw IS NULL", name="queued_has_no_bytes"),
    sa.CheckConstraint("state NOT IN ('composed', 'sending') OR raw IS NOT NULL", name="frozen_before_sent"),
    sa.CheckConstraint("raw IS NULL OR body_digest IS NOT NULL", name="digest_of_bytes"),
    sa.CheckConstraint("state <> 'sent' OR sent_at IS NOT NULL", name="sent_at"),
    sa.CheckConstraint("attempts >= 0", name="attempts"),
    sqlite_autoincrement=True,
)
_partial_index("ix_outbox_due", outbox.c.state, outbox.c.received_at, outbox.c.id, where=outbox.c.next_at.is_not(None))
_partial_index(
    "ix_outbox_kept",
    outbox.c.sent_at,
    outbox.c.id,
    where=sa.and_(outbox.c.raw.is_not(None), outbox.c.intake_id.is_(None)),
)
sa.Index(
    "ix_outbox_sending",
    outbox.c.sending_at,
    sqlite_where=outbox.c.sending_at.is_not(None),
    postgresql_where=outbox.c.sending_at.is_not(None),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("id", _serial, sa.Identity(), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("intake_id", _serial, index=True),
    sa.Column("number", sa.Text, index=True),
    sa.Column("sender", sa.Text),
    sa.Column("desk", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),  # JSON object, keys sorted
    sqlite_autoincrement=True,
)

sender = sa.Table(
    "sender",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("answer_address", sa.Text, nullable=False),
    sa.Column("legacy_encryption", sa.Boolean, nullable=False),
    _one_of("standing", Standing, "standing"),
)

sender_address = sa.Table(
    "sender_address",
    metadata,
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("sender", "address"),
    sa.CheckConstraint("address = lower(address)", name="lower_case"),
)

certificate = sa.Table(
    "certificate",
    metadata,
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("use", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), nullable=False, index=True),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("fingerprint", "use"),  # a signature proves one sender
    _one_of("use", CertificateUse, "use"),
    _one_of("standing", Standing, "standing"),
)

desk = sa.Table(
    "desk",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    *_grammar("code", f"code ~ '^{DESK_REGEX}$'", f"code GLOB '{DESK_GLOB}'"),
    _one_of("standing", Standing, "standing"),
)

mandate = sa.Table(
    "mandate",
    metadata,
    sa.Column("id", _serial, sa.Identity(), primary_key=True),
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), nullable=False),
    sa.Column("desk", sa.Text, sa.ForeignKey("desk.code"), nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("rights", sa.Text, nullable=False),  # sorted, with blanks between
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date),
    sa.UniqueConstraint("sender", "desk", "territory", "starts_on"),
    sqlite_autoincrement=True,
)

trust_generation = sa.Table(
    "trust_generation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)
