"""The end of a certificate is announced to its sender: sixty, thirty and seven days ahead, as long as none follows."""

from datetime import date, timedelta

import pytest

from mailflow.core.calendar import legal_day
from mailflow.core.canary import CANARY_SENDER
from mailflow.core.model import CertificateUse, SenderCode, Standing
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY
from mailflow.jobs.certificates import CERTIFICATES
from mailflow.jobs.orders import CERTIFICATE_ENDINGS, CertificateEnding
from mailflow.register import Register, directory, outbox
from tests.support.jobs import LONG_AFTER, do, due
from tests.support.pki import AT, shared_pki
from tests.support.records import rows

CHANGE = directory.Change(by="anna", why="contract 12", at=AT)
LAST = legal_day(AT + 100 * DAY)
SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT
OLD = shared_pki().issue("old", ends=100 * DAY)
NEW = shared_pki().issue("new", starts=90 * DAY, ends=465 * DAY)


async def enrol(register: Register, identity: Identity, *uses: CertificateUse, sender: str = "lille") -> None:
    code = SenderCode(sender)
    async with register.begin() as tx:
        if code not in [known.code for known in await directory.list_senders(tx)]:
            await directory.add_sender(
                tx, code, name=sender, answer_address=f"in@{sender}.test", legacy_encryption=False, change=CHANGE
            )
        for use in uses:
            await directory.add_certificate(
                tx, code, fingerprint=identity.fingerprint, der=identity.der, use=use, change=CHANGE
            )


async def told(register: Register) -> list[tuple[str, CertificateEnding]]:
    """The orders since the last call, with the address that each goes to."""
    async with register.begin() as tx:
        queued = await outbox.claim_queued(tx, "me", 100, LONG_AFTER, LONG_AFTER + DAY)
        await outbox.hold(tx, "me", [mail.id for mail in queued], "looked at", LONG_AFTER)
    return [(mail.recipient, CERTIFICATE_ENDINGS.validate_json(mail.payload)) for mail in queued]


def ahead(days: int) -> date:
    return LAST - timedelta(days=days)


async def test_the_sender_is_told_once_on_each_of_the_days(register: Register) -> None:
    await enrol(register, OLD, SIGN, ENCRYPT)
    done = {days: await do(register, CERTIFICATES, ahead(days)) for days in (61, 60, 59, 31, 30, 29, 8, 7, 6, 1)}
    assert done == {61: 0, 60: 1, 59: 0, 31: 0, 30: 1, 29: 0, 8: 0, 7: 1, 6: 0, 1: 0}
    order = CertificateEnding(sender=SenderCode("lille"), certificate=OLD.der, uses=(ENCRYPT, SIGN))
    assert await told(register) == [("in@lille.test", order)] * 3
    kept = await rows(register, "SELECT sender FROM journal WHERE kind = 'certificate-end-announced'")
    assert [row.sender for row in kept] == ["lille"] * 3


async def test_after_a_stop_the_nearest_announcement_alone_is_made_up_for(register: Register) -> None:
    await enrol(register, OLD, SIGN)
    assert (await due(register, CERTIFICATES, ahead(20))).examples == (f"lille {OLD.fingerprint[:16]}",)
    assert [await do(register, CERTIFICATES, ahead(days)) for days in (20, 20, 7, 0)] == [1, 0, 1, 0]


async def test_what_has_ended_is_not_announced_any_more(register: Register) -> None:
    await enrol(register, OLD, SIGN)
    assert await do(register, CERTIFICATES, LAST + timedelta(days=1)) == 0


async def test_a_successor_for_the_same_use_ends_the_announcements(register: Register) -> None:
    await enrol(register, OLD, SIGN, ENCRYPT)
    assert await do(register, CERTIFICATES, ahead(60)) == 1
    await enrol(register, NEW, SIGN)
    assert await do(register, CERTIFICATES, ahead(30)) == 1
    assert [order.uses for _, order in await told(register)] == [(ENCRYPT, SIGN), (ENCRYPT,)]
    await enrol(register, NEW, ENCRYPT)
    assert await do(register, CERTIFICATES, ahead(7)) == 0


@pytest.mark.parametrize(
    "unfit",
    [
        shared_pki().issue("shorter", ends=99 * DAY),
        shared_pki().issue("gap", starts=102 * DAY, ends=465 * DAY),
    ],
    ids=["ends before", "begins after a gap"],
)
async def test_what_leaves_a_gap_is_no_successor(register: Register, unfit: Identity) -> None:
    await enrol(register, OLD, SIGN)
    await enrol(register, unfit, SIGN)
    await do(register, CERTIFICATES, ahead(60))
    assert OLD.der in [order.certificate for _, order in await told(register)]


async def test_neither_suspended_ones_nor_anothers_follow_nor_are_they_announced(register: Register) -> None:
    await enrol(register, OLD, SIGN)
    await enrol(register, NEW, SIGN)
    await enrol(register, shared_pki().issue("other", ends=465 * DAY), SIGN, sender="roubaix")
    async with register.begin() as tx:
        await directory.set_certificate_standing(tx, NEW.fingerprint, Standing.SUSPENDED, CHANGE)
    assert await do(register, CERTIFICATES, ahead(60)) == 1
    async with register.begin() as tx:
        await directory.set_certificate_standing(tx, OLD.fingerprint, Standing.SUSPENDED, CHANGE)
    assert await do(register, CERTIFICATES, ahead(30)) == 0


async def test_nobody_writes_to_the_suspended_or_to_the_canary(register: Register) -> None:
    await enrol(register, OLD, SIGN)
    await enrol(register, shared_pki().issue("canary", ends=100 * DAY), SIGN, sender=CANARY_SENDER)
    async with register.begin() as tx:
        await directory.set_sender_standing(tx, SenderCode("lille"), Standing.SUSPENDED, CHANGE)
    assert await do(register, CERTIFICATES, ahead(60)) == 0


async def test_many_are_told_in_several_steps(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailflow.jobs.certificates.BATCH", 1)
    await enrol(register, OLD, SIGN)
    await enrol(register, shared_pki().issue("other", ends=100 * DAY), SIGN, sender="roubaix")
    assert await do(register, CERTIFICATES, ahead(60)) == 2
    assert len(await told(register)) == 2


async def test_a_certificate_that_cannot_be_read_hinders_no_other(register: Register) -> None:
    await enrol(register, OLD, SIGN)
    async with register.begin() as tx:
        await directory.add_certificate(
            tx, SenderCode("lille"), fingerprint="ab" * 32, der=b"none", use=SIGN, change=CHANGE
        )
    assert await do(register, CERTIFICATES, ahead(60)) == 1
