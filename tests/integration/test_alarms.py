"""Every alarm, raised by its real cause and over when that is gone."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.core.alerting import Channel, DeskCount
from mailflow.core.model import Refused
from mailflow.errors import Unavailable
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.daily import JOBS
from mailflow.mail import stages
from mailflow.ops.alarms import Alarm
from mailflow.ops.snapshot import Expiry, Quota, Surroundings
from mailflow.register import Register, files, intake, outbox, queues, requests, watching
from tests.support.doors import House
from tests.support.fake_mailer import Fate
from tests.support.jobs import TERMS
from tests.support.judging import a_mail, dem_part
from tests.support.pool_parts import BREAKS
from tests.support.reception import Reception, a_file, a_request, sent
from tests.support.records import NOW, a_draft, another, execute, rows, settlement, take_in
from tests.support.records import a_file as a_claim
from tests.support.records import a_mail as a_mail_of_ours
from tests.support.records import a_request as a_row
from tests.support.requests import a_form
from tests.support.watching import RAISED, Lookout, Working, at_work, lasting, more

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def lookout(register: Register) -> Lookout:
    return Lookout(register=register, at=NOW)


@pytest.fixture
async def house(register: Register, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(stages, "STEP_SECONDS_MAX", 0.05)
    made = House(register)
    await made.enrol()
    return made


async def drain(worker: Working) -> None:
    async with asyncio.timeout(60):
        await worker.stages.drain(asyncio.Event())


def watched(house: House) -> Lookout:
    return Lookout(register=house.register, at=house.now)


# Each by its cause


async def test_all_is_well_and_the_dead_mans_switch_hears_it(lookout: Lookout) -> None:
    await lookout.last(60, every=15)
    assert (lookout.ears.told(), lookout.ears.pings) == ([], 4)
    assert await rows(lookout.register, "SELECT 1 FROM alarm") == []


async def test_a_deadline_that_comes_nearer(lookout: Lookout) -> None:
    await take_in(lookout.register, 1)  # received 999 minutes before the numbers' zero
    await execute(lookout.register, "UPDATE intake SET received_at = :at", at=NOW)
    await lookout.look(5 * HOUR)
    assert RAISED[Alarm.DEADLINE_NEAR] not in lookout.ears.told()
    await lookout.look(2 * HOUR)
    await lookout.look(5 * MINUTE)
    told = lookout.ears.told()
    assert RAISED[Alarm.DEADLINE_NEAR] in told
    assert RAISED[Alarm.DEADLINE_AT_RISK] not in told
    assert RAISED[Alarm.WILL_MISS] in (told := told + (await more(lookout, 2 * HOUR, 10 * MINUTE)))
    assert RAISED[Alarm.DEADLINE_AT_RISK] in told
    assert await more(lookout, 3 * HOUR) == [RAISED[Alarm.LATE]]


async def test_nobody_who_looked_into_the_mailbox_for_hours(house: House) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    await drain(worker)  # the mailbox was empty then
    await lookout.look()
    lookout.attendance.sign = None
    assert RAISED[Alarm.DEADLINE_NEAR] in await more(lookout, 7 * HOUR, 5 * MINUTE)


async def test_a_worker_that_gives_no_sign_of_life_is_told_of_by_another(house: House) -> None:
    worker, dying = at_work(house), watched(house)
    worker.join(dying)
    await dying.last(10)
    watcher = Lookout(register=house.register, at=dying.at, host="host-b", disk_used=None)
    assert await more(watcher, 14 * MINUTE) == []
    assert await more(watcher, 2 * MINUTE, 5 * MINUTE) == [RAISED[Alarm.DOWN]]
    (alarm,) = await lasting(house.register)
    assert alarm.subject == '{"host": "host-a", "mailbox": "demandes@imap.example.org INBOX"}'
    dying.at = watcher.at
    await dying.look()  # started again
    assert await more(watcher, 5 * MINUTE, 5 * MINUTE) == ["cleared Down"]


async def test_a_host_that_is_no_more_is_forgotten(house: House) -> None:
    worker, former = at_work(house), watched(house)
    worker.join(former)
    await former.look()
    watcher = Lookout(register=house.register, at=former.at, host="host-b", disk_used=None)
    assert RAISED[Alarm.DOWN] in await more(watcher, 16 * MINUTE, 5 * MINUTE)
    async with house.register.begin() as tx:
        assert await watching.forget_host(tx, "host-a")
        assert not await watching.forget_host(tx, "host-a")
    assert await more(watcher, 5 * MINUTE, 5 * MINUTE) == ["cleared Down"]


async def test_a_mailbox_that_cannot_be_read(house: House) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    house.troubles = ["list"] * stages.FAILURES_MAX
    await drain(worker)
    await lookout.look()
    assert await more(lookout, 5 * MINUTE) == []
    assert await more(lookout, 5 * MINUTE) == [RAISED[Alarm.MAILBOX_UNREACHABLE]]
    await drain(worker)
    assert await more(lookout, 5 * MINUTE, 5 * MINUTE) == ["cleared MailboxUnreachable"]


async def test_what_a_dead_worker_said_of_itself_neither_lasts_nor_is_over(house: House) -> None:
    worker, dying = at_work(house), watched(house)
    worker.join(dying)
    house.troubles = ["list"] * stages.FAILURES_MAX
    await drain(worker)
    await dying.last(15)
    assert dying.ears.told() == [RAISED[Alarm.MAILBOX_UNREACHABLE]]
    watcher = Lookout(register=house.register, at=dying.at, host="host-b", disk_used=None)
    assert await more(watcher, HOUR, 5 * MINUTE) == [RAISED[Alarm.DOWN]]
    assert {alarm.code for alarm in await lasting(house.register)} == {"Down", "MailboxUnreachable"}


async def test_a_stage_that_fails_or_hangs(house: House) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    house.mailbox.deliver(a_mail(dem_part(1, surname="Noma")))
    house.shelf.trouble = away
    await drain(worker)
    await lookout.last(15)
    assert RAISED[Alarm.STAGE_FAILS] in lookout.ears.told()
    assert '{"stage": "process"}' in {alarm.subject for alarm in await lasting(house.register)}
    worker.stages.deliver.since = asyncio.get_running_loop().time() - 3601
    assert RAISED[Alarm.STAGE_HANGS] in await more(lookout, MINUTE, 2 * MINUTE)


def away() -> None:
    raise Unavailable("away")


async def test_somebody_else_holds_the_mailbox(house: House, register_url: str) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    place = f"{worker.door.account} {worker.door.inbox}"
    async with another(register_url) as stranger, stranger.alone("receive", of=place) as theirs:
        assert theirs
        await drain(worker)
        await lookout.last(15)
    assert lookout.ears.told() == [RAISED[Alarm.NOBODY_RECEIVES]]


async def test_a_job_that_is_not_done(lookout: Lookout) -> None:
    lookout.attendance.jobs = [job.name for job in JOBS]
    lookout.attendance.sign = None
    async with lookout.register.begin() as tx:
        await watching.expect_jobs(tx, lookout.attendance.jobs, NOW)
    await lookout.look(35 * HOUR)
    async with lookout.register.begin() as tx:
        for job in JOBS[1:]:
            await watching.job_done(tx, job.name, lookout.at)
    assert await more(lookout, 2 * HOUR, 10 * MINUTE) == [RAISED[Alarm.JOB_MISSED]]
    assert (await lasting(lookout.register))[0].subject == '{"task": "notices"}'


async def test_answers_that_nobody_takes_and_an_answer_that_comes_back(house: House) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    house.mailbox.deliver(a_mail(dem_part(1, surname="Noma")))
    house.mailer.fates = [Fate.DEFER_AT_ONCE]
    await drain(worker)
    await lookout.last(20)
    assert RAISED[Alarm.SENDING_FAILS] in lookout.ears.told()
    house.now = lookout.at
    await drain(worker)
    (name,) = await rows(house.register, "SELECT message_id, intake_id FROM outbox WHERE state = 'sent'")
    async with house.register.begin() as tx:
        await queues.record_bounce(
            tx, envelope_id="", message_id=name.message_id, verp="", intake_id=name.intake_id, at=house.now
        )
    assert RAISED[Alarm.ANSWERS_BOUNCE] in await more(lookout, MINUTE)
    assert RAISED[Alarm.HELD] in await more(lookout, 15 * MINUTE)


async def test_a_mailbox_and_a_disk_that_fill_up(house: House) -> None:
    worker, lookout = at_work(house), watched(house)
    worker.join(lookout)
    full = Quota(mailbox="audit", resource="storage", used=900, limit=1000)
    worker.watch.around = Surroundings(quotas=(full,), disk_used=0.5)
    lookout.disk_used = 0.93
    await lookout.look()
    told = await more(lookout, 5 * MINUTE, 5 * MINUTE)
    assert told == [RAISED[Alarm.DISK_FULL], RAISED[Alarm.QUOTA]]
    kept = {alarm.code: (alarm.subject, alarm.value) for alarm in await lasting(house.register)}
    assert kept["Quota"] == ('{"mailbox": "audit", "resource": "storage"}', "90 %")
    assert kept["DiskFull"] == ('{"host": "host-a"}', "93 %")
    worker.watch.around, lookout.disk_used = Surroundings(), None  # nobody has looked yet: a new process
    assert await more(lookout, 15 * MINUTE, 15 * MINUTE) == []
    worker.watch.around = Surroundings(quotas=(replace(full, used=100),), disk_used=0.5)
    lookout.disk_used = 0.5
    assert sorted(await more(lookout, 5 * MINUTE, 10 * MINUTE)) == ["cleared DiskFull", "cleared Quota"]


async def test_a_mail_that_breaks_us_and_one_that_cannot_be_judged(house: House, lookout: Lookout) -> None:
    worker, lookout = at_work(house), watched(house)
    house.mailbox.deliver(BREAKS + b": the judge\r\n")
    await drain(worker)
    await lookout.look()
    assert await more(lookout, 5 * MINUTE) == [RAISED[Alarm.FAULT]]
    house.mailbox.deliver(a_mail(dem_part(2, surname="Nomb")))
    await worker.stages.receive.turn(worker.door)
    await execute(
        house.register, "UPDATE intake SET state = 'undetermined', reason = 'CTRL_SIG_0016' WHERE state = 'received'"
    )
    assert RAISED[Alarm.UNDETERMINED] in await more(lookout, MINUTE, HOUR)


async def test_a_desk_whose_requests_are_refused_again_and_again(register: Register) -> None:
    reception = Reception(register)
    await reception.enrol()
    wrong = [a_request("Nom" + chr(97 + n), complete=False) for n in range(21)]
    (receipt,) = await reception.submit(sent(a_file(*wrong)))
    assert all(isinstance(outcome, Refused) for file in receipt.files for outcome in file.outcomes)
    (mail,) = await rows(register, "SELECT id FROM intake")
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(mail.id)], NOW)
    await execute(register, "UPDATE outbox SET state = 'sent', next_at = NULL, sent_at = :at", at=NOW)
    async with register.read() as tx:
        assert await watching.desk_counts(tx, "answer", NOW) == [DeskCount(desk="59123", decided=21, refused=21)]
    lookout = Lookout(register=register, at=NOW)
    await lookout.look()
    assert RAISED[Alarm.DESK_FAILS] in await more(lookout, 15 * MINUTE)
    assert "cleared DeskFails" in await more(lookout, HOUR, 10 * MINUTE)


async def test_certificates_and_lists_that_run_out(lookout: Lookout) -> None:
    ours = Expiry(kind="service", name="signing", at=NOW + timedelta(days=29))
    lookout.expiries = (ours, Expiry(kind="list", name="authority.crl", at=NOW + 6 * HOUR))
    await lookout.look(MINUTE)
    assert await more(lookout, 10 * MINUTE) == [RAISED[Alarm.LIST_ENDS]]
    lookout.expiries = (ours,)
    assert await more(lookout, HOUR) == [RAISED[Alarm.CERTIFICATE_ENDS], "cleared ListEnds"]
    (alarm,) = await lasting(lookout.register)
    assert alarm.value == "28 days"


async def test_promises_of_the_register_that_are_broken(register: Register) -> None:
    lookout = Lookout(register=register, at=NOW)
    await AUDIT.step(register, TERMS, NOW)
    assert await more(lookout, MINUTE) == []
    mail = await a_mail_of_ours(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_claim("f1", mail)])
        await intake.settle(tx, "me", [settlement(mail)], NOW)
        await requests.insert(tx, [a_row("r1", 1, "f1")], NOW)
    await AUDIT.step(register, TERMS, NOW)
    async with register.read() as tx:
        found = await watching.broken(tx)
        due = await AUDIT.due(tx, TERMS, NOW)
    broken = {"answered-has-an-answer": 1, "number-has-a-history": 1, "number-was-counted": 1}
    assert found == {**broken, "acceptance-has-evidence": 0, "journal-is-as-sealed": 0}
    assert due.count == 3
    assert await more(lookout, MINUTE) == [RAISED[Alarm.INVARIANT_BROKEN]] * 3


def test_every_alarm_is_raised_by_some_test() -> None:
    folder = Path(__file__).parent
    modules = ("test_alarms.py", "test_canary.py", "test_numbers_stopped.py", "test_rates.py", "test_succession.py")
    raised = "".join((folder / name).read_text(encoding="utf-8") for name in modules)
    assert [alarm for alarm in Alarm if f"RAISED[Alarm.{alarm.name}]" not in raised] == []


async def test_nobody_is_told_anything_of_a_person(register: Register) -> None:
    """Refused, held and broken: the alarms say how many, never who."""
    canaries = ("Quenehervezylber", "Apollinexanthe", "1937-11-29", "1937112959350", "137115935012345")
    reception = Reception(register)
    await reception.enrol()
    form = {"nom": canaries[0], "prenom": canaries[1], "dateNaissance": canaries[2], "nir": canaries[4]}
    wrong = [
        a_form({"personnePhysique/demandeur": {**form, "prenom": canaries[1] + chr(97 + n)}, "pieceIdentite": None})
        for n in range(21)
    ]
    await reception.submit(sent(a_file(*wrong)))
    (mail,) = await rows(register, "SELECT id FROM intake")
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(mail.id), a_draft(None, key=canaries[0])], NOW)
    await execute(register, "UPDATE outbox SET state = 'sent', next_at = NULL, sent_at = :at", at=NOW)
    async with register.begin() as tx:
        await tx.run(sa.text(f"UPDATE outbox SET state = 'held', reason = 'bounced' WHERE key = '{canaries[0]}'"))
    lookout = Lookout(register=register, at=NOW)
    await lookout.last(30)
    said = "".join(message.text + json.dumps(message.document) for _, message in lookout.ears.heard)
    assert {"DeskFails", "AnswersBounce", "Held"} <= set(re.findall(r"\w+", said))
    assert [canary for canary in canaries if canary.lower() in said.lower()] == []


async def test_what_the_service_does_breaks_no_promise(house: House) -> None:
    worker = at_work(house)
    for number in range(1, 4):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(96 + number))))
    await drain(worker)
    async with house.register.read() as tx:
        assert set((await watching.count_broken(tx)).values()) == {0}
    assert len(await rows(house.register, "SELECT 1 FROM request")) == 3


async def test_without_its_register_the_watch_tells_by_itself(lookout: Lookout) -> None:
    async def look(later: timedelta) -> bool:
        lookout.at += later
        return await lookout.attendance.round(unreadable)

    assert [await look(MINUTE), await look(4 * MINUTE)] == [False, False]
    assert lookout.ears.told() == []
    await look(2 * MINUTE)
    assert (lookout.ears.told(), lookout.ears.pings) == ([RAISED[Alarm.REGISTER_UNREADABLE]], 0)
    await look(5 * MINUTE)
    assert lookout.ears.told() == []
    await look(HOUR)
    assert lookout.ears.told(Channel.SECOND) == ["reminder RegisterUnreadable"]
    assert await lookout.look(MINUTE)
    assert (lookout.ears.told(), lookout.ears.told(Channel.SECOND)) == (["cleared RegisterUnreadable"],) * 2
    assert lookout.ears.pings == 1


@contextlib.asynccontextmanager
async def unreadable() -> AsyncIterator[Register]:
    """A register that cannot be opened."""
    raise Unavailable("the database: away")
    yield
