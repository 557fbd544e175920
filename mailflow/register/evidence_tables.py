"""Tables of the evidence that mails were rightly accepted: what is of one mail, and what mails share. Added to only.

No foreign keys, and nothing that is erased with a mail: evidence outlives what it is of. Of persons it holds what is
enrolled and what certificates of desks say.
"""

import sqlalchemy as sa

from mailflow.core.evidence import ExhibitKind
from mailflow.register.columns import metadata, one_of, serial
from mailflow.register.types import Instant

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("intake_id", serial, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("judged_at", Instant, nullable=False),
    sa.Column("basis", sa.LargeBinary, nullable=False),
    sa.Column("checklist", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

exhibit = sa.Table(
    "exhibit",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),  # SHA-256 of the content
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    one_of("kind", ExhibitKind, "kind"),
)
