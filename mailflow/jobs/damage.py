"""Whether the journal is what was sealed: what is broken, and where. Looks at one entry and one link at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mailflow.core.chain import BEFORE_ALL, Head, KeptHead, Link, link_after

HELD_MAX = 10_000
"""Changed entries that are compared with each other, to find those that changed places."""


class Damage(StrEnum):
    """What can be wrong."""

    CHANGED = "changed"
    """An entry is not what was sealed."""
    MISSING = "missing"
    """Entries that were sealed are not there."""
    SWAPPED = "swapped"
    """Two entries stand in each other's place."""
    INSERTED = "inserted"
    """An entry stands where none was when the chain went past."""
    NOT_SEALED = "not sealed"
    """Entries have no link: it was taken away, or none was made in time."""
    LINK_CHANGED = "link changed"
    """A link does not follow from the one before it; the entry itself was not found to be changed."""
    REWRITTEN = "rewritten"
    """The chain is not the one that a head was signed over: entries were changed, and their links made anew."""
    HEAD_FORGED = "head forged"
    """A head was not signed by the service, or not as it stands there now."""
    HEAD_MISSING = "head missing"
    """A head was taken away, or none was signed in time."""


SENTENCES = {
    Damage.CHANGED: "is not what was sealed",
    Damage.MISSING: "was sealed and is not there any more",
    Damage.SWAPPED: "stand in each other's place",
    Damage.INSERTED: "stands where there was none when the chain went past",
    Damage.NOT_SEALED: "has no link: it was taken away, or nothing has sealed the journal for an hour",
    Damage.LINK_CHANGED: "has a link that does not follow from the one before it",
    Damage.REWRITTEN: "was changed, taken out or put in, at least one of them, and the chain was made anew behind it",
    Damage.HEAD_FORGED: "was not signed by this service, or is not the one that was signed",
    Damage.HEAD_MISSING: "is not there: it was taken away, or nothing was signed for two days",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    what: Damage
    first: int
    """Id of an entry, or number of a head."""
    last: int
    """The same one, or the last one that it is true of; of two that are swapped the other."""

    def __str__(self) -> str:
        """For the operator, in plain words."""
        thing, things = ("head", "heads") if self.what in {Damage.HEAD_FORGED, Damage.HEAD_MISSING} else _ENTRIES
        if self.first == self.last:
            named = f"{thing} {self.first}"
        elif self.what is Damage.SWAPPED:
            named = f"{things} {self.first} and {self.last}"
        else:
            named = f"{things} {self.first} to {self.last}"
        return f"{self.what.value}: {named}: {SENTENCES[self.what]}"


_ENTRIES = ("entry", "entries")


@dataclass(slots=True)
class Examination:
    """Compares entries with links, in the order of ids, and with what heads say.

    `heads`: those that can be trusted, the lowest position first; `end`: the id of the last link.
    """

    end: int
    heads: Sequence[Head]
    _at: int = 0
    """Up to here every id is accounted for."""
    _befores: tuple[bytes, ...] = (BEFORE_ALL,)
    """What the next link may follow: the last one as it is kept and, where that was wrong, as it should be, by the
    digest that is kept or that of the entry."""
    _unlinked: list[tuple[int, bytes]] = field(default_factory=list)
    """Entries without a link, until the next link tells whether they ever had one."""
    _changed: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    """Sealed and found digest of entries that were changed."""
    _agreed: int = 0
    """Up to where heads were compared."""
    _compared: int = 0
    """How many of them."""

    def see(self, id_: int, found: bytes | None, link: Link | None) -> Iterator[Finding]:
        """The next id, up to the end, that has an entry (its digest is `found`), a link, or both."""
        if id_ < 1:
            yield Finding(Damage.INSERTED, id_, id_)
        elif link is not None:
            inside = [one for one, _ in self._unlinked if one >= link.first]
            self._unlinked = self._unlinked[: len(self._unlinked) - len(inside)]
            yield from self._not_sealed()
            yield from self._hole(link.first)
            yield from (Finding(Damage.INSERTED, one, one) for one in inside)
            if found is None and link.digest is not None:
                yield Finding(Damage.MISSING, id_, id_)
            elif found is not None and link.digest is None:
                yield Finding(Damage.INSERTED, id_, id_)
            elif found is not None and link.digest is not None and found != link.digest:
                yield from self._was_changed(id_, link.digest, found)
            yield from self._follows(link, found)
        elif found is not None:
            self._unlinked.append((id_, found))
            if len(self._unlinked) >= HELD_MAX:
                yield from self._not_sealed()

    def ended(self) -> Iterator[Finding]:
        """What only the end of the chain tells."""
        for id_ in sorted(self._changed.values()):
            yield Finding(Damage.CHANGED, id_, id_)
        beyond = max((head.position for head in self.heads), default=0)
        if beyond > self.end:
            yield Finding(Damage.MISSING, self.end + 1, beyond)

    def _not_sealed(self) -> Iterator[Finding]:
        for id_, found in self._unlinked:
            yield from self._hole(id_)
            yield Finding(Damage.NOT_SEALED, id_, id_)
            if self._befores:
                self._befores = (self._befores[0], link_after(self._befores[-1], id_, id_, found))
            yield from self._compare_heads(id_)
        self._unlinked.clear()

    def _hole(self, id_: int) -> Iterator[Finding]:
        """Ids that have neither entry nor link, though links follow: both were taken out."""
        if id_ > self._at + 1:
            yield Finding(Damage.MISSING, self._at + 1, id_ - 1)
            self._befores = ()
            while self._compared < len(self.heads) and self.heads[self._compared].position < id_:
                self._compared += 1
            self._at = self._agreed = id_ - 1

    def _follows(self, link: Link, found: bytes | None) -> Iterator[Finding]:
        """Whether the link follows from the one before; when that is not known it is believed."""
        expected = [link_after(before, link.first, link.id, link.digest) for before in self._befores]
        if not expected or link.link in expected:
            self._befores = (link.link,)
        else:
            yield Finding(Damage.LINK_CHANGED, link.id, link.id)
            as_found = link_after(self._befores[-1], link.first, link.id, found)
            self._befores = (link.link, expected[-1], as_found)
        yield from self._compare_heads(link.id)

    def _was_changed(self, id_: int, sealed: bytes, found: bytes) -> Iterator[Finding]:
        other = self._changed.pop((found, sealed), None)
        if other is not None:
            yield Finding(Damage.SWAPPED, other, id_)
        elif len(self._changed) >= HELD_MAX or (sealed, found) in self._changed:
            yield Finding(Damage.CHANGED, id_, id_)
        else:
            self._changed[sealed, found] = id_

    def _compare_heads(self, id_: int) -> Iterator[Finding]:
        """A head was signed over a link: over this one, or over one that is not there any more."""
        self._at = id_
        while self._compared < len(self.heads) and self.heads[self._compared].position <= id_:
            head = self.heads[self._compared]
            self._compared += 1
            if head.position < id_ or (self._befores and bytes.fromhex(head.link) not in self._befores):
                yield Finding(Damage.REWRITTEN, self._agreed + 1, head.position)
            self._agreed = head.position


def examine_heads(kept: Sequence[tuple[KeptHead, Head | None]]) -> tuple[list[Head], list[Finding]]:
    """The heads that can be trusted, and what is wrong with the others.

    Each comes with what it says, when the service has signed it. It must also be the one that the next head names: so
    nobody who gets a former key can make another one of its time.
    """
    trusted: list[Head] = []
    findings: list[Finding] = []
    named: str | None = None
    """The digest that the next head says, where that one can be trusted."""
    below: int | None = None
    for one, head in reversed(kept):
        if below is not None and one.number < below - 1:
            findings.append(Finding(Damage.HEAD_MISSING, one.number + 1, below - 1))
            named = None
        below = one.number
        if head and (head.number, head.day.isoformat()) == (one.number, one.day) and named in {None, one.digest}:
            trusted.append(head)
            named = head.previous
        else:
            findings.append(Finding(Damage.HEAD_FORGED, one.number, one.number))
            named = None
    if below is not None and below > 1:
        findings.append(Finding(Damage.HEAD_MISSING, 1, below - 1))
    return trusted[::-1], findings[::-1]
