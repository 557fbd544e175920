"""The tables of requests: the request, its history, how far desks were told of it, identities, counters."""

import sqlalchemy as sa

from mailflow.core.model import Door, Operation, RequestState
from mailflow.core.numbers import CANARY_TERRITORY, SEQUENCE_MAX
from mailflow.register.columns import (
    DESK_GLOB,
    DESK_REGEX,
    grammar,
    key,
    metadata,
    of_canary_desk,
    one_of,
    partial_index,
    serial,
)
from mailflow.register.types import Instant

request = sa.Table(
    "request",
    metadata,
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("motive", sa.Text),
    sa.Column("deposited_on", sa.Date, nullable=False),
    sa.Column("renewed_on", sa.Date),
    sa.Column("expires_on", sa.Date, nullable=False),
    sa.Column("ended_on", sa.Date),
    sa.Column("noticed_for", sa.Date),  # the last day of which its desk was told; another one is told anew
    sa.Column("registered_at", Instant, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # of the last entry in the history
    sa.Column("dated_at", Instant, nullable=False),  # of the last file applied: an earlier one comes too late
    key(),
    sa.Column("file_record", sa.Text, sa.ForeignKey("file.record"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary),
    sa.UniqueConstraint("file_record", "position"),
    one_of("state", RequestState, "state"),
    sa.CheckConstraint("(motive IS NOT NULL) = (state = 'deregistered')", name="motive"),
    sa.CheckConstraint("(ended_on IS NULL) = (state = 'active')", name="ended_on"),
    *grammar(
        "number",
        f"number ~ '^[0-9]{{2}}[0-9AB](0[1-9]|1[0-2])[0-9]{{8}}{DESK_REGEX}$'",
        f"number GLOB '[0-9][0-9][0-9AB]0[1-9]{'[0-9]' * 8}{DESK_GLOB}'"
        f" OR number GLOB '[0-9][0-9][0-9AB]1[0-2]{'[0-9]' * 8}{DESK_GLOB}'",
    ),
    sa.CheckConstraint("substr(number, 1, 3) = territory", name="territory"),
    sa.CheckConstraint(f"(territory = '{CANARY_TERRITORY}') = ({of_canary_desk})", name="canary_apart"),
)

partial_index("ix_request_expiry", request.c.expires_on, request.c.number, where=request.c.state == "active")
partial_index(
    "ix_request_erasable",
    request.c.ended_on,
    request.c.number,
    where=sa.and_(request.c.ended_on.is_not(None), request.c.payload.is_not(None)),
)

# Sealed under the request's content key. What a revision left is the next one's `content_before` that is not NULL,
# else the request's payload.
history = sa.Table(
    "history",
    metadata,
    sa.Column("number", sa.Text, sa.ForeignKey("request.number"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),  # dense in the territory, in the order of commits
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # this and the next four as the operation left them
    sa.Column("motive", sa.Text),
    sa.Column("renewed_on", sa.Date),
    sa.Column("expires_on", sa.Date, nullable=False),
    sa.Column("ended_on", sa.Date),
    sa.Column("desk", sa.Text),  # NULL like sender and intake: done by the service itself
    sa.Column("sender", sa.Text),
    sa.Column("door", sa.Text),
    sa.Column("intake_id", serial),
    sa.Column("file_record", sa.Text),
    sa.Column("position", sa.Integer),
    sa.Column("dated_at", Instant, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("said", sa.LargeBinary),  # beside the form: lease and sub-motive
    sa.Column("content_before", sa.LargeBinary),  # NULL: it left the content as it was, or made it
    sa.PrimaryKeyConstraint("number", "revision"),
    sa.UniqueConstraint("territory", "sequence"),
    one_of("operation", Operation, "operation"),
    one_of("state", RequestState, "state"),
    one_of("door", Door, "door"),
)

history_counter = sa.Table(
    "history_counter",
    metadata,
    sa.Column("territory", sa.Text, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
)

dispatch = sa.Table(
    "dispatch",
    metadata,
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("follows", sa.BigInteger, nullable=False),  # a sequence of the history: it tells of what follows
    sa.Column("through", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("sender", "desk", "number"),
    sa.UniqueConstraint("sender", "desk", "territory", "follows"),
    sa.CheckConstraint("follows < through", name="forward"),
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
