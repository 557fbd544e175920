"""An answer is held when a mail says that it did not arrive, and only then."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from mailflow.mail import composing, delivery, worker
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Verdict
from mailflow.register import Register
from tests.support.doors import AUDIT, House, InProcess
from tests.support.judging import MAIRIE, a_judge, a_mail, dem_part
from tests.support.records import rows

SAMPLES = Path("tests/data/bounces")


class Judges(InProcess):
    """They know the address of the audit mailbox, as those of the service do."""

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        return a_judge(self._trust).judge_some(mails, at)


@pytest.fixture
async def house(register: Register) -> House:
    house = House(register, judges=Judges())
    await house.enrol()
    return house


async def comes_back(house: House, name: str, recipient: str) -> tuple[str, str | None]:
    """State and reason of an answer about which this sample came."""
    house.mailbox.deliver(a_mail(dem_part(1)))
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    (outgoing,) = house.mailer.accepted
    about = {b"answers@desk.example": recipient.encode()}
    raw = (SAMPLES / f"{name}.eml").read_bytes()
    for line in raw.splitlines():
        if line.startswith((b"To: bounce+", b"To: <bounce+")):
            about[line.partition(b"+")[2].partition(b"@")[0]] = outgoing.envelope_id.encode()
    for found, ours in about.items():
        raw = raw.replace(found, ours)
    house.mailbox.deliver(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    await worker.receive(door)
    assert (await worker.process(door)).set_aside == 1
    ((state, reason),) = await rows(house.register, "SELECT state, reason FROM outbox")
    return state, reason


REPORTS = ["exim_plain", "exim_report", "postfix_failed", "exchange_failed", "gmail_failed"]


@pytest.mark.parametrize("name", [*REPORTS, "qmail_plain", "broken_report"])
async def test_an_answer_that_did_not_arrive_is_held(house: House, name: str) -> None:
    assert await comes_back(house, name, MAIRIE) == ("held", "bounced")


@pytest.mark.parametrize("name", REPORTS)
async def test_an_answer_whose_copy_for_audit_came_back_has_arrived(house: House, name: str) -> None:
    assert await comes_back(house, name, AUDIT) == ("sent", None)
    ((detail,),) = await rows(house.register, "SELECT detail FROM intake WHERE state = 'set_aside'")
    assert detail.endswith("on a mailbox of ours")


@pytest.mark.parametrize("name", ["postfix_delayed", "opensmtpd_delayed", "exim_delayed", "postmaster_absent"])
async def test_an_answer_that_is_late_or_acknowledged_goes_on(house: House, name: str) -> None:
    assert await comes_back(house, name, MAIRIE) == ("sent", None)
