"""Tables. Each promise of the service is a constraint here or a trigger in `triggers`.

No column holds personal data in clear: sealed values are BLOBs under a content key, look-ups go through tokens.
In clear are codes, numbers, digests, instants, states, file names and the enrolled addresses of senders.

Large values stand last in their tables: SQLite reads through all of a mail to reach what stands behind it.
"""

import sqlalchemy as sa

from mailflow.core.canary import CANARY_SENDER
from mailflow.core.model import CertificateUse, Environment, Right, Standing
from mailflow.core.numbers import CANARY_TERRITORY
from mailflow.core.rates import Budget
from mailflow.core.service_keys import KeyUse
from mailflow.core.succession import KEPT
from mailflow.register.alarm_tables import (
    alarm,
    alarm_notice,
    broken_promise,
    canary_run,
    doubted_mail,
    job_run,
    reexamination,
    worker_sign,
)
from mailflow.register.attestation_tables import attestation, commission, landlord, reference_edition
from mailflow.register.chain_tables import journal_head, journal_link
from mailflow.register.columns import (
    DESK_GLOB,
    DESK_REGEX,
    grammar,
    key,
    lease,
    metadata,
    of_canary_desk,
    one_of,
    partial_index,
    serial,
)
from mailflow.register.evidence_tables import evidence, exhibit
from mailflow.register.identity_tables import homonym_release, near_person, near_token, nir, probable_duplicate
from mailflow.register.intake_tables import intake, unanswered_mail
from mailflow.register.key_tables import key_home
from mailflow.register.request_tables import (
    active_identity,
    counter,
    dispatch,
    history,
    history_counter,
    request,
    request_reference,
)
from mailflow.register.restore_tables import mailbox_mark, reserved_number
from mailflow.register.revocation_tables import revocation
from mailflow.register.types import Instant, OutboxState

__all__ = [
    "active_identity", "alarm", "alarm_notice", "attestation", "awaited_file", "broken_promise", "canary_run",
    "certificate", "commission", "counter", "desk", "dispatch", "doubted_mail",
    "evidence", "exhibit", "file", "history", "history_counter",
    "homonym_release", "installation", "intake", "issuing", "job_run", "journal", "journal_head",
    "journal_link", "key_home", "landlord", "mailbox_mark", "mandate", "metadata",
    "near_person", "near_token", "nir", "outbox", "probable_duplicate", "reexamination", "reference_edition", "request",
    "request_reference", "reserved_number", "revocation", "sender", "sender_address", "service_key", "spending",
    "successor", "trust_generation", "unanswered_mail", "worker_sign",
]  # fmt: skip

file = sa.Table(
    "file",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("record", sa.Text, nullable=False, unique=True),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), nullable=False, index=True),
    key(),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("receipt", sa.LargeBinary),
    sa.Column("returned", sa.LargeBinary),
    sa.UniqueConstraint("desk", "name"),
    *grammar("desk", f"desk ~ '^{DESK_REGEX}$'", f"desk GLOB '{DESK_GLOB}'"),
    *grammar(
        "name",
        "name ~ '^[0-9A-Za-z.-]{1,64}$'",
        "length(name) BETWEEN 1 AND 64 AND name NOT GLOB '*[^0-9A-Za-z.-]*'",
    ),
    sqlite_autoincrement=True,
)
sa.Index("ix_file_digest_desk", file.c.digest, file.c.desk)

