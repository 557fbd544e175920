"""Attestations go along with the answer; what states the same facts is issued once, whatever has changed since."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mailflow.attestation import Attestation
from mailflow.core.reference import Landlord
from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, worker
from mailflow.mail.desk import joined, open_answer
from mailflow.mail.door import MailDoor, Pace, Progress
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.pool import TaskFailed
from mailflow.register import Register, Transaction, attestations, directory, piecemeal, reference
from tests.support.attestations import text
from tests.support.doors import PACE, House, InProcess
from tests.support.fake_mailer import Fate
from tests.support.judging import a_mail, dem_part, mairie
from tests.support.pki import shared_pki
from tests.support.records import execute, lose_keys, rows

FIRST = "ATT59123-202603021000-000001.pdf"


@dataclass(slots=True)
class Counting(InProcess):
    """Counts what is typeset; `spoilt` cannot be."""

    typeset_for: list[str] = field(default_factory=list)
    portions: list[int] = field(default_factory=list)
    spoilt: str = ""

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        self.portions.append(len(attestations))
        if any(one.number == self.spoilt for one in attestations):
            raise TaskFailed("cannottypeset", "typesetter.py-1")
        self.typeset_for += [one.number for one in attestations]
        return await InProcess.typeset(self, attestations, at)


@pytest.fixture
async def house(register: Register) -> House:
    made = House(register, judges=Counting())
    await made.enrol()
    return made


def counting(house: House) -> Counting:
    assert isinstance(house.judges, Counting)
    return house.judges


async def run(house: House) -> None:
    """All stages, until nothing is left."""
    door = house.door()
    while sum([await stage(door) for stage in (worker.receive, worker.process, composing.compose)], Progress()):
        pass
    while await delivery.deliver(door):
        pass


def answers(house: House) -> list[dict[str, bytes]]:
    """The files of each answer, in order."""
    key, certificates = mairie().decryption_key, [shared_pki().service_ec.der]
    opened = [open_answer(mail.raw, [key], certificates, house.now) for mail in house.mailer.accepted]
    return [dict(answer.files) for answer in opened]


async def test_each_request_that_was_registered_has_its_attestation(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1, surname="Durand", count=2)))
    await run(house)
    (answer,) = answers(house)
    pdfs = {name: octets for name, octets in answer.items() if name.startswith("ATT")}
    assert list(pdfs) == [FIRST, "ATT59123-202603021000-000002.pdf"]
    numbers = [row.number for row in await rows(house.register, "SELECT number FROM request ORDER BY number")]
    for number, pdf in zip(numbers, pdfs.values(), strict=True):
        assert pdf.startswith(b"%PDF-")
        assert number in text(pdf)
        assert "mairie" in text(pdf)


async def test_what_is_refused_has_none(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1)))
    house.mailbox.deliver(a_mail(dem_part(2, count=2)))
    await run(house)
    _, answer = answers(house)
    assert [name for name in answer if name.startswith("ATT")] == ["ATT59123-202603021000-000002.pdf"]


async def test_a_repeat_has_the_same_octets_whatever_has_changed_since(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1)))
    await run(house)
    change = directory.Change(by="operator", why="moved", at=house.now)
    loading = reference.Loading(name="bailleurs.csv", digest="d", by="operator", why="", at=house.now)
    async with house.register.begin() as tx:
        await directory.amend_desk(
            tx, mairie().enrolment().mandates[0].desk, name="Elsewhere", address="x", change=change
        )
        await reference.replace_landlords(
            tx, [Landlord(municipality="59350", siren="123456789", name="Vilogia")], loading
        )
    house.mailbox.deliver(a_mail(dem_part(1)))
    house.mailbox.deliver(a_mail(dem_part(7)))
    await run(house)
    first, again, renamed = answers(house)
    assert again[FIRST] == first[FIRST]
    assert renamed[FIRST] == first[FIRST]
    assert len(counting(house).typeset_for) == 1


async def test_two_copies_that_are_answered_together_have_one(house: House) -> None:
    for _ in range(2):
        house.mailbox.deliver(a_mail(dem_part(1)))
    await run(house)
    first, again = answers(house)
    assert again[FIRST] == first[FIRST]
    assert len(counting(house).typeset_for) == 1


async def test_reference_data_of_the_day_are_stated_and_on_record(house: House) -> None:
    loading = reference.Loading(name="bailleurs.csv", digest="d", by="operator", why="", at=house.now)
    async with house.register.begin() as tx:
        await reference.replace_landlords(
            tx, [Landlord(municipality="59350", siren="123456789", name="Vilogia")], loading
        )
    house.mailbox.deliver(a_mail(dem_part(1)))
    await run(house)
    (answer,) = answers(house)
    assert "Vilogia" in text(answer[FIRST])
    (row,) = await rows(house.register, "SELECT edition, digest FROM attestation")
    assert (row.edition, row.digest) == (2, hashlib.sha256(answer[FIRST]).hexdigest())


async def test_one_that_cannot_be_typeset_holds_up_no_other(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1, surname="Durand")))
    house.mailbox.deliver(a_mail(dem_part(2, surname="Martin")))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    (one, _) = [row.number for row in await rows(house.register, "SELECT number FROM request ORDER BY number")]
    counting(house).spoilt = one
    assert await composing.compose(door) == Progress(composed=1)
    states = [row.state for row in await rows(house.register, "SELECT state FROM outbox ORDER BY id")]
    assert states == ["queued", "composed"]
    counting(house).spoilt = ""
    house.now += timedelta(hours=1)
    assert await composing.compose(door) == Progress(composed=1)


async def test_many_are_typeset_portion_by_portion(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailflow.mail.issuing.PORTION", 2)
    house.mailbox.deliver(a_mail(dem_part(1, count=5)))
    await run(house)
    assert counting(house).portions == [2, 2, 1]
    (answer,) = answers(house)
    assert len([name for name in answer if name.startswith("ATT")]) == 5


async def test_a_kill_in_the_middle_costs_one_portion(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailflow.mail.issuing.PORTION", 2)

    class Killed(Counting):
        async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
            if self.portions:
                raise KeyboardInterrupt
            return await Counting.typeset(self, attestations, at)

    house.mailbox.deliver(a_mail(dem_part(1, count=3)))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    killed = replace(door, judges=Killed(served=house.judges.served))
    with pytest.raises(KeyboardInterrupt):
        await composing.compose(killed)
    house.now += timedelta(hours=1)
    await run(house)
    assert counting(house).portions == [1]


SMALL = replace(PACE, mail_bytes_max=300_000)


async def composed_in_small_mails(
    house: House, monkeypatch: pytest.MonkeyPatch, *, together: int = 100, pace: Pace = SMALL
) -> MailDoor:
    """Six requests are decided; their answer is composed by a door whose mails are small."""
    monkeypatch.setattr("mailflow.mail.composing.ATTESTATIONS_MAX", together)
    house.judges = Counting(mail_bytes_max=pace.mail_bytes_max)
    house.mailbox.deliver(a_mail(dem_part(1, count=6)))
    door = house.door(pace=pace)
    await worker.receive(door)
    await worker.process(door)
    return door


async def deliver_all(door: MailDoor) -> None:
    """One part after the other, over as many turns as it takes."""
    while await delivery.deliver(door):
        pass


def enclosed(parts: Sequence[Mapping[str, bytes]]) -> list[str]:
    return sorted(name for part in parts for name in part if name.startswith("ATT"))


SIX = [f"ATT59123-202603021000-{n:06}.pdf" for n in range(1, 7)]


async def test_an_answer_that_is_too_large_has_them_in_mails_of_their_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await composed_in_small_mails(house, monkeypatch)
    assert await composing.compose(door) == Progress(composed=1)
    await deliver_all(door)
    parts = answers(house)
    assert len(parts) > 2
    assert enclosed(parts[:1]) == []
    assert enclosed(parts) == SIX


async def test_no_part_leaves_before_the_first_one_which_tells_the_numbers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By it alone a register that has lost its latest time knows what went out, and to whom."""
    door = await composed_in_small_mails(house, monkeypatch, together=2)
    await killed_after(3, house, door)
    assert not await delivery.deliver(door), "some parts are frozen, and the first is not"
    await composing.compose(door)
    house.mailer.fates = [Fate.DEFER_AT_ONCE]
    assert await delivery.deliver(door) == Progress(deferred=1)
    assert not house.mailer.accepted
    house.now += PACE.defer_most
    await deliver_all(door)
    opened = [
        open_answer(one.raw, [mairie().decryption_key], [shared_pki().service_ec.der], house.now)
        for one in house.mailer.accepted
    ]
    assert [part.part for part in opened] == list(range(1, opened[0].parts + 1))


