"""Mails held against the register, one mail and one row at a time: what each is, and what does not add up. Pure.

What was found is remembered by a bit for each row, and what was found too often by another, so that a million mails
take a quarter of a megabyte.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from mailflow.core.accounts import KnownMail, KnownOutgoing, Series, Stretch
from mailflow.ledger.differences import Difference, Kind
from mailflow.mail.model import Lying


class Place(StrEnum):
    """A folder of the mailbox, by what it is for."""

    INBOX = "inbox"
    PROCESSED = "processed"
    QUARANTINE = "quarantine"


class Status(StrEnum):
    """What a mail in a folder is, on the sheet."""

    KNOWN = "on record"
    WAITING = "not taken in yet"
    UNKNOWN = "not on record"
    FURTHER = "once more"


class Bits:
    """A set of identifiers from 1 on."""

    def __init__(self, most: int) -> None:
        self._octets = bytearray(most // 8 + 1)

    def add(self, number: int) -> bool:
        """Whether it was not in it."""
        octet, bit = divmod(number, 8)
        if octet >= len(self._octets):
            self._octets.extend(bytes(octet + 1 - len(self._octets)))
        was_in = bool(self._octets[octet] >> bit & 1)
        self._octets[octet] |= 1 << bit
        return not was_in

    def __contains__(self, number: int) -> bool:
        octet, bit = divmod(number, 8)
        return octet < len(self._octets) and bool(self._octets[octet] >> bit & 1)

    def __bool__(self) -> bool:
        return any(self._octets)


def header_tells(known: Sequence[KnownMail], doubted: Bits) -> bool:
    """Whether its header, which all of these have, tells what a mail is: of those that are alike it may be any."""
    return len({one.digest for one in known}) == 1 and not any(one.id in doubted for one in known)


def alike(known: Sequence[KnownMail], digest: str | None, size_bytes: int) -> list[KnownMail]:
    """Those that a mail of these octets may be; of what was too large to be read, then or now, the size has to tell."""
    return [one for one in known if (one.digest == digest if one.digest and digest else one.size_bytes == size_bytes)]


class MailAccount:
    """Mails of the folders, looked at in the order in which they are moved: inbox first, processed last.

    So one that is moved meanwhile is seen once or twice, and never not at all.
    """

    def __init__(self, last: int, folders: Mapping[Place, str], settled_before: datetime) -> None:
        self._found = Bits(last)
        self.contested = Bits(last)
        """What more mails may be than were delivered: some are copies, or others that are like it by the header."""
        self._in_inbox: dict[int, int] = {}
        """UIDs, by intake."""
        self._folders = folders
        self._settled_before = settled_before
        self.statuses: Counter[tuple[Place, Status]] = Counter()
        self.differences: list[Difference] = []

    def see(
        self, place: Place, mail: Lying, candidates: Sequence[KnownMail], *, exact: bool = False, marked: bool = False
    ) -> None:
        """One mail, with all that it may be on record as. `exact`: it is that very one, under its UID in the inbox."""
        known = next((one for one in _in_order(candidates) if self._found.add(one.id)), None)
        if known is None or known.repeats:
            for one in candidates:
                self.contested.add(one.id)
        if place is Place.INBOX:
            self._see_in_inbox(mail, known, candidates, exact=exact, marked=marked)
        elif known is not None:
            self._count(place, Status.KNOWN)
            if (place is Place.PROCESSED) is not known.is_whole:
                self._tell(Kind.MISPLACED, place, mail, known)
        elif candidates:
            self._count(place, Status.FURTHER)
            twin = next((self._in_inbox[one.id] for one in candidates if one.id in self._in_inbox), None)
            self._tell(Kind.TWICE, place, mail, candidates[0], twin=twin)
        else:
            self._count(place, Status.UNKNOWN)
            self._tell(Kind.UNKNOWN, place, mail)

    def _see_in_inbox(
        self, mail: Lying, known: KnownMail | None, candidates: Sequence[KnownMail], *, exact: bool, marked: bool
    ) -> None:
        for one in candidates if known is None else [known]:
            self._in_inbox.setdefault(one.id, mail.uid)
        if exact:
            self._count(Place.INBOX, Status.KNOWN)
            self._tell(Kind.LEFT, Place.INBOX, mail, candidates[0])
            return
        self._count(Place.INBOX, Status.WAITING)
        if marked and not candidates:
            self._tell(Kind.MARKED, Place.INBOX, mail)
        elif not marked and mail.received_at < self._settled_before:
            self._tell(Kind.WAITS, Place.INBOX, mail)

    def missing(self, expected: Sequence[KnownMail]) -> None:
        """A page of those that should lie in one of the folders, once all were looked through."""
        for one in expected:
            if not one.repeats and one.id not in self._found:
                self.differences.append(Difference(kind=Kind.NOWHERE, subject=f"intake {one.id}", intake=one.id))

    def _count(self, place: Place, status: Status) -> None:
        self.statuses[place, status] += 1

    def _tell(
        self, kind: Kind, place: Place, mail: Lying, known: KnownMail | None = None, twin: int | None = None
    ) -> None:
        folder = self._folders[place]
        intake = known.id if known else None
        said = f"{folder} {mail.uid}" + (f", intake {intake}" if intake else "")
        self.differences.append(Difference(kind=kind, subject=said, folder=folder, mail=mail, intake=intake, twin=twin))


def _in_order(candidates: Sequence[KnownMail]) -> Sequence[KnownMail]:
    """A mail is the first delivery that it may be; the same delivery seen again stands for no mail of its own."""
    return sorted(candidates, key=lambda one: (one.repeats, one.id))


class CopyAccount:
    """Copies in the audit mailbox, and what should have one."""

    def __init__(self, last: int, folder: str, domain: str, token_characters: int, *, restored: int = 0) -> None:
        """`restored`: the UID up to which `mailflow restore` accounted for what a register that was lost had sent."""
        self._found = Bits(last)
        self._more: Counter[int] = Counter()
        self._folder = folder
        self._restored = restored
        self._end = f"@{domain}>"
        self._length = token_characters + len(self._end) + 1
        self.ours = 0
        self.others = 0
        """What is no mail of this service: whoever knows the address may write to it."""
        self.differences: list[Difference] = []

    def see(self, copy: Lying, known: KnownOutgoing | None, body_digest: str | None = None) -> None:
        """One copy; `body_digest` when its body was read."""
        if known is None:
            if len(copy.message_id) == self._length and copy.message_id.endswith(self._end):
                self.ours += 1
                if copy.uid > self._restored:
                    self._tell(Kind.COPY_UNKNOWN, copy)
            else:
                self.others += 1
            return
        self.ours += 1
        if body_digest is not None and known.body_digest is not None and body_digest != known.body_digest:
            self._tell(Kind.COPY_ALTERED, copy, known)
            return
        if not self._found.add(known.id):
            self._more[known.id] += 1
        copies = 1 + self._more[known.id]
        if known.waits:
            if copies == known.copies_before + 1:
                self._tell(Kind.UNRECORDED, copy, known)
        elif copies > known.sends > 0:
            self._tell(Kind.COPY_TWICE, copy, known)

    def missing(self, expected: Sequence[KnownOutgoing]) -> None:
        """A page of those that have left, once all copies were looked at."""
        self.differences += [
            Difference(
                kind=Kind.COPY_MISSING,
                subject=f"outgoing {one.id}",
                outgoing=one.id,
                message_id=one.message_id,
                sends=one.sends,
            )
            for one in expected
            if one.id not in self._found
        ]

    def _tell(self, kind: Kind, copy: Lying, known: KnownOutgoing | None = None) -> None:
        said = f"{self._folder} {copy.uid}" + (f", outgoing {known.id}" if known else "")
        self.differences.append(
            Difference(
                kind=kind,
                subject=said,
                folder=self._folder,
                mail=copy,
                outgoing=known.id if known else None,
                message_id=copy.message_id,
            )
        )


# Sequences


def adds_up(series: Series) -> bool:
    """From 1 to where the counter stands each exists once."""
    return series.counter == series.highest == series.count == series.rows


def holes(series: Series, missing: Sequence[Stretch], explained: Sequence[Stretch], kind: Kind) -> Iterator[Difference]:
    """What is missing and no record explains."""
    for stretch in missing:
        for left in _without(stretch, explained):
            yield Difference(kind=kind, subject=f"{series.name}: {left}")


def covered(stretches: Sequence[Stretch]) -> int:
    """How many they are together; what lies in several counts once."""
    total, end = 0, 0
    for one in sorted(stretches, key=lambda one: one.first):
        total += max(0, one.last - max(end, one.first - 1))
        end = max(end, one.last)
    return total


def _without(stretch: Stretch, explained: Sequence[Stretch]) -> list[Stretch]:
    left = [stretch]
    for one in explained:
        left = (
            [
                part
                for whole in left
                for part in (
                    Stretch(whole.first, min(whole.last, one.first - 1)),
                    Stretch(max(whole.first, one.last + 1), whole.last),
                )
                if part.length > 0
            ]
            if one.first <= one.last
            else left
        )
    return sorted(set(left))


def counter_behind(series: Series, kind: Kind) -> Iterator[Difference]:
    """The counter would give again what exists."""
    if series.rows and (series.counter or 0) < series.highest:
        said = f"{series.name}: stands at {series.counter or 0}, and {series.highest} exists"
        yield Difference(kind=kind, subject=said)
