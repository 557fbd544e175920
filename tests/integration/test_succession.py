"""A certificate enrolled by the signed mail of its sender: kept, told to everybody, and never by a thief alone."""

import contextlib
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mailflow.core.model import CertificateUse, SenderCode, Standing
from mailflow.core.succession import Succession, SuccessorReceipt
from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, entities, succession, worker
from mailflow.mail.desk import OpenedAnswer, open_answer
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.successor import write_successor
from mailflow.ops.alarms import Alarm
from mailflow.register import Transaction, directory, successors
from mailflow.register.directory import Change
from mailflow.register.successors import NotOffered
from tests.support.doors import PACE, House
from tests.support.judging import SERVICE, Software, dem_part, mailed, mairie, multipart, signed
from tests.support.pki import AT, shared_pki
from tests.support.records import execute, rows
from tests.support.watching import RAISED, Lookout

MAIRIE = SenderCode("mairie")
OTHER = "chef@mairie.example"
"""Another address from which the mairie writes."""


def the_new(name: str = "succession") -> Software:
    return Software(identity=shared_pki().issue(name), address=mairie().address, code="mairie")


def offering(new: Software, *parts: bytes) -> bytes:
    octets = write_successor(SERVICE, mairie().identity.fingerprint, new.signing_key, AT)
    file = entities.file_part("NCE59123-202603021000.pem", octets, "application/x-pem-file")
    return mailed(signed(multipart(file, *parts) if parts else file))


def request_by(software: Software, number: int) -> bytes:
    return mailed(signed(dem_part(number, surname="Nom" + chr(96 + number)), software))


@pytest.fixture
async def house(house: House) -> House:
    async with house.register.begin() as tx:
        await directory.add_address(tx, MAIRIE, OTHER, change(house))
    return house


def change(house: House) -> Change:
    return Change(by="anna", why="called them", at=house.now)


def a_door(house: House, *, at_once: bool = False) -> MailDoor:
    return house.door(pace=replace(PACE, successor_at_once=at_once))


async def work(house: House, *mails: bytes, at_once: bool = False) -> Progress:
    for mail in mails:
        house.mailbox.deliver(mail)
    door = a_door(house, at_once=at_once)
    await worker.receive(door)
    done = await worker.process(door)
    await composing.compose(door)
    await delivery.deliver(door)
    return done


async def accept(house: House, new: Software) -> None:
    """As `mailflow sender accept` does."""
    async with house.register.begin() as tx:
        done = await successors.enrol(tx, MAIRIE, new.identity.fingerprint, change(house))
        receipt = SuccessorReceipt(successor=done.successor, became=Succession.ENROLLED)
        await succession.announce(tx, MAIRIE, receipt, "service.example", house.now)


def opened(house: House, address: str, by: Software | None = None) -> list[OpenedAnswer]:
    key, ours = (by or mairie()).decryption_key, [shared_pki().service_ec.der]
    return [open_answer(raw, [key], ours, house.now) for raw in house.mailer.mailboxes.get(address, [])]


async def uses(house: House, new: Software) -> list[tuple[str, str]]:
    enrolled = await rows(house.register, "SELECT fingerprint, use, standing FROM certificate ORDER BY use")
    return [(row.use, row.standing) for row in enrolled if row.fingerprint == new.identity.fingerprint]


async def test_it_waits_for_the_operator_and_all_contacts_hear_of_it(house: House) -> None:
    new = the_new()
    done = await work(house, offering(new))
    assert (done.answered, done.registered) == (1, 0)
    answer, announced = opened(house, "guichet")
    (elsewhere,) = opened(house, "chef")
    assert f"{new.identity.fingerprint} attend la confirmation" in answer.text
    for told in (announced, elsewhere):
        assert new.identity.fingerprint in told.text
        assert "quelqu'un dispose de votre clé" in told.text
    assert await uses(house, new) == []
    assert (await work(house, request_by(new, 1))).set_aside == 1, "it proves nobody yet"
    lookout = Lookout(register=house.register, at=house.now)
    await lookout.look()
    assert RAISED[Alarm.SUCCESSOR_OFFERED] in lookout.ears.told()
    await accept(house, new)
    assert await uses(house, new) == [("encrypt", "active"), ("sign", "active")]
    done = await work(house, request_by(new, 2), request_by(mairie(), 3))
    assert done.answered == 2, "old and new serve at once"
    assert "Il est inscrit" in opened(house, "chef")[1].text
    kinds = [row.kind for row in await rows(house.register, "SELECT kind FROM journal WHERE kind LIKE 'successor%'")]
    assert kinds == ["successor-offered", "successor-enrolled"]


async def test_at_once_when_the_settings_say_so_and_the_news_is_for_who_had_the_old_key(house: House) -> None:
    new = the_new()
    await work(house, offering(new), at_once=True)
    assert await uses(house, new) == [("encrypt", "active"), ("sign", "active")]
    assert "Il est inscrit" in opened(house, "chef")[0].text, "readable by the old key, and only by it"
    assert (await work(house, request_by(new, 1))).answered == 1
    lookout = Lookout(register=house.register, at=house.now)
    await lookout.look()
    assert RAISED[Alarm.SUCCESSOR_OFFERED] in lookout.ears.told()


