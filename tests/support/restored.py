"""A service that loses its register: mailbox and mail server go on, the register is that of a backup."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from mailflow.ledger import reckoning
from mailflow.ledger.differences import Kind
from mailflow.mail import composing, delivery, recovery, worker
from mailflow.mail.desk import open_answer
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.hindsight import Hindsight, Loss, survey
from mailflow.mail.mime import glance
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing
from mailflow.mail.recovery import Recovered, Recovery, WentOut
from mailflow.register import Register, issuing
from mailflow.register.restoring import JUMP
from mailflow.register.sequences import holes_in_numbers, of_numbers, passed_over
from mailflow.wire.dispatch import read_creations
from tests.support.databases import VAULT, Databases
from tests.support.doors import House
from tests.support.judging import dem_part, mailed, mairie, multipart, signed
from tests.support.operating import ACT
from tests.support.pki import shared_pki
from tests.support.records import rows


@dataclass(slots=True)
class FakeTrail:
    """`ports.Folder` over mails in memory, in the order in which they came there."""

    house: House
    name: str
    days: list[date]
    """On which each of them had come; the others are of today."""
    headless: set[int]
    """UIDs of which the server tells no header just now."""
    bodiless: set[int]
    """UIDs of which it does not give the octets."""
    asked: int = 0

    @property
    def account(self) -> str:
        return self.house.door().account

    def _mails(self) -> list[tuple[bytes, datetime]]:
        """Each with when it came."""
        if self.name == "Processed":
            return [(one.raw, one.received_at) for one in self.house.mailbox.folders.get("Processed", [])]
        return [(raw, self.house.mailbox.clock()) for raw in self.house.mailer.mailboxes.get("audit", [])]

    def _lying(self, uid: int) -> Lying:
        raw, at = self._mails()[uid - 1]
        return Lying(uid=uid, message_id=_as_the_server_has_it(raw), received_at=at, size_bytes=len(raw))

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:  # as the port says
        self.asked += 1
        days = [*self.days, *[self.house.now.date()] * len(self._mails())][: len(self._mails())]
        recent = [n for n, day in enumerate(days, 1) if since is None or day >= since]
        uids = tuple(range(recent[0], len(days) + 1)) if recent else ()
        return Listing(uidvalidity=1, uids=uids, uid_next=len(days) + 1)

    def date_all(self) -> None:
        """Those that are there have come by now."""
        self.days += [self.house.now.date()] * (len(self._mails()) - len(self.days))

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:  # likewise
        return [self._lying(uid) for uid in uids if uid not in self.headless]

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        raise AssertionError("it is only read")

    async def unmark(self, listing: Listing, uids: Sequence[int]) -> None:
        raise AssertionError("it is only read")

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        for uid in (uid for uid in uids if uid not in self.bodiless):
            raw, _ = self._mails()[uid - 1]
            yield FetchedMail(seen=self._lying(uid), uidvalidity=listing.uidvalidity, raw=raw, size_bytes=len(raw))

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Loser:
    """The house around the register of now, and how it goes back."""

    databases: Databases
    url: str
    house: House
    opened: list[Register] = field(default_factory=list)
    second: str = ""
    """URL of another copy of the backup."""
    days: dict[str, list[date]] = field(default_factory=lambda: defaultdict(list))
    headless: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    bodiless: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Likewise by folder: mails at which the server fails."""

    @property
    def trails(self) -> tuple[FakeTrail, FakeTrail]:
        processed, audit = (
            FakeTrail(self.house, name, self.days[name], self.headless[name], self.bodiless[name])
            for name in ("Processed", "audit")
        )
        return processed, audit

    def door(self) -> MailDoor:
        """Of a process that has just begun."""
        return replace(self.house.door(), hindsight=Hindsight(lambda: self.trails))

    async def back_up(self) -> str:
        """The URL of a copy."""
        await self.house.register.close()
        copy = self.databases.copy(self.url)
        self.use(self.url)
        return copy

    def use(self, url: str) -> None:
        """The register is this one from now on."""
        self.house.register = Register.open(url, VAULT)
        self.opened.append(self.house.register)

    async def work(self, door: MailDoor | None = None) -> Progress:
        """Everything that is due, to the answers; nothing new in a register that is known to be behind."""
        door, done = door or self.door(), Progress()
        while True:
            progress = Progress()
            for stage in (worker.receive, worker.process, composing.compose, delivery.deliver):
                progress += await stage(door)
            done += progress
            if not progress:
                for trail in self.trails:
                    trail.date_all()
                return done

    def told(self) -> list[tuple[str, int, str]]:
        """Every number that a desk was ever told: digest of the file, position, number; in the order of the answers."""
        key, ours = mairie().decryption_key, [shared_pki().service_ec.der]
        opened = [open_answer(mail.raw, [key], ours, self.house.now) for mail in self.house.mailer.accepted]
        files = [read_creations(octets) for one in opened for name, octets in one.files.items() if name[:3] == "RET"]
        return [(file.digest, position, number) for file in files for position, number in file.numbers]

    async def numbers(self) -> list[str]:
        found = await rows(self.house.register, "SELECT number FROM request ORDER BY number")
        return [row.number for row in found]


