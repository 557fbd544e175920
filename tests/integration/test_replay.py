"""Shadow replay: past mails are decided as they were, in the register as it was; what differs is what has changed."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.cli.replay import rows_of
from mailflow.core import rules
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.model import Mandate, Right, SenderCode, Standing
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.order import Deregistration, Holder
from mailflow.core.rules import Facts
from mailflow.demo.applications import Person, request_form
from mailflow.errors import MailflowError
from mailflow.mail import entities, worker
from mailflow.register import Register, decided, directory
from mailflow.register.acts import Verb, perform
from mailflow.register.cases import Filter
from mailflow.register.journal import Act
from mailflow.registrar import Terms, ending, person, releasing
from mailflow.review import scratch
from mailflow.review.comparison import Compared, Difference, Doubt, Summary
from mailflow.review.scratch import scratch_register
from mailflow.review.shadow import Replayed, Shadow
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, Header, InterfaceFile, RequestElement
from tests.integration.test_case import FORMS, NAME, mails
from tests.support.databases import VAULT
from tests.support.doors import House, InProcess
from tests.support.judging import a_mail, conseil, dem_name, ges_part, mailed, multipart, signed
from tests.support.pki import AT
from tests.support.pool_parts import BREAKS
from tests.support.records import execute, rows

SAME = {Difference.SAME}
DAY = timedelta(days=1)


def somebody(surname: str, first_name: str = "Zoé") -> HousingRequest:
    who = Person(surname=surname, first_name=first_name, born_on=date(1990, 1, 1))
    form = request_form(who, desk="59123", deposited_on=date(2026, 2, 10), municipalities=["59350"])
    return HousingRequest.model_validate(form)


@dataclass(slots=True)
class Service:
    """A house whose desk may do everything; what comes in is decided at once, a minute later each time."""

    house: House
    files: int = 0

    def file(self, operation: str, *elements: RequestElement) -> bytes:
        self.files += 1
        header = Header(file_type=operation, dated_at=AT + timedelta(seconds=self.files))
        octets = to_bytes(write(InterfaceFile(version="02.01", header=header, requests=elements), ROOT, NUU))
        return entities.file_part(dem_name(self.files), octets, "application/xml")

    async def receive(self, *mails: bytes) -> None:
        """One chunk."""
        for raw in mails:
            self.house.mailbox.deliver(raw)
        self.house.now += timedelta(minutes=1)
        door = self.house.door()
        await worker.receive(door)
        while await worker.process(door):
            pass

    async def file_in(self, operation: str, *elements: RequestElement) -> None:
        await self.receive(a_mail(self.file(operation, *elements)))

    async def create(self, surname: str, reference: str | None = None) -> str:
        await self.file_in("CRE", RequestElement(form=somebody(surname), reference=reference))
        (row,) = await rows(self.house.register, "SELECT number FROM request ORDER BY number DESC LIMIT 1")
        return str(row.number)

    @contextlib.asynccontextmanager
    async def shadow(self, url: str) -> AsyncIterator[Shadow]:
        """Of today's enrolments, on a register that is open for reading only."""
        register = Register.open(url, VAULT, read_only=True)
        try:
            async with register.read() as tx:
                enrolled = await directory.read(tx)
                judges = InProcess()
                await judges.serve(await self.house.shelf.material(enrolled))
                terms = Terms(directory=enrolled, environment=self.house.environment)
                async with scratch_register(enrolled.generation) as made:
                    yield Shadow(tx=tx, judges=judges, terms=terms, scratch=made, at=self.house.now)
        finally:
            await register.close()

    async def replay(self, url: str, which: Filter | None = None) -> list[Replayed]:
        async with self.shadow(url) as shadow:
            chosen = await decided.choose(shadow.tx, which or Filter(), 1_000)
            return [one async for one in shadow.replay(chosen)]


@pytest.fixture
async def service(register: Register) -> Service:
    house = House(register)
    await house.enrol()
    change = directory.Change(by="operator", why="test", at=house.now)
    mandate = Mandate(
        desk=DeskCode("59123"),
        territory=Territory("059"),
        rights=frozenset(Right),
        starts_on=date(2025, 2, 1),
        ends_on=None,
    )
    async with register.begin() as tx:
        await directory.add_mandate(tx, SenderCode("mairie"), mandate, change)
    return Service(house)


def about(number: str, surname: str, **more: object) -> RequestElement:
    holder = Holder(surname=surname, born_on=date(1990, 1, 1))
    return RequestElement.model_validate({"number": number, "holder": holder, **more}, by_name=True)


def differences(replayed: Iterable[Replayed]) -> list[Compared]:
    return [one for mail in replayed for one in mail.outcomes if one.difference is not Difference.SAME]


def summed(replayed: Iterable[Replayed]) -> Summary:
    total = Summary()
    for mail in replayed:
        total.add(mail.outcomes)
    return total