async def test_offered_again_it_stays_what_it_was_and_is_told_once(house: House) -> None:
    new = the_new()
    await work(house, offering(new))
    await work(house, offering(new))
    assert len(opened(house, "chef")) == 1
    async with house.register.begin() as tx:
        await successors.decline(tx, MAIRIE, new.identity.fingerprint, change(house))
    await work(house, offering(new), at_once=True)
    assert await uses(house, new) == []
    assert "a été refusé par l'exploitant" in opened(house, "guichet")[-1].text


@pytest.mark.parametrize("by_hand", [False, True])
async def test_offered_once_more_when_it_is_enrolled_the_requests_beside_it_are_registered(
    house: House, by_hand: bool
) -> None:
    new = the_new()
    if by_hand:
        fingerprint, der, use = new.identity.fingerprint, new.identity.der, CertificateUse.SIGN
        async with house.register.begin() as tx:
            await directory.add_certificate(tx, MAIRIE, fingerprint=fingerprint, der=der, use=use, change=change(house))
    else:
        await work(house, offering(new))
        await accept(house, new)
    before = await uses(house, new)
    done = await work(house, offering(new, dem_part(7, surname="Nomg")))
    assert (done.answered, done.registered) == (1, 1)
    assert any(f"{new.identity.fingerprint} est inscrit" in one.text for one in opened(house, "guichet"))
    assert await uses(house, new) == before
    async with house.register.read() as tx:
        assert not await successors.listed(tx), "nothing waits for the operator"


async def test_a_thief_cannot_fill_the_register(house: House) -> None:
    many = [the_new(f"thief-{number}") for number in range(successors.WAITING_MAX + 1)]
    await work(house, *(offering(new) for new in many))
    async with house.register.read() as tx:
        assert len(await successors.listed(tx)) == successors.WAITING_MAX
    assert "trop d'autres attendent" in "".join(one.text for one in opened(house, "guichet"))


@pytest.mark.parametrize("who", ["sender", "certificate"])
async def test_whoever_is_suspended_while_it_waits_names_no_successor(house: House, who: str) -> None:
    new = the_new()
    await work(house, offering(new))
    async with house.register.begin() as tx:
        if who == "sender":
            await directory.set_sender_standing(tx, MAIRIE, Standing.SUSPENDED, change(house))
        else:
            fingerprint = mairie().identity.fingerprint
            await directory.set_certificate_standing(tx, fingerprint, Standing.SUSPENDED, change(house))
    with pytest.raises(NotOffered):
        await accept(house, new)
    assert await uses(house, new) == []


async def test_whoever_is_suspended_between_the_proof_and_the_decision_offers_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = house.judges.judge

    async def then_suspended(*args: Any) -> Any:
        verdicts = await judge(*args)
        async with house.register.begin() as tx:
            fingerprint = mairie().identity.fingerprint
            await directory.set_certificate_standing(tx, fingerprint, Standing.SUSPENDED, change(house))
        return verdicts

    with monkeypatch.context() as patch:
        patch.setattr(type(house.judges), "judge", lambda _, *args: then_suspended(*args))
        await work(house, offering(the_new()), at_once=True)
    assert (await work(house, at_once=True)).set_aside == 1
    assert await rows(house.register, "SELECT * FROM successor") == []
    assert house.mailer.accepted == []


async def test_what_it_follows_loses_a_use_meanwhile_and_so_does_it(house: House) -> None:
    new = the_new()
    await work(house, offering(new))
    async with house.register.begin() as tx:
        fingerprint = mairie().identity.fingerprint
        await directory.set_certificate_standing(
            tx, fingerprint, Standing.SUSPENDED, change(house), CertificateUse.ENCRYPT
        )
    await accept(house, new)
    assert await uses(house, new) == [("sign", "active")]


@pytest.mark.long_on("postgresql")
async def test_killed_at_any_statement_it_is_enrolled_wholly_or_not_at_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = the_new()
    house.mailbox.deliver(offering(new))
    door = a_door(house, at_once=True)
    await worker.receive(door)
    run, left = Transaction.run, 0

    async def dies(self: Transaction, *args: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable("killed")
        return await run(self, *args)

    killed = 0
    whole: list[tuple[str, str]] = []
    told: list[str] = []
    for killed in itertools.count():
        left = killed
        with monkeypatch.context() as patch, contextlib.suppress(Unavailable):
            patch.setattr(Transaction, "run", dies)
            await worker.process(door)
        told = [row.kind for row in await rows(house.register, "SELECT kind FROM outbox ORDER BY kind")]
        whole = await uses(house, new)
        if whole or told:
            break
        assert await rows(house.register, "SELECT * FROM successor") == []
        await taken_over(house)
    assert killed > 8
    assert whole == [("encrypt", "active"), ("sign", "active")]
    assert told == ["answer", "certificate-succession", "certificate-succession"]


async def taken_over(house: House) -> None:
    """By the next worker, once the lease has run out."""
    house.now += timedelta(minutes=11)
    free = "UPDATE intake SET lease_owner = NULL, lease_until = NULL, solo = :no, attempts = 0 WHERE state = 'received'"
    await execute(house.register, free, no=False)
