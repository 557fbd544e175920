"""The tables of attestations: those that were issued, and the reference data that they state."""

import sqlalchemy as sa

from mailflow.register.columns import key, metadata, serial
from mailflow.register.types import Instant

# Sealed under the request's content key. What the row tells in clear stays for good: which octets were issued, when.
attestation = sa.Table(
    "attestation",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("number", sa.Text, sa.ForeignKey("request.number"), nullable=False, index=True),
    sa.Column("token", sa.Text, nullable=False),  # of all that it states of the request: the same is issued once
    sa.Column("digest", sa.Text, nullable=False),  # SHA-256 of the PDF
    sa.Column("edition", sa.BigInteger, nullable=False),  # of the reference data
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), nullable=False, index=True),  # it goes with that mail
    sa.Column("issued_at", Instant, nullable=False),
    key(),
    sa.Column("content", sa.LargeBinary),
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_attestation_kept",
    attestation.c.token,
    unique=True,
    sqlite_where=attestation.c.content.is_not(None),
    postgresql_where=attestation.c.content.is_not(None),
)

reference_edition = sa.Table(
    "reference_edition",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("edition", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

landlord = sa.Table(
    "landlord",
    metadata,
    sa.Column("municipality", sa.Text, nullable=False),
    sa.Column("siren", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("municipality", "siren"),
)

commission = sa.Table(
    "commission",
    metadata,
    sa.Column("department", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("delay_months", sa.Integer, nullable=False),
    sa.CheckConstraint("delay_months > 0", name="delay_months"),
)