# Which files late mails brought. Once such a mail is decided its rows say nothing any more.
awaited_file = sa.Table(
    "awaited_file",
    metadata,
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), nullable=False),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("desk", "name", "intake_id"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), index=True),
    sa.Column("received_at", Instant, nullable=False),  # the promise runs from here
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False, unique=True),
    sa.Column("envelope_id", sa.Text, nullable=False, unique=True),
    sa.Column("dated_at", Instant, nullable=False),
    sa.Column("queued_at", Instant, nullable=False),
    key(),
    sa.Column("body_digest", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("sends", sa.Integer, nullable=False, server_default="0"),  # how often it was sent, or perhaps sent
    # Of those, how many were when it was last ordered to be sent again: so many copies prove nothing of what came then.
    sa.Column("copies_before", sa.Integer, nullable=False, server_default="0"),
    sa.Column("part_bytes_max", sa.Integer),  # of an order in parts: what the parts that were frozen first were cut to
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", Instant),
    sa.Column("round", sa.Integer),  # see `rounds`; NULL when it has lost its place, or needs none
    sa.Column("sending_at", Instant),
    sa.Column("missed_since", Instant),  # with the next one: see `doubt.Missed`
    sa.Column("missed_at", Instant),
    sa.Column("sent_at", Instant),  # when it left for the first time
    sa.Column("sent_again_at", Instant),  # when it left for the last time, if more than once
    *lease(),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("raw", sa.LargeBinary),
    sa.UniqueConstraint("kind", "key", "part"),
    one_of("state", OutboxState, "state"),
    sa.CheckConstraint("(next_at IS NOT NULL) = (state IN ('queued', 'composed'))", name="due"),
    sa.CheckConstraint("state <> 'queued' OR raw IS NULL", name="queued_has_no_bytes"),
    sa.CheckConstraint("state NOT IN ('composed', 'sending') OR raw IS NOT NULL", name="frozen_before_sent"),
    sa.CheckConstraint("raw IS NULL OR body_digest IS NOT NULL", name="digest_of_bytes"),
    sa.CheckConstraint("state <> 'sent' OR sent_at IS NOT NULL", name="sent_at"),
    sa.CheckConstraint("attempts >= 0", name="attempts"),
    sqlite_autoincrement=True,
)
# All that a claim asks is in the index, as with the intake: what is deferred, or leased, is passed over unread.
partial_index(
    "ix_outbox_due",
    outbox.c.state,
    outbox.c.received_at,
    outbox.c.id,
    outbox.c.next_at,
    outbox.c.lease_until,
    outbox.c.lease_owner,
    outbox.c.part,
    outbox.c.kind,
    outbox.c.key,
    where=outbox.c.next_at.is_not(None),
)
partial_index(
    "ix_outbox_round",
    outbox.c.state,
    outbox.c.round,
    outbox.c.received_at,
    outbox.c.id,
    outbox.c.next_at,
    outbox.c.lease_until,
    outbox.c.part,
    outbox.c.kind,
    outbox.c.key,
    where=outbox.c.next_at.is_not(None),
)
partial_index(
    "ix_outbox_line",
    outbox.c.recipient,
    outbox.c.round,
    outbox.c.next_at,
    outbox.c.part,
    outbox.c.kind,
    outbox.c.key,
    where=outbox.c.next_at.is_not(None),
)
# Nearly always empty. PostgreSQL, which counts what was sent as well, would take most for such ones, and read them all.
partial_index(
    "ix_outbox_placeless",
    outbox.c.state,
    outbox.c.received_at,
    outbox.c.id,
    outbox.c.next_at,
    outbox.c.lease_until,
    outbox.c.recipient,
    where=outbox.c.round.is_(None) & outbox.c.next_at.is_not(None),
)
on_its_way = sa.and_(outbox.c.state != sa.literal_column("'sent'"), outbox.c.state != sa.literal_column("'withdrawn'"))
partial_index(
    "ix_outbox_on_its_way",
    outbox.c.kind,
    outbox.c.received_at,
    outbox.c.id,
    outbox.c.state,
    outbox.c.sent_at,
    outbox.c.intake_id,
    outbox.c.part,
    outbox.c.key,
    where=on_its_way,
)
partial_index(
    "ix_outbox_sent",
    outbox.c.kind,
    outbox.c.sent_at,
    outbox.c.received_at,
    outbox.c.intake_id,
    where=outbox.c.sent_at.is_not(None),
)
partial_index(
    "ix_outbox_kept",
    outbox.c.sent_at,
    outbox.c.id,
    where=sa.and_(outbox.c.raw.is_not(None), outbox.c.intake_id.is_(None)),
)
partial_index(
    "ix_outbox_sending",
    outbox.c.state,
    outbox.c.lease_until,
    outbox.c.id,
    outbox.c.sending_at,
    outbox.c.lease_owner,
    where=outbox.c.sending_at.is_not(None),
)
partial_index(
    "ix_outbox_lease",
    outbox.c.lease_owner,
    outbox.c.lease_until,
    outbox.c.state,
    where=outbox.c.lease_until.is_not(None),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("intake_id", serial, index=True),
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
    # Rates of its own; NULL: as the settings say.
    *(sa.Column(budget.value, sa.BigInteger) for budget in Budget),
    one_of("standing", Standing, "standing"),
    *(sa.CheckConstraint(f"{budget} > 0", name=budget.value) for budget in Budget),
)