async def test_one_with_more_than_few_mails_hold_is_composed_mail_by_mail(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await composed_in_small_mails(house, monkeypatch, together=2)
    assert await composing.compose(door) == Progress(composed=1)
    await deliver_all(door)
    raw = [mail.raw for mail in house.mailer.accepted]
    opened = [open_answer(one, [mairie().decryption_key], [shared_pki().service_ec.der], house.now) for one in raw]
    assert [part.part for part in sorted(opened, key=lambda part: part.part)] == list(range(1, len(raw) + 1))
    assert {part.parts for part in opened} == {len(raw)}
    assert max(map(len, raw)) <= SMALL.mail_bytes_max
    whole = joined(opened)
    assert (whole.missing, enclosed([whole.files])) == ((), SIX)
    assert len(counting(house).typeset_for) == 6


class KilledAfter(Counting):
    """Its process is killed before it has composed a part beyond `part`."""

    part: int

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        if compositions[0].part > self.part:
            raise KeyboardInterrupt
        return await Counting.compose(self, compositions, at)


async def killed_after(part: int, house: House, door: MailDoor) -> None:
    """Some parts are frozen, the first one last; somebody else may go on an hour later."""
    killed = KilledAfter(served=house.judges.served, mail_bytes_max=house.judges.mail_bytes_max)
    killed.part = part
    assert door.judges.served is not None
    await killed.serve(door.judges.served)
    with pytest.raises(KeyboardInterrupt):
        await composing.compose(replace(door, judges=killed))
    assert [row.part for row in await outbox_rows(house, "composed")] == list(range(2, part + 1))
    assert [row.part for row in await outbox_rows(house, "queued")] == [1]
    house.now += timedelta(hours=1)


async def test_a_kill_between_its_mails_is_made_up_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    door = await composed_in_small_mails(house, monkeypatch, together=2)
    await killed_after(2, house, door)
    (kept,) = [row.raw for row in await outbox_rows(house, "composed")]
    assert await composing.compose(door) == Progress(composed=1)
    assert (await outbox_rows(house, "composed"))[1].raw == kept
    assert await outbox_rows(house, "queued") == []
    await deliver_all(door)
    assert enclosed(answers(house)) == SIX


@pytest.mark.parametrize(("first", "then"), [(300_000, 420_000), (300_000, 1 << 23), (420_000, 200_000)])
async def test_what_was_begun_in_mails_of_one_size_ends_in_those(
    house: House, monkeypatch: pytest.MonkeyPatch, first: int, then: int
) -> None:
    """Or an attestation would be in a part that is frozen and in one that comes after it, or in none."""
    pace = replace(PACE, mail_bytes_max=first)
    door = await composed_in_small_mails(house, monkeypatch, together=2, pace=pace)
    await killed_after(3, house, door)
    house.judges.mail_bytes_max = then
    assert await composing.compose(replace(door, pace=replace(pace, mail_bytes_max=then))) == Progress(composed=1)
    await deliver_all(door)
    raw = [mail.raw for mail in house.mailer.accepted]
    opened = [open_answer(one, [mairie().decryption_key], [shared_pki().service_ec.der], house.now) for one in raw]
    assert enclosed([part.files for part in opened]) == SIX
    assert {part.parts for part in opened} == {len(raw)}
    assert sorted(part.part for part in opened) == list(range(1, len(raw) + 1))


async def test_what_was_not_begun_is_composed_as_the_settings_say_now(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await composed_in_small_mails(house, monkeypatch, together=2)
    await killed_after(1, house, door)
    house.judges.mail_bytes_max = 1 << 23
    assert await composing.compose(replace(door, pace=PACE)) == Progress(composed=1)
    await deliver_all(door)
    assert len(house.mailer.accepted) == 2
    assert enclosed(answers(house)) == SIX


async def test_who_is_overtaken_with_mails_of_another_size_keeps_his_to_himself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of his is frozen. The same turn may already come to it again, and then it is in mails of that size."""
    door = await composed_in_small_mails(house, monkeypatch, together=2)
    begun, keep_to, other_size = piecemeal.begun, piecemeal.keep_to, 420_000
    kept: list[tuple[int, bool]] = []

    async def overtaken(tx: Transaction, id_: int) -> piecemeal.Begun:
        """Somebody else begins just now."""
        seen = await begun(tx, id_)
        monkeypatch.setattr(piecemeal, "begun", begun)
        async with house.register.begin() as other:
            assert await keep_to(other, id_, other_size)
        return seen

    async def noted(tx: Transaction, id_: int, bytes_max: int) -> bool:
        kept.append((bytes_max, await keep_to(tx, id_, bytes_max)))
        return kept[-1][1]

    monkeypatch.setattr(piecemeal, "begun", overtaken)
    monkeypatch.setattr(piecemeal, "keep_to", noted)
    with contextlib.suppress(Unavailable):
        await composing.compose(door)
    await composing.compose(door)
    assert kept[0] == (SMALL.mail_bytes_max, False)
    assert set(kept[1:]) == {(other_size, True)}
    await deliver_all(door)
    assert enclosed(answers(house)) == SIX


async def outbox_rows(house: House, state: str) -> Sequence[Any]:
    return await rows(house.register, f"SELECT part, raw FROM outbox WHERE state = '{state}' ORDER BY part")


async def test_that_of_a_request_which_was_erased_is_told_and_not_kept(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1)))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    await lose_keys(house.register, "SELECT key_id FROM request")
    await run(house)
    (answer,) = answers(house)
    assert FIRST in answer
    assert await rows(house.register, "SELECT id FROM attestation") == []


async def test_it_is_kept_with_the_mail_and_that_it_was_issued_for_good(house: House) -> None:
    house.mailbox.deliver(a_mail(dem_part(1)))
    await run(house)
    (number,) = [row.number for row in await rows(house.register, "SELECT number FROM request")]
    async with house.register.read() as tx:
        (issued,) = await attestations.of_number(tx, number)
    assert issued.content == answers(house)[0][FIRST]
    await execute(house.register, "UPDATE attestation SET content = NULL")
    async with house.register.read() as tx:
        (left,) = await attestations.of_number(tx, number)
    assert left == replace(issued, content=None)
    house.mailbox.deliver(a_mail(dem_part(1)))
    await run(house)
    assert answers(house)[1][FIRST] == issued.content, "made again of the same facts and reference data"
