"""The register as it stood when a mail was decided, rebuilt from what is kept: requests from their histories, files.

What was erased since cannot be rebuilt. Nor can NIR, of which only the present ones are kept, or releases of homonyms.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.register import files, history, nir, requests
from mailflow.register.history import Entry, KeptEntry
from mailflow.register.requests import StoredRequest
from mailflow.register.tables import file, intake, journal
from mailflow.register.transaction import Transaction, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a mail was decided."""

    intake: int
    at: datetime
    earlier: frozenset[int]
    """The mails that the same transaction decided before it."""

    def follows(self, kept: KeptEntry) -> bool:
        """Whether this entry of a history was there already."""
        origin = kept.entry.origin
        if kept.at != self.at or origin is None:
            return kept.at < self.at
        return origin.intake_id in self.earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request as it stood at a moment."""

    stored: StoredRequest
    entries: tuple[Entry, ...]
    """Its history until then."""
    content_now: bytes | None = field(repr=False)
    nirs_now: dict[str, str] = field(repr=False)

    @property
    def erased(self) -> bool:
        """Nobody can say any more what it said."""
        return self.stored.payload is None

    @property
    def rebuilt(self) -> bool:
        """Whether it has said something else since."""
        return self.stored.payload != self.content_now


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFile:
    """A file that had bound its name."""

    desk: DeskCode
    name: str
    digest: str
    receipt: bytes = field(repr=False)
    """Empty once it was erased."""


def contents(stored: StoredRequest, kept: Sequence[KeptEntry]) -> list[bytes | None]:
    """What a request said after each entry of its history; None once that was erased."""
    said: list[bytes | None] = []
    now = stored.payload
    for entry in reversed(kept):
        said.append(now)
        now = entry.entry.content_before if entry.entry.content_before is not None else now
    return said[::-1]


async def requests_at(tx: Transaction, numbers: Collection[str], moment: Moment) -> dict[UniqueNumber, PastRequest]:
    """Those requests of `numbers` that were there, as they stood."""
    present = await requests.find_all(tx, numbers)
    lives = await history.of_numbers(tx, present)
    given = await nir.of(tx, [stored.id for stored in present.values()])
    found: dict[UniqueNumber, PastRequest] = {}
    for number, stored in present.items():
        kept = lives[number]
        made = _length(kept, moment)
        if made == 0:
            continue
        entries = tuple(one.entry for one in kept[:made])
        found[number] = PastRequest(
            stored=replace(
                stored,
                life=entries[-1].life,
                revision=entries[-1].revision,
                dated_at=max(entry.dated_at for entry in entries if entry.origin is not None),
                payload=contents(stored, kept)[made - 1],
            ),
            entries=entries,
            content_now=stored.payload,
            nirs_now=given.get(stored.id, {}),
        )
    return found


def _length(kept: Sequence[KeptEntry], moment: Moment) -> int:
    """How many of these entries were there: those before the mail's own, else those that were made before."""
    own = [at for at, one in enumerate(kept) if one.entry.origin and one.entry.origin.intake_id == moment.intake]
    later = (at for at, one in enumerate(kept) if not moment.follows(one))
    return own[0] if own else next(later, len(kept))


async def files_at(
    tx: Transaction, names: Collection[tuple[str, str]], digests: Collection[tuple[str, str]], moment: Moment
) -> list[PastFile]:
    """The files of these (desk, name) and (desk, digest) that had been decided, in order."""
    named: dict[int, tuple[str, str, str]] = {}
    for column, wanted in ((file.c.name, set(names)), (file.c.digest, set(digests))):
        for batch in batches(sorted({value for _, value in wanted})):
            statement = (
                sa.select(file.c.id, file.c.desk, file.c.name, file.c.digest, column.label("value"))
                .add_columns(file.c.intake_id, intake.c.settled_at)
                .join(intake, intake.c.id == file.c.intake_id)
                .where(tx.among(column, batch), file.c.intake_id != moment.intake, intake.c.settled_at <= moment.at)
            )
            named |= {
                row.id: (row.desk, row.name, row.digest)
                for row in await tx.all(statement)
                if (row.desk, row.value) in wanted and (row.settled_at < moment.at or row.intake_id in moment.earlier)
            }
    stored = await files.by_name(tx, {(desk, name) for desk, name, _ in named.values()})
    return [
        PastFile(desk=DeskCode(desk), name=name, digest=digest, receipt=stored[desk, name].receipt)
        for _, (desk, name, digest) in sorted(named.items())
    ]


async def released_beside(tx: Transaction, numbers: Collection[str]) -> set[tuple[str, str]]:
    """(number, desk) where a manager has let the desk register a homonym beside the request of that number."""
    found: set[tuple[str, str]] = set()
    for batch in batches(sorted(numbers)):
        statement = sa.select(journal.c.number, journal.c.desk).where(
            tx.among(journal.c.number, batch), journal.c.kind == "homonym-released"
        )
        found |= {(row.number, row.desk) for row in await tx.all(statement)}
    return found
