"""The table of the revocation data that are fetched: lists and OCSP answers, as their authorities signed them."""

import sqlalchemy as sa

from mailflow.core.revocation import Says, SourceKind
from mailflow.register.columns import metadata, one_of
from mailflow.register.types import Instant

revocation = sa.Table(
    "revocation",
    metadata,
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),  # SHA-256 of the certificate that is asked about; of a list: empty
    sa.Column("etag", sa.Text),
    sa.Column("modified", sa.Text),
    sa.Column("says", sa.Text),
    sa.Column("published", Instant),
    sa.Column("expires", Instant),
    sa.Column("fetched_at", Instant),  # when the server last said that this is what there is
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", Instant),
    sa.Column("failure", sa.Text),
    sa.Column("octets", sa.LargeBinary),
    sa.PrimaryKeyConstraint("kind", "url", "about"),
    sa.CheckConstraint(
        "(octets IS NULL) = (fetched_at IS NULL) AND (octets IS NULL) = (published IS NULL)"
        " AND (octets IS NULL) = (expires IS NULL)",
        name="whole",
    ),
    sa.CheckConstraint(
        "(failures = 0) = (failing_since IS NULL) AND (failures = 0) = (failure IS NULL)", name="failing"
    ),
    sa.CheckConstraint("(says IS NOT NULL) = (kind = 'answer' AND octets IS NOT NULL)", name="answer"),
    one_of("kind", SourceKind, "kind"),
    one_of("says", Says, "says"),
)
