"""The journal as a chain: what each link is over, and what a signed head of it says.

Every entry has a link: SHA-256 over the link before it, its id and the digest of its columns. So no entry can be
changed, taken out or put in without every later link being made anew, and then the next signed head is another.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Protocol

from mailflow.core.service_keys import ServiceKey

BEFORE_ALL = bytes(32)
"""What stands before the first link, and before the first head."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain."""

    id: int
    """Of the entry, or the last one of a gap."""
    digest: bytes | None
    """Of the entry; None: of these ids no entry was ever committed."""
    link: bytes
    gap_from: int | None = None
    """The first id of a gap."""

    @property
    def first(self) -> int:
        """The first id that this link is of."""
        return self.id if self.gap_from is None else self.gap_from


NO_LINK = Link(0, None, BEFORE_ALL)
"""Before the first one."""


def digest_of(columns: Mapping[str, str | None]) -> bytes:
    """Of an entry: of all its columns but the id, each as text.

    What is NULL is left out, so that a column that is added one day changes no digest.
    """
    known = {name: value for name, value in columns.items() if value is not None}
    return hashlib.sha256(json.dumps(known, sort_keys=True, separators=(",", ":")).encode()).digest()


def link_after(before: bytes, first: int, last: int, digest: bytes | None) -> bytes:
    """The link of an entry (`first` is `last`), or of a gap, behind the link `before`."""
    ids = first.to_bytes(8, signed=True) + last.to_bytes(8, signed=True)
    return hashlib.sha256(before + ids + (digest or b"")).digest()


def chained(last: Link, entries: Iterable[tuple[int, bytes]], settled: int) -> list[Link]:
    """Links of these entries (id and digest, in the order of ids) behind `last`.

    Up to `settled` an id that is missing will never come. Behind it one may belong to an entry that is not committed
    yet: there the chain ends for now.
    """
    links: list[Link] = []
    for id_, digest in entries:
        if id_ > last.id + 1:
            if id_ - 1 > settled:
                break
            first = last.id + 1
            last = Link(id_ - 1, None, link_after(last.link, first, id_ - 1, None), first)
            links.append(last)
        last = Link(id_, digest, link_after(last.link, id_, id_, digest))
        links.append(last)
    return links


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is signed: how far the chain has come on a day."""

    number: int
    """1, 2, 3 …"""
    day: date
    environment: str
    position: int
    """The id of the last link."""
    entries: int
    """How many entries are in the chain."""
    link: str
    """The last link, in hexadecimal: it stands for all that comes before it."""
    previous: str
    """SHA-256 of the head before this one as it was signed, in hexadecimal."""

    def written(self) -> bytes:
        """As it is signed: JSON, its keys sorted."""
        facts = asdict(self) | {"day": self.day.isoformat()}
        return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def read_head(document: bytes) -> Head:
    """Raises ValueError when it is not exactly what is written of a head."""
    try:
        facts = json.loads(document)
        head = Head(**facts | {"day": date.fromisoformat(facts["day"])})
        said, links = head.written(), (bytes.fromhex(head.link), bytes.fromhex(head.previous))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a head") from error
    numbers = (head.number, head.position, head.entries)
    if said != document or any(len(link) != 32 for link in links) or not all(type(n) is int for n in numbers):
        raise ValueError("not a head")
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    """A head as it is kept."""

    number: int
    day: str
    """As ISO 8601 writes it, while nobody has put something else there."""
    signed: bytes
    """CMS SignedData in DER, with the document in it: one file that proves itself."""

    @property
    def digest(self) -> str:
        """By which the next head names it."""
        return hashlib.sha256(self.signed).hexdigest()


class Notary(Protocol):
    """Signs heads with the key of the service, and proves that it did."""

    def sign(self, document: bytes, at: datetime, keys: Collection[ServiceKey] = ()) -> bytes:
        """With the key that signs then; `keys` are those on record.

        Raises Misconfigured when the key cannot be used.
        """
        ...

    def open(self, signed: bytes, at: datetime) -> Head | None:
        """None: it is no head, or none that the service signed. `at` decides which algorithms are permitted.

        Raises Misconfigured when the service's certificates cannot be read.
        """
        ...
