"""What a territory manager has released: that a person may have a request beside another of the same name and birth.

A release is for one desk and one registration; the journal says who gave it and why.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from mailflow.core.numbers import DeskCode, Territory
from mailflow.register.identities import token_of
from mailflow.register.tables import homonym_release
from mailflow.register.transaction import Transaction, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """That this desk may register this person once, though somebody of the same identity has an active request."""

    territory: Territory
    key: str
    """`exact_key`; only its token is kept."""
    desk: DeskCode


async def grant(tx: Transaction, releases: Sequence[Release]) -> None:
    """Keep releases; one that is there already stays."""
    rows = [_row(tx, release) for release in releases]
    await tx.run(tx.insert(homonym_release).on_conflict_do_nothing(), rows)


async def granted(tx: Transaction, releases: Collection[Release]) -> set[Release]:
    """Those of `releases` that were granted and not used up."""
    asked = {tuple(_row(tx, release).values()): release for release in releases}
    found: set[Release] = set()
    table = homonym_release
    for batch in batches(sorted({token for _, token, _ in asked})):
        for row in await tx.all(sa.select(table).where(tx.among(table.c.token, batch))):
            if release := asked.get((row.territory, row.token, row.desk)):
                found.add(release)
    return found


async def use_up(tx: Transaction, releases: Sequence[Release]) -> None:
    """They have served."""
    table = homonym_release
    for release in releases:
        row = _row(tx, release)
        await tx.run(sa.delete(table).where(*(table.c[name] == value for name, value in row.items())))


def _row(tx: Transaction, release: Release) -> dict[str, str]:
    return {"territory": release.territory, "token": token_of(tx, release.key), "desk": release.desk}