async def contents(register: Register) -> str:
    """A digest of every row of every table."""
    digest = hashlib.sha256()
    async with register.read() as tx:
        for name in await tx.connection.run_sync(lambda c: sorted(sa.inspect(c).get_table_names())):
            found = (await tx.connection.execute(sa.text(f'SELECT * FROM "{name}"'))).all()
            digest.update(repr(sorted(map(repr, found))).encode())
    return digest.hexdigest()


def octets(url: str) -> list[tuple[str, str]]:
    """Of the files of an SQLite register, but for its shared memory."""
    file = Path(url.removeprefix("sqlite:///"))
    found = [one for one in (file, Path(f"{file}-wal")) if one.exists()] if url.startswith("sqlite") else []
    return [(one.name, hashlib.sha256(one.read_bytes()).hexdigest()) for one in found]


async def a_life(service: Service) -> None:
    """Of most kinds of outcomes one: done, refused, repeated, warned, set aside; several in one chunk; late ends."""
    durand = await service.create("Durand", "dossier-1")
    again = a_mail(service.file("CRE", RequestElement(form=somebody("Durand"), reference="dossier-1")))
    await service.receive(again)
    await service.receive(again)
    await service.file_in("CRE", RequestElement(form=somebody("Durand"), reference="dossier-2"))
    await service.file_in("CRE", RequestElement(form=somebody("Durant")))
    await service.file_in("MOD", about(durand, "Durand", form=somebody("Moreau")))
    await service.receive(
        a_mail(service.file("CRE", RequestElement(form=somebody("Petit")), RequestElement(form=somebody("Petit")))),
        a_mail(service.file("CRE", RequestElement(form=somebody("Petit")))),
        a_mail(service.file("REN", about(durand, "Moreau", form=somebody("Moreau")))),
        a_mail(service.file("RAD", about(durand, "Moreau", deregistration=Deregistration(motive="RADABA")))),
        a_mail(service.file("CRE", RequestElement(form=somebody("Moreau")))),
        a_mail(service.file("RAD", about(durand, "Moreau"))),
        b"From: a@b.example\r\n\r\nBonjour\r\n",
        mailed(signed(multipart(service.file("CRE", RequestElement(form=somebody("Autre")))), by=conseil())),
    )
    await service.receive(BREAKS + b": the judge\r\n")
    await service.receive(a_mail(ges_part()))
    await service.file_in("SUP", about(await service.create("Erreur"), "Erreur"))
    await service.create("Erreur", "dossier-3")


async def test_what_was_decided_is_decided_again_the_same_and_the_register_is_left_as_it_was(
    service: Service, register_url: str
) -> None:
    await a_life(service)
    before = await contents(service.house.register), octets(register_url)
    replayed = await service.replay(register_url)
    assert differences(replayed) == []
    total = summed(replayed)
    assert (total.mails, total.mails_that_differ) == (19, 0)
    assert total.requests == {Difference.SAME: 16}
    assert (await contents(service.house.register), octets(register_url)) == before


async def test_others_have_changed_the_register_since(service: Service, register_url: str) -> None:
    number = await service.create("Durand")
    await service.file_in("CRE", RequestElement(form=somebody("Durand")))
    await service.file_in("MOD", about(number, "Durand", form=somebody("Moreau")))
    async with service.house.register.begin() as tx:
        today = date(2028, 1, 1)
        assert await ending.end_lapsed(tx, [UniqueNumber(number)], today, service.house.now + DAY)
    service.house.now += 2 * DAY
    await service.file_in("CRE", RequestElement(form=somebody("Durand")))
    assert differences(await service.replay(register_url)) == []