# Of each sender when what it has used of each budget is paid for (`core.rates`).
spending = sa.Table(
    "spending",
    metadata,
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), primary_key=True),
    *(sa.Column(budget.value, Instant) for budget in Budget),
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
    one_of("use", CertificateUse, "use"),
    one_of("standing", Standing, "standing"),
)

# Certificates that senders have offered by mail, to follow the one that signed it.
successor = sa.Table(
    "successor",
    metadata,
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("follows", sa.Text, nullable=False),
    sa.Column("uses", sa.Text, nullable=False),  # sorted, with blanks between
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), nullable=False),
    sa.Column("offered_at", Instant, nullable=False),
    sa.Column("became", sa.Text, nullable=False),
    sa.Column("decided_at", Instant),
    sa.Column("der", sa.LargeBinary, nullable=False),
    one_of("became", KEPT, "became"),
    sa.CheckConstraint("(decided_at IS NULL) = (became = 'waiting')", name="decided"),
)

desk = sa.Table(
    "desk",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    *grammar("code", f"code ~ '^{DESK_REGEX}$'", f"code GLOB '{DESK_GLOB}'"),
    one_of("standing", Standing, "standing"),
)

mandate = sa.Table(
    "mandate",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("sender", sa.Text, sa.ForeignKey("sender.code"), nullable=False),
    sa.Column("desk", sa.Text, sa.ForeignKey("desk.code"), nullable=False),
    sa.Column("territory", sa.Text, nullable=False),
    sa.Column("rights", sa.Text, nullable=False),  # sorted, with blanks between
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date),
    sa.UniqueConstraint("sender", "desk", "territory", "starts_on"),
    sa.CheckConstraint(
        f"(sender = '{CANARY_SENDER}') = (territory = '{CANARY_TERRITORY}')"
        f" AND (sender = '{CANARY_SENDER}') = ({of_canary_desk})"
        f" AND (sender <> '{CANARY_SENDER}' OR rights = '{Right.CREATION.value}')",
        name="canary_apart",
    ),
    sqlite_autoincrement=True,
)

# Of which environment the register is: from the beginning on, for ever.
installation = sa.Table(
    "installation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
    one_of("environment", Environment, "environment"),
)

# Whether unique numbers are given (register.issuing).
issuing = sa.Table(
    "issuing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stopped_at", Instant),
    sa.Column("stopped_by", sa.Text),
    sa.Column("stopped_why", sa.Text),
    sa.Column("reserved", sa.Boolean, nullable=False, server_default=sa.false()),  # whether numbers are (restoring)
    sa.CheckConstraint("id = 1", name="one_row"),
    sa.CheckConstraint(
        "(stopped_at IS NULL) = (stopped_by IS NULL) AND (stopped_at IS NULL) = (stopped_why IS NULL)",
        name="stopped_whole",
    ),
)

# When each key of the service serves; keys and certificates are files (core.service_keys).
service_key = sa.Table(
    "service_key",
    metadata,
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("use", sa.Text, nullable=False),
    sa.Column("active_from", Instant, nullable=False),
    sa.Column("retired_at", Instant),
    sa.PrimaryKeyConstraint("fingerprint", "use"),
    one_of("use", KeyUse, "use"),
)

# What proofs rest on, the enrolments and the revocation data that were fetched: who judged by others judges again.
trust_generation = sa.Table(
    "trust_generation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("revocations", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("id = 1", name="one_row"),
)
