"""School and production do not meet: not by a mail that is forwarded, nor by a register that is opened by mistake."""

from collections.abc import Callable
from datetime import date
from email import message_from_bytes

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Environment, Mandate, Right
from mailflow.core.numbers import DeskCode, Territory
from mailflow.demo.applications import Person, request_file, request_form
from mailflow.errors import Misconfigured
from mailflow.mail import cms, composing, delivery, entities, worker
from mailflow.mail.desk import open_answer
from mailflow.register import Register, directory, installation
from mailflow.wire.management import QuestionElement
from mailflow.wire.questions import write_questions
from tests.support.doors import House
from tests.support.judging import (
    JUDGED_AT,
    a_mail,
    encrypted,
    mailed,
    mairie,
    multipart,
    signed,
)
from tests.support.pki import AT, shared_pki
from tests.support.records import rows

DESKS = {Environment.PRODUCTION: "59123", Environment.SCHOOL: "Z0001"}
OTHER = {Environment.PRODUCTION: Environment.SCHOOL, Environment.SCHOOL: Environment.PRODUCTION}
REFUSAL = {Environment.PRODUCTION: Code.SCHOOL_DESK, Environment.SCHOOL: Code.NOT_A_SCHOOL_DESK}


def dem(desk: str) -> bytes:
    who = Person(surname="Durand", first_name="Zoé", born_on=date(1990, 1, 1))
    form = request_form(who, desk=desk, deposited_on=date(2026, 2, 10), municipalities=["59350"])
    return entities.file_part(f"DEM{desk}-202603021000-000001.xml", request_file([form], made_at=AT), "application/xml")


def ges(desk: str) -> bytes:
    content = write_questions([QuestionElement(file_name=f"DEM{desk}-202603021000-000001.xml")], AT)
    return entities.file_part(f"GES{desk}-202603021000-000001.xml", content, "application/xml")


async def house_of(register: Register, environment: Environment) -> House:
    """A service whose operator has made every mistake: the sender may act for the other environment's desk as well."""
    house = House(register, environment=environment)
    await house.enrol()
    change = directory.Change(by="operator", why="test", at=house.now)
    mandate = Mandate(
        desk=DeskCode("Z0001"),
        territory=Territory("059"),
        rights=frozenset({Right.CREATION}),
        starts_on=date(2025, 1, 1),
        ends_on=None,
    )
    async with register.begin() as tx:
        await directory.add_desk(tx, mandate.desk, name="school", address="1 place", change=change)
        await directory.add_mandate(tx, mairie().enrolment().code, mandate, change)
    return house


async def sent_to(house: House, raw: bytes) -> list[bytes]:
    """What the service answers to a mail."""
    house.mailbox.deliver(raw)
    door = house.door()
    await worker.receive(door)
    while await worker.process(door):
        pass
    await composing.compose(door)
    await delivery.deliver(door)
    return [mail.raw for mail in house.mailer.accepted]


async def registered(register: Register) -> int:
    return int((await rows(register, "SELECT count(*) FROM request"))[0][0])


@pytest.mark.parametrize("environment", Environment)
async def test_a_mail_forwarded_to_the_other_environment_registers_nothing_and_tells_nothing(
    register: Register, environment: Environment
) -> None:
    """The desk stands in the signed octets: whoever forwards them cannot change it."""
    house = await house_of(register, environment)
    desk = DESKS[OTHER[environment]]
    (answer,) = await sent_to(house, a_mail(multipart(dem(desk), ges(desk))))
    opened = open_answer(answer, [mairie().decryption_key], [shared_pki().service_ec.der], house.now)
    assert opened.environment == environment
    for name in (f"RET{desk}-202603021000-000001.xml", f"RGE{desk}-202603021000-000001.xml"):
        assert REFUSAL[environment].encode() in opened.files[name]
        assert b"numUnique>" not in opened.files[name]
        assert b"reponse" not in opened.files[name]
    assert await registered(register) == 0
    own = a_mail(dem(DESKS[environment]))
    await sent_to(house, own)
    assert await registered(register) == 1, "the same with its own desk is registered"


def other_key(content: bytes) -> bytes:
    """Encrypted to the key of the other installation."""
    return mailed(cms.enveloped_entity(cms.encrypt(signed(content), [shared_pki().service_rsa.der], legacy=False)))


def forwarded_inside(content: bytes) -> bytes:
    """As an attachment of a signed mail."""
    return a_mail(multipart(b"Content-Type: message/rfc822\r\n\r\n" + mailed(signed(content, boundary="forwarded"))))


@pytest.mark.parametrize("forwarded", [other_key, forwarded_inside])
async def test_what_is_encrypted_or_wrapped_for_the_other_environment_registers_nothing(
    register: Register, forwarded: Callable[[bytes], bytes]
) -> None:
    house = await house_of(register, Environment.PRODUCTION)
    await sent_to(house, forwarded(dem("Z0001")))
    assert await registered(register) == 0
    assert await rows(register, "SELECT 1 FROM file") == []


async def test_an_answer_that_is_forwarded_to_a_service_is_nobodys_request(register: Register) -> None:
    """It is signed by the service, which is no sender; nobody is answered."""
    house = await house_of(register, Environment.SCHOOL)
    (answer,) = await sent_to(house, a_mail(dem("Z0001")))
    inner = cms.decrypt(entity_of(answer), [mairie().decryption_key], at=JUDGED_AT)
    for raw in (answer, mailed(inner), mailed(encrypted(inner))):
        assert len(await sent_to(house, raw)) == 1
    assert await registered(register) == 1


def entity_of(raw: bytes) -> bytes:
    octets = message_from_bytes(raw).get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


# The register


@pytest.mark.parametrize("environment", Environment)
async def test_a_register_is_of_one_environment_for_ever(register: Register, environment: Environment) -> None:
    async with register.read() as tx:
        with pytest.raises(Misconfigured, match="mailflow init"):
            await installation.require_environment(tx, environment)
    for _ in range(2):
        async with register.begin() as tx:
            await installation.settle_environment(tx, environment)
    for check in (installation.settle_environment, installation.require_environment):
        async with register.begin() as tx:
            with pytest.raises(Misconfigured, match=f"should be `{environment}`"):
                await check(tx, OTHER[environment])
    async with register.read() as tx:
        await installation.require_environment(tx, environment)
