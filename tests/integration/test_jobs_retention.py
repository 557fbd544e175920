"""Retention: what is done with loses its octets after its time, and nothing else does."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mailflow.core.model import Environment
from mailflow.jobs.retention import RETENTION
from mailflow.jobs.work import Due, run
from mailflow.register import Register, files, intake, journal, outbox, queues
from mailflow.register.acts import Verb
from tests.support import jobs
from tests.support.operating import operate
from tests.support.records import LATER, NOW, ROOMY, a_draft, a_file, claim, key_rows, octets, rows, settlement, take_in

TERMS = replace(jobs.TERMS, environment=Environment.SCHOOL)
SOON = NOW + timedelta(days=90)
AFTER = SOON + timedelta(seconds=1)


async def send(register: Register, *, held: int | None = None) -> None:
    """Compose what is queued, and send it, but hold the one with that key."""
    async with register.begin() as tx:
        queued = await outbox.claim_queued(tx, "me", 50, NOW, LATER)
        await outbox.freeze(tx, {mail.id: [octets(b"octets")] for mail in queued})
    async with register.begin() as tx:
        composed = await outbox.claim_composed(tx, "me", 50, NOW, LATER, size_bytes_max=ROOMY)
        sent = [mail.id for mail in composed if mail.intake_id is None or mail.intake_id != held]
        await outbox.mark_sending(tx, "me", sent, NOW)
        await outbox.mark_sent(tx, sent, NOW)
        await outbox.hold(tx, "me", [mail.id for mail in composed if mail.id not in sent], "refused", NOW)


@pytest.fixture
async def mails(register: Register) -> list[int]:
    """One answered with a file, one set aside, one whose answer is held, one that waits; and a notice of ours."""
    await take_in(register, 4)
    answered, set_aside, held, _ = ids = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", answered)])
        await files.settle(tx, [("f1", b"receipt")])
        drafts = [a_draft(answered, key="1"), a_draft(held, key="2"), a_draft(None, key="3")]
        await outbox.queue(tx, drafts, NOW)
        settlements = [settlement(answered), settlement(set_aside, "set_aside"), settlement(held)]
        await intake.settle(tx, "me", settlements, NOW)
    await send(register, held=held)
    return ids


async def due(register: Register, at: datetime = AFTER) -> Due:
    async with register.read() as tx:
        return await RETENTION.due(tx, TERMS, at)


async def test_only_what_is_done_with_goes_and_only_after_its_time(register: Register, mails: list[int]) -> None:
    answered, set_aside, _, _ = mails
    assert (await due(register, SOON)).count == 0
    assert await due(register) == Due(count=3, examples=(f"intake {answered}", f"intake {set_aside}"))
    assert await run(register, RETENTION, TERMS, SOON) == 0
    assert await run(register, RETENTION, TERMS, AFTER) == 3
    assert (await due(register)).count == 0
    assert await run(register, RETENTION, TERMS, AFTER) == 0
    kept = {row.id: row.raw is not None for row in await rows(register, "SELECT id, raw FROM intake")}
    assert kept == dict(zip(mails, [False, False, True, True], strict=True))


async def test_what_went_cannot_be_read_by_any_key_and_the_proof_stays(register: Register, mails: list[int]) -> None:
    (digest,) = [row.digest for row in await rows(register, f"SELECT digest FROM intake WHERE id = {mails[0]}")]
    keys = len(await key_rows(register))
    await run(register, RETENTION, TERMS, AFTER)
    assert len(await key_rows(register)) == keys - 3
    async with register.read() as tx:
        assert await queues.raw(tx, mails[0]) is None
        (file,) = await files.of_intake(tx, mails[0])
        (answer,) = await queues.find_outbox(tx, intake_id=mails[0])
        mail = await queues.find_intake(tx, mails[0])
        told = [kept.entry.kind for kept in await journal.of_intake(tx, mails[0])]
    assert (file.digest, file.receipt, file.returned) == ("d", b"", None)
    assert mail is not None
    assert (mail.digest, mail.state, answer.state, answer.sent_at) == (digest, "answered", "sent", NOW)
    assert told == ["mail-erased"]


async def test_a_mail_that_is_held_can_still_be_sent(register: Register, mails: list[int]) -> None:
    await run(register, RETENTION, TERMS, AFTER)
    async with register.read() as tx:
        (held,) = await queues.find_outbox(tx, intake_id=mails[2])
    await operate(register, Verb.RELEASE, AFTER, outgoing=[held.id])
    async with register.begin() as tx:
        lease = AFTER + timedelta(minutes=1)
        (mail,) = await outbox.claim_composed(tx, "me", 50, AFTER, lease, size_bytes_max=ROOMY)
    assert mail.raw == b"octets"