def _as_the_server_has_it(raw: bytes) -> str:
    """Whatever else the header holds."""
    fields = re.findall(rb"^Message-ID:.*\r\n", raw.partition(b"\r\n\r\n")[0] + b"\r\n", re.MULTILINE)
    return glance(b"".join(fields) + b"\r\n").message_id


def a_letter(*sequences: int, name: str = "") -> bytes:
    parts = [dem_part(sequence, surname="Nom" + chr(96 + sequence)) for sequence in sequences]
    raw = mailed(signed(multipart(*parts)))
    return raw.replace(b"<1@mairie.example>", f"<{name or sequences[0]}@mairie.example>".encode())


async def lose(loser: Loser) -> list[tuple[str, int, str]]:
    """A backup, then a time in which numbers go out, then the backup again. What was told in that time."""
    house = loser.house
    house.mailbox.deliver(a_letter(1))
    assert (await loser.work()).sent == 1
    house.mailbox.deliver(a_letter(2))
    door = loser.door()
    await worker.receive(door)  # taken in, and not decided when the backup is taken
    backup = await loser.back_up()
    loser.second = await loser.back_up()
    for sequences in ((3, 4), (5,)):
        house.mailbox.deliver(a_letter(*sequences))
        await loser.work()
    told = loser.told()[1:]
    assert len(told) == 4
    await house.register.close()
    loser.use(backup)
    return told


async def stopped(loser: Loser) -> str:
    async with loser.house.register.read() as tx:
        stop = await issuing.read(tx)
    return "" if stop is None else stop.by


async def what_went_out(loser: Loser) -> tuple[Loss, WentOut]:
    """What is lost, and what the answers of that time say; the desk's own key stands for the archive's."""
    _, audit = loser.trails
    loss, ours = await behind(loser), [shared_pki().service_ec.der]
    return loss, await recovery.read_answers(audit, loss, [mairie().decryption_key], ours, loser.house.now)


async def recover(loser: Loser, todo: Recovery) -> Recovered:
    processed, _ = loser.trails
    return await recovery.recover(loser.house.register, processed, todo, ACT, loser.house.now)


async def restored(loser: Loser) -> tuple[Loss, Recovered]:
    """As `mailflow restore` with the archive's key does it, whatever was lost."""
    loss, went_out = await what_went_out(loser)
    return loss, await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))


async def recovered(loser: Loser, *, jump: bool) -> Recovered:
    """As `mailflow restore` does it."""
    loss, went_out = await what_went_out(loser)
    assert len(loss.answers) == 3
    assert not went_out.sealed
    if jump:
        went_out = WentOut()
    return await recover(loser, Recovery(loss=loss, went_out=went_out, jump=JUMP if jump else 0))


async def behind(loser: Loser) -> Loss:
    return await survey(loser.house.register, *loser.trails)


async def resume(loser: Loser) -> None:
    async with loser.house.register.begin() as tx:
        assert await issuing.resume(tx, ACT, loser.house.now)


async def unexplained(loser: Loser) -> list[str]:
    """Numbers that `mailflow reconcile` would miss."""
    async with loser.house.register.read() as tx:
        known = {name: [one.stretch for one in found] for name, found in (await passed_over(tx)).items()}
        return [
            hole.subject
            for series in await of_numbers(tx)
            for hole in reckoning.holes(
                series, await holes_in_numbers(tx, series, 10), known.get(series.name, ()), Kind.HOLE
            )
        ]
