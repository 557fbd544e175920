"""The canary: through the whole house and back, never a real request, and an alarm when it is not answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache

import pytest

from mailflow.app.canary import Canary, CanaryKeys
from mailflow.attestation import Attestation, typeset
from mailflow.core.canary import CANARY_SENDER, CanaryOutcome
from mailflow.core.model import CertificateUse, Environment, Mandate, Right, SenderCode
from mailflow.core.numbers import CANARY_TERRITORY, DeskCode, Territory, UniqueNumber
from mailflow.demo.certificates import Identity
from mailflow.jobs import dispatch, lifetimes
from mailflow.mail import cms, stages
from mailflow.ops.alarms import Alarm
from mailflow.register import ConstraintViolated, Register, backlog, directory
from mailflow.register import canary as runs
from tests.support.attestations import pages
from tests.support.doors import AUDIT, House, InProcess
from tests.support.fake_mailer import Fate
from tests.support.jobs import TERMS
from tests.support.judging import SERVICE
from tests.support.pki import shared_pki
from tests.support.records import execute, rows
from tests.support.watching import RAISED, Lookout, at_work, more

MINUTE = timedelta(minutes=1)
DESK = DeskCode("00000")


@cache
def bird_identity() -> Identity:
    return shared_pki().issue("canari", kind="rsa")


def change(house: House) -> directory.Change:
    return directory.Change(by="operator", why="test", at=house.now)


CREATES = Mandate(
    desk=DESK,
    territory=CANARY_TERRITORY,
    rights=frozenset({Right.CREATION}),
    starts_on=date(2025, 1, 1),
    ends_on=None,
)


@pytest.fixture
async def house(register: Register, monkeypatch: pytest.MonkeyPatch) -> House:
    """With a mairie and a canary; the mail server delivers what is sent to the service."""
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(stages, "STEP_SECONDS_MAX", 0.05)
    made = House(register)
    await made.enrol()
    identity = bird_identity()
    async with register.begin() as tx:
        known = change(made)
        await directory.add_sender(
            tx, CANARY_SENDER, name="canary", answer_address=AUDIT, legacy_encryption=False, change=known
        )
        await directory.add_address(tx, CANARY_SENDER, AUDIT, known)
        for use in CertificateUse:
            await directory.add_certificate(
                tx, CANARY_SENDER, fingerprint=identity.fingerprint, der=identity.der, use=use, change=known
            )
        await directory.add_desk(tx, DESK, name="canari", address="", change=known)
        await directory.add_mandate(tx, CANARY_SENDER, CREATES, known)
    return made


def a_canary(house: House) -> Canary:
    identity, service = bird_identity(), shared_pki().service_ec
    return Canary(
        door=house.door(),
        keys=CanaryKeys(
            signing_key=cms.load_signing_key(identity.key_pem, identity.pem),
            key=cms.load_decryption_key(identity.key_pem, identity.pem),
            encrypt_to=lambda keys, at: service.der,
            signed_by=lambda: [service.der],
        ),
        address=AUDIT,
        every=timedelta(hours=1),
        late=timedelta(minutes=30),
        deadline=timedelta(hours=12),
        clock=lambda: house.now,
    )


async def travel(house: House) -> None:
    """What was sent to the service arrives, and is worked on until nothing is left."""
    service = SERVICE.partition("@")[0]
    house.mailbox.clock = lambda: house.now
    for raw in house.mailer.mailboxes.pop(service, []):
        house.mailbox.deliver(raw)
    async with asyncio.timeout(60):
        await at_work(house).stages.drain(asyncio.Event())


async def outcomes(house: House) -> list[CanaryOutcome | None]:
    async with house.register.read() as tx:
        return [run.outcome for run in await runs.latest(tx, 9)]


async def test_it_goes_the_whole_way_and_leaves_only_its_number(house: House) -> None:
    bird = a_canary(house)
    assert await bird.step()
    assert not await bird.step(at_once=True)  # one at a time
    house.now += MINUTE
    await travel(house)
    assert await outcomes(house) == [None]
    house.now += MINUTE
    assert not await bird.step()
    assert await outcomes(house) == [CanaryOutcome.ANSWERED]
    (request,) = await rows(house.register, "SELECT number, territory, desk, state, payload FROM request")
    assert (request.number[:3], request.number[-5:]) == ("000", "00000")
    assert (request.state, request.payload) == ("deregistered", None)
    for table in ("active_identity", "near_person", "near_token"):
        assert await rows(house.register, f"SELECT 1 FROM {table}") == [], table
    (mail,) = await rows(house.register, "SELECT state, raw FROM intake")
    assert (mail.state, mail.raw) == ("answered", None)
    assert not await bird.step()  # it is not time yet
    house.now += timedelta(hours=1)
    assert await bird.step()
    await travel(house)
    await bird.step()
    assert await outcomes(house) == [CanaryOutcome.ANSWERED] * 2


async def test_what_it_does_is_counted_nowhere_and_told_to_nobody(house: House) -> None:
    bird = a_canary(house)
    await bird.step()
    await travel(house)
    async with house.register.read() as tx:
        assert await backlog.answered(tx, "answer", house.now - MINUTE, house.now + MINUTE) == []
        for job in (dispatch.DISPATCH_JOB, lifetimes.NOTICES_JOB, lifetimes.EXPIRY, lifetimes.PURGE):
            assert (await job.due(tx, TERMS, house.now + timedelta(days=1))).count == 0, job.name
    worker = at_work(house)
    await worker.stages.drain(asyncio.Event())
    assert b'requests_total{desk="00000"' not in worker.metrics.text(await worker.watch.look())


@dataclass
class Watched(InProcess):
    """Judges that are watched at typesetting."""

    seen: list[Attestation] = field(default_factory=list)

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        self.seen += attestations
        return await InProcess.typeset(self, attestations, at)


async def test_its_attestation_says_on_every_page_that_it_is_worth_nothing(house: House) -> None:
    house.judges = watched = Watched()
    await a_canary(house).step()
    await travel(house)
    (attestation,) = watched.seen
    assert attestation.environment is Environment.PRODUCTION
    assert attestation.mark == "SURVEILLANCE – SANS VALEUR"
    for page in pages(typeset(attestation)):
        assert attestation.mark in page
    real = replace(attestation, number=UniqueNumber(f"059{attestation.number[3:]}"))
    assert real.mark is None
    assert all("SANS VALEUR" not in page for page in pages(typeset(real)))


@pytest.mark.parametrize(
    ("sender", "changed"),
    [
        ("mairie", {}),
        ("mairie", {"desk": DeskCode("59123")}),
        ("mairie", {"territory": Territory("059")}),
        (CANARY_SENDER, {"desk": DeskCode("59123")}),
        (CANARY_SENDER, {"territory": Territory("059")}),
        (CANARY_SENDER, {"rights": frozenset({Right.CREATION, Right.CONSULT}), "starts_on": date(2025, 2, 1)}),
        (CANARY_SENDER, {"rights": frozenset({Right.RENEWAL}), "starts_on": date(2025, 2, 1)}),
    ],
)
async def test_nothing_of_it_can_be_given_to_others_nor_of_others_to_it(
    house: House, sender: str, changed: dict[str, object]
) -> None:
    wanted = replace(CREATES, **changed)  # type: ignore[arg-type]  # fields of a mandate
    with pytest.raises(directory.Reserved, match="canary"):
        async with house.register.begin() as tx:
            await directory.add_mandate(tx, SenderCode(sender), wanted, change(house))
    rights = " ".join(sorted(right.value for right in wanted.rights))
    with pytest.raises(ConstraintViolated, match="canary_apart"):
        await execute(
            house.register,
            "INSERT INTO mandate (sender, desk, territory, rights, starts_on)"
            " VALUES (:sender, :desk, :territory, :rights, '2025-03-01')",
            sender=sender,
            desk=wanted.desk,
            territory=wanted.territory,
            rights=rights,
        )


async def test_it_is_an_alarm_when_it_is_late_or_lost(house: House) -> None:
    bird, lookout = a_canary(house), Lookout(register=house.register, at=house.now)
    await bird.step()
    assert await more(lookout, 29 * MINUTE) == []
    assert await more(lookout, 2 * MINUTE) == [RAISED[Alarm.CANARY_LATE]]
    house.now += timedelta(hours=12, minutes=1)
    await bird.step()
    assert await outcomes(house) == [CanaryOutcome.LOST]
    assert await more(lookout, 10 * MINUTE) == [RAISED[Alarm.CANARY_FAILS], "cleared CanaryLate"]


async def test_one_that_asked_for_a_real_place_would_be_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailflow.mail.canary.CANARY_MUNICIPALITY", "59350")
    bird = a_canary(house)
    await bird.step()
    await travel(house)
    await bird.step()
    assert await outcomes(house) == [CanaryOutcome.REFUSED]


async def test_one_that_the_mail_server_does_not_take_was_not_sent(house: House) -> None:
    bird = a_canary(house)
    house.mailer.fates = [Fate.DEFER_AT_ONCE]
    assert not await bird.step()
    assert await outcomes(house) == [CanaryOutcome.UNSENT]


async def test_one_that_a_kill_kept_from_being_sent_is_given_up(house: House) -> None:
    bird = a_canary(house)
    async with house.register.begin() as tx:
        await runs.begin(tx, "DEM00000-202601151030-000001.xml", house.now, house.now + 30 * MINUTE)
    await bird.step()
    assert await outcomes(house) == [None]
    house.now += 16 * MINUTE
    await bird.step()
    assert await outcomes(house) == [CanaryOutcome.UNSENT]


async def test_an_answer_by_somebody_else_is_none(house: House) -> None:
    bird = a_canary(house)
    await bird.step()
    await travel(house)
    stranger = replace(bird, keys=replace(bird.keys, signed_by=lambda: [bird_identity().der]))
    await stranger.step()
    assert await outcomes(house) == [CanaryOutcome.WRONG]
