"""Tables of the chain over the journal: a link for each entry, and the heads that were signed. Digests only."""

import sqlalchemy as sa

from mailflow.register.columns import metadata, serial

# No foreign key to the entry: a link must outlive whatever becomes of it.
journal_link = sa.Table(
    "journal_link",
    metadata,
    sa.Column("id", serial, primary_key=True, autoincrement=False),  # of the entry, or the last one of a gap
    sa.Column("gap_from", serial),
    sa.Column("digest", sa.LargeBinary),
    sa.Column("link", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("(gap_from IS NULL) = (digest IS NOT NULL)", name="entry_or_gap"),
)

journal_head = sa.Table(
    "journal_head",
    metadata,
    sa.Column("number", serial, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
)
