"""The directory and the journal: every change is written down, and begins a new generation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date

import pytest

from mailflow.core.model import (
    CertificateUse,
    EnrolledCertificate,
    EnrolledDesk,
    Mandate,
    Right,
    SenderCode,
    Standing,
)
from mailflow.core.numbers import DeskCode
from mailflow.register import Register, Transaction, directory, journal, outbox
from tests.support.records import DESK, NORD, NOW, a_draft, another, rows

ACME = SenderCode("acme")
CHANGE = directory.Change(by="anna", why="contract 12", at=NOW)
MANDATE = Mandate(
    desk=DESK,
    territory=NORD,
    rights=frozenset({Right.CREATION, Right.CONSULT}),
    starts_on=date(2026, 1, 1),
    ends_on=None,
)


async def _enrol(tx: Transaction) -> None:
    await directory.add_sender(
        tx, ACME, name="Acme", answer_address="in@acme.test", legacy_encryption=False, change=CHANGE
    )
    await directory.add_address(tx, ACME, "Desk@Acme.test", CHANGE)
    for use in CertificateUse:
        await directory.add_certificate(tx, ACME, fingerprint="ab" * 32, der=b"\0der", use=use, change=CHANGE)
    await directory.add_desk(tx, DESK, name="Mairie", address="1 place", change=CHANGE)
    await directory.add_mandate(tx, ACME, MANDATE, CHANGE)


async def test_what_was_enrolled_is_read_back(register: Register) -> None:
    async with register.begin() as tx:
        await _enrol(tx)
    async with register.read() as tx:
        found = await directory.read(tx)
        desks = await directory.list_desks(tx)
    (sender,) = found.senders
    assert (sender.code, sender.name, sender.standing) == (ACME, "Acme", Standing.ACTIVE)
    assert (sender.addresses, sender.answer_address) == (frozenset({"desk@acme.test"}), "in@acme.test")
    assert sender.legacy_encryption is False
    assert sender.mandates == (MANDATE,)
    assert sender.certificates == tuple(
        EnrolledCertificate(fingerprint="ab" * 32, der=b"\0der", use=use, standing=Standing.ACTIVE)
        for use in (CertificateUse.ENCRYPT, CertificateUse.SIGN)
    )
    assert desks == (EnrolledDesk(code=DESK, name="Mairie", address="1 place", standing=Standing.ACTIVE),)
    assert found.desks == {DESK: desks[0]}


async def test_suspensions_and_ends_are_read_back(register: Register) -> None:
    async with register.begin() as tx:
        await _enrol(tx)
        await directory.set_sender_standing(tx, ACME, Standing.SUSPENDED, CHANGE)
        await directory.set_certificate_standing(tx, "ab" * 32, Standing.SUSPENDED, CHANGE)
        await directory.set_desk_standing(tx, DESK, Standing.SUSPENDED, CHANGE)
        await directory.amend_desk(tx, DESK, name=None, address="2 place", change=CHANGE)
        await directory.remove_address(tx, ACME, "DESK@acme.test", CHANGE)
        await directory.end_mandate(tx, ACME, DESK, NORD, ends_on=date(2026, 11, 30), change=CHANGE)
        found = await directory.read(tx)
    (sender,) = found.senders
    assert sender.standing is Standing.SUSPENDED
    assert {certificate.standing for certificate in sender.certificates} == {Standing.SUSPENDED}
    assert sender.addresses == frozenset()
    assert sender.mandates == (replace(MANDATE, ends_on=date(2026, 11, 30)),)
    assert found.desks[DESK] == EnrolledDesk(code=DESK, name="Mairie", address="2 place", standing=Standing.SUSPENDED)


async def test_a_mandate_is_ended_and_not_the_one_that_is_to_follow(register: Register) -> None:
    following = replace(MANDATE, starts_on=date(2026, 12, 1), ends_on=None)
    async with register.begin() as tx:
        await _enrol(tx)
        await directory.add_mandate(tx, ACME, following, CHANGE)
        await directory.end_mandate(tx, ACME, DESK, NORD, ends_on=date(2026, 11, 30), change=CHANGE)
        (sender,) = (await directory.read(tx)).senders
    assert set(sender.mandates) == {replace(MANDATE, ends_on=date(2026, 11, 30)), following}


async def test_what_answers_no_mail_goes_to_the_address_that_its_sender_has_now(register: Register) -> None:
    """A notice came back; once the address is amended it goes out again, and not there."""
    async with register.begin() as tx:
        await _enrol(tx)
        (before,) = [one.answer_address for one in (await directory.read(tx)).senders]
        notices = (("1", before), ("2", "another@acme.test"))
        drafts = [replace(a_draft(None, key=key), kind="notice", recipient=to) for key, to in notices]
        await outbox.queue(tx, drafts, CHANGE.at)
        await directory.set_answer_address(tx, ACME, "c@acme.test", CHANGE)
    found = await rows(register, "SELECT recipient FROM outbox ORDER BY id")
    assert [row.recipient for row in found] == ["c@acme.test", "another@acme.test"]


async def test_an_address_that_two_have_stays_that_of_the_other(register: Register) -> None:
    async with register.begin() as tx:
        await _enrol(tx)
        (before,) = [one.answer_address for one in (await directory.read(tx)).senders]
        await directory.add_sender(
            tx, SenderCode("other"), name="Other", answer_address=before, legacy_encryption=False, change=CHANGE
        )
        await outbox.queue(tx, [replace(a_draft(None), kind="notice", recipient=before)], CHANGE.at)
        await directory.set_answer_address(tx, ACME, "c@acme.test", CHANGE)
    assert [row.recipient for row in await rows(register, "SELECT recipient FROM outbox")] == [before]


CHANGES: dict[str, Callable[[Transaction], Awaitable[None]]] = {
    "sender-suspended": lambda tx: directory.set_sender_standing(tx, ACME, Standing.SUSPENDED, CHANGE),
    "sender-active": lambda tx: directory.set_sender_standing(tx, ACME, Standing.ACTIVE, CHANGE),
    "certificate-suspended": lambda tx: directory.set_certificate_standing(tx, "ab" * 32, Standing.SUSPENDED, CHANGE),
    "desk-suspended": lambda tx: directory.set_desk_standing(tx, DESK, Standing.SUSPENDED, CHANGE),
    "address-added": lambda tx: directory.add_address(tx, ACME, "b@acme.test", CHANGE),
    "answer-address-changed": lambda tx: directory.set_answer_address(tx, ACME, "c@acme.test", CHANGE),
    "address-removed": lambda tx: directory.remove_address(tx, ACME, "b@acme.test", CHANGE),
    "mandate-ended": lambda tx: directory.end_mandate(tx, ACME, DESK, NORD, ends_on=date(2026, 11, 30), change=CHANGE),
    "mandate-added": lambda tx: directory.add_mandate(tx, ACME, replace(MANDATE, starts_on=date(2026, 12, 1)), CHANGE),
}


async def test_every_change_is_in_the_journal_and_begins_a_generation(register: Register) -> None:
    async with register.begin() as tx:
        await _enrol(tx)
    async with register.read() as tx:
        before = await directory.generation(tx)
    kinds = [row.kind for row in await rows(register, "SELECT kind FROM journal ORDER BY id")]
    assert before == 1 + len(kinds)
    for number, (kind, change) in enumerate(CHANGES.items(), 1):
        async with register.begin() as tx:
            await change(tx)
            assert await directory.generation(tx) == before + number
        last = (await rows(register, "SELECT kind, detail FROM journal ORDER BY id"))[-1]
        assert last.kind == kind
        assert '"by": "anna"' in last.detail
        assert '"why": "contract 12"' in last.detail


async def test_what_is_there_already_or_not_at_all_is_said(register: Register) -> None:
    async with register.begin() as tx:
        with pytest.raises(directory.NotEnrolled, match="sender"):
            await directory.add_address(tx, ACME, "a@b.test", CHANGE)
        with pytest.raises(directory.NotEnrolled, match="sender"):
            await directory.add_mandate(tx, ACME, MANDATE, CHANGE)
        await _enrol(tx)
        with pytest.raises(directory.AlreadyEnrolled, match="sender"):
            await directory.add_sender(tx, ACME, name="", answer_address="", legacy_encryption=True, change=CHANGE)
        with pytest.raises(directory.AlreadyEnrolled, match="address"):
            await directory.add_address(tx, ACME, "DESK@acme.test", CHANGE)
        with pytest.raises(directory.AlreadyEnrolled, match="certificate"):
            await directory.add_certificate(
                tx, ACME, fingerprint="ab" * 32, der=b"", use=CertificateUse.SIGN, change=CHANGE
            )
        with pytest.raises(directory.AlreadyEnrolled, match="desk"):
            await directory.add_desk(tx, DESK, name="", address="", change=CHANGE)
        with pytest.raises(directory.AlreadyEnrolled, match="mandate"):
            await directory.add_mandate(tx, ACME, MANDATE, CHANGE)
        with pytest.raises(directory.NotEnrolled, match="no desk"):
            await directory.add_mandate(tx, ACME, replace(MANDATE, desk=DeskCode("99999")), CHANGE)
        with pytest.raises(directory.NotEnrolled):
            await directory.set_certificate_standing(tx, "cd" * 32, Standing.ACTIVE, CHANGE)
        with pytest.raises(directory.NotEnrolled):
            await directory.remove_address(tx, ACME, "nobody@acme.test", CHANGE)
    assert len(await rows(register, "SELECT * FROM journal")) == 6


async def test_a_suspension_waits_for_who_registers_now(register: Register, register_url: str) -> None:
    """Nobody is registered on enrolments that were suspended before the commit."""
    async with register.begin() as tx:
        await _enrol(tx)

    async def suspend(other: Register) -> None:
        async with other.begin() as tx:
            await directory.set_sender_standing(tx, ACME, Standing.SUSPENDED, CHANGE)

    async with another(register_url) as other:
        async with register.begin() as tx:
            await directory.generation(tx)
            suspending = asyncio.create_task(suspend(other))
            _, pending = await asyncio.wait({suspending}, timeout=0.2)
            assert pending
        await suspending


async def test_two_registrations_wait_for_each_other_only_where_there_is_one_writer(
    register: Register, register_url: str
) -> None:
    async def look(other: Register) -> int:
        async with other.begin() as tx:
            return await directory.generation(tx)

    async with another(register_url) as other:
        async with register.begin() as tx:
            assert await directory.generation(tx) == 1
            beside = asyncio.create_task(look(other))
            if register_url.startswith("postgresql"):
                assert await beside == 1
            else:
                _, pending = await asyncio.wait({beside}, timeout=0.2)
                assert pending
        assert await beside == 1


async def test_the_journal_gives_entries_back_in_order(register: Register) -> None:
    entries = [
        journal.Entry(
            kind="first", intake_id=7, number="n", sender="acme", desk=DESK, detail={"é": None, "n": 1, "t": True}
        ),
        journal.Entry(kind="second", intake_id=7),
        journal.Entry(kind="other", intake_id=8, number="n"),
    ]
    async with register.begin() as tx:
        await journal.append(tx, entries, NOW)
        await journal.append(tx, [], NOW)
        assert [kept.entry for kept in await journal.of_intake(tx, 7)] == entries[:2]
        assert [kept.entry for kept in await journal.of_number(tx, "n")] == [entries[0], entries[2]]
        assert {kept.at for kept in await journal.of_number(tx, "n")} == {NOW}