async def test_a_stricter_rule_refuses_and_a_rule_that_is_gone_accepts(
    service: Service, register_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.create("Durand")
    await service.create("Petit")
    await service.file_in("CRE", RequestElement(form=somebody("Zorro").model_copy(update={"identity_document": None})))

    def nobody_is_called_durand(form: HousingRequest, facts: Facts) -> Iterable[Anomaly]:
        applicant = form.person and form.person.applicant
        if applicant and applicant.surname == "Durand":
            yield Anomaly(code=Code.NAME_UNUSABLE, path=facts.at_root)

    assert len(await rows(service.house.register, "SELECT number FROM request")) == 2
    only = tuple(rule for rule in rules.RULES if rule.__name__ not in ("values_present", "parts_are_whole"))
    monkeypatch.setattr(rules, "RULES", (*only, nobody_is_called_durand))
    replayed = await service.replay(register_url)
    told = [(one.difference, one.unit.position, one.gone, one.new) for one in differences(replayed)]
    assert (Difference.NEWLY_REFUSED, 1, (), (Code.NAME_UNUSABLE.value,)) in told
    assert (Difference.NEWLY_ACCEPTED, 1, (Code.VALUE_MISSING.value,), ()) in told
    total = summed(replayed)
    assert dict(total.desks["59123"]) == {
        Difference.SAME: 1,
        Difference.NEWLY_REFUSED: 1,
        Difference.NEWLY_ACCEPTED: 1,
    }
    assert total.codes[Code.NAME_UNUSABLE.value][Difference.NEWLY_REFUSED] == 1


async def test_a_sender_who_is_suspended_since_and_a_mail_that_is_poison_now(
    service: Service, register_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.create("Durand")

    async def broken(*_: object) -> None:
        raise ValueError("a name")

    with monkeypatch.context() as patched:
        patched.setattr(scratch, "_plant", broken)
        (mail, request) = differences(await service.replay(register_url))[::2]
    assert (mail.new, request.difference) == ((Code.INTERNAL_FAULT.value,), Difference.NEWLY_REFUSED)
    change = directory.Change(by="operator", why="test", at=service.house.now)
    async with service.house.register.begin() as tx:
        await directory.set_sender_standing(tx, SenderCode("mairie"), Standing.SUSPENDED, change)
    told = differences(await service.replay(register_url))
    assert {one.new for one in told} == {(Code.SENDER_SUSPENDED.value,)}


async def test_what_cannot_be_rebuilt_is_not_compared(service: Service, register_url: str) -> None:
    number = await service.create("Durand")
    await service.file_in("MOD", about(number, "Durand", form=somebody("Moreau")))
    await service.create("Petit")
    await service.file_in("CRE", RequestElement(form=somebody("Petit")))
    async with service.house.register.begin() as tx:
        name = dem_name(service.files)
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), name, 1)
        await releasing.release(tx, homonym, by="operator", why="test", at=service.house.now)
    await service.file_in("CRE", RequestElement(form=somebody("Petit")))
    async with service.house.register.begin() as tx:
        plan = await person.plan_erasure(tx, number)
        assert plan is not None
        kept = await rows(service.house.register, "SELECT id FROM intake ORDER BY id")
        act = Act(by="operator", why="asked")
        alone = person.Erasure(number=plan.number, deregisters=True, content=True, mails=(), shared=())
        await person.erase(tx, alone, act, date(2026, 3, 3), service.house.now)
    replayed = await service.replay(register_url)
    assert len(replayed) == len(kept)
    assert [(one.difference, one.doubt) for one in differences(replayed)] == [
        (Difference.NOT_COMPARABLE, Doubt.ERASED),
        (Difference.NOT_COMPARABLE, Doubt.HOMONYM),
    ]
    assert summed(replayed).mails_that_differ == 0


async def test_a_selection(service: Service, register_url: str) -> None:
    await service.create("Durand")
    await service.create("Petit")
    await service.receive(b"From: a@b.example\r\n\r\nBonjour\r\n")

    async def chosen(which: Filter) -> Sequence[int]:
        return [one.intake for one in await service.replay(register_url, which)]

    assert await chosen(Filter(desk="59123")) == [1, 2]
    assert await chosen(Filter(intakes=(2, 3))) == [2, 3]
    assert await chosen(Filter(since=service.house.now)) == []
    assert await chosen(Filter(until=service.house.now)) == [1, 2, 3]


async def test_a_register_that_is_open_for_reading_only_cannot_be_written(service: Service, register_url: str) -> None:
    register = Register.open(register_url, VAULT, read_only=True)
    with pytest.raises(MailflowError):
        async with register.begin() as tx:
            await directory.set_generation(tx, 99)
    await register.close()
    async with service.house.register.read() as tx:
        assert await directory.generation(tx) != 99


async def test_hostile_mails_are_decided_as_they_were_and_nothing_of_them_is_told(
    service: Service, register_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raw in mails():
        await service.receive(raw)
    assert differences(await service.replay(register_url)) == []

    async def broken(*_: object) -> None:
        raise ValueError(NAME)

    monkeypatch.setattr(scratch, "_plant", broken)
    told = [row for one in await service.replay(register_url) for row in rows_of(one)]
    assert told
    assert [form for form in FORMS if form in repr(told).encode()] == []


async def test_what_an_operator_decided_is_not_compared(service: Service, register_url: str) -> None:
    service.house.mailbox.deliver(a_mail(service.file("CRE", RequestElement(form=somebody("Durand")))))
    await worker.receive(service.house.door())
    async with service.house.register.begin() as tx:
        act = Act(by="operator", why="test")
        assert (await perform(tx, Verb.SET_ASIDE, Filter(), act, service.house.now)).done
    (one,) = differences(await service.replay(register_url))
    assert (one.difference, one.doubt) == (Difference.NOT_COMPARABLE, Doubt.OPERATOR)


async def test_a_spoilt_mail_is_passed_over(service: Service, register_url: str) -> None:
    await service.create("Durand")
    await service.create("Petit")
    await execute(service.house.register, "UPDATE intake SET uid = uid + :more WHERE id = 1", more=1_000)
    replayed = await service.replay(register_url)
    assert {one.intake: {c.doubt for c in one.outcomes} for one in replayed} == {1: {Doubt.SPOILT}, 2: {None}}
