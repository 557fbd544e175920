"""A register that is behind its mailboxes gives no numbers; after `restore` no number that went out goes to another."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
import sqlalchemy as sa

from mailflow import app
from mailflow.cli.restore import require_up_to_date
from mailflow.core import numbers
from mailflow.errors import MailflowError, Unavailable
from mailflow.mail import hindsight, recovery, worker
from mailflow.mail.door import Progress
from mailflow.mail.hindsight import LOOKED_AT, NEWEST, Hindsight, survey
from mailflow.mail.kinds import ANSWER
from mailflow.mail.mime import glance
from mailflow.mail.pool import TaskFailed
from mailflow.mail.recovery import Recovery
from mailflow.register import acts, issuing, restoring
from mailflow.register.issuing import SERVICE
from mailflow.register.restoring import JUMP
from mailflow.register.vault import Vault
from mailflow.settings import Settings
from tests.support.judging import dem_part, mailed, mairie, multipart, signed
from tests.support.operating import ACT, operate
from tests.support.pki import shared_pki
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, behind, lose, recovered, resume, stopped, unexplained


async def test_with_the_archives_key_each_request_has_its_own_number_again(loser: Loser) -> None:
    told = await lose(loser)
    loser.house.mailbox.deliver(a_letter(6))  # before those of the lost time are taken in again
    await loser.work()
    done = await recovered(loser, jump=False)
    assert (done.reserved, done.taken_in, done.held) == (4, 2, 0)
    assert not await behind(loser)
    assert not await loser.work(), "still stopped, and nothing else is decided before what was lost"
    await resume(loser)
    assert (await loser.work()).registered == 5
    again = loser.told()[1 + len(told) :]
    assert set(told) <= set(again)
    (new,) = set(again) - set(told)
    assert new[2] not in {number for _, _, number in told}
    assert numbers.parse(new[2]).sequence == 6
    async with loser.house.register.read() as tx:
        assert [one.given for one in await restoring.reserved(tx)] == [True] * 4
    message_ids = await rows(loser.house.register, "SELECT id FROM intake ORDER BY id DESC LIMIT 1")
    assert message_ids[0].id > restoring.INTAKES_AHEAD, "answers to come are not named as those that were lost"


async def test_what_was_lost_is_decided_in_the_order_of_its_reception_whatever_fails(loser: Loser) -> None:
    """Two requests of one person: the first has the number, and the second is refused. So it is told again."""
    house = loser.house
    backup = await loser.back_up()
    for sequence, count in ((3, 1), (4, 2)):
        raw = mailed(signed(multipart(dem_part(sequence, count=count))))
        house.mailbox.deliver(raw.replace(b"<1@mairie.example>", b"<%d@mairie.example>" % sequence))
        await loser.work()
    given, told = await loser.numbers(), loser.told()
    assert len(given) == len(told) == 2
    await house.register.close()
    loser.use(backup)
    processed, audit = loser.trails
    loss = await survey(house.register, processed, audit)
    ours = [shared_pki().service_ec.der]
    went_out = await recovery.read_answers(audit, loss, [mairie().decryption_key], ours, house.now)
    todo = Recovery(loss=loss, went_out=went_out, jump=False)
    await recovery.recover(house.register, processed, todo, ACT, house.now)
    await resume(loser)
    troubles = [TaskFailed("valueerror", "mime.py-1")]

    def fail_once() -> None:
        while troubles:
            raise troubles.pop()

    house.judges.trouble = fail_once
    door = loser.door()
    await loser.work(replace(door, pace=replace(door.pace, chunk=1)))
    assert await loser.numbers() == given
    assert loser.told() == told * 2


async def test_answers_are_found_that_are_named_after_numbers_which_mails_to_come_have_left_out(loser: Loser) -> None:
    """PostgreSQL leaves up to 32 numbers out when it recovers."""
    await lose(loser)
    async with loser.house.register.begin() as tx:
        if tx.has_only_writer:
            await tx.run(sa.text("UPDATE sqlite_sequence SET seq = seq + 32 WHERE name = 'intake'"))
        else:
            await tx.all(sa.text("SELECT setval(pg_get_serial_sequence('intake', 'id'), 32)"))
    loser.house.mailbox.deliver(a_letter(6))
    await worker.receive(loser.house.door())
    loss = await behind(loser)
    assert (len(loss.mails), sorted(loss.answers.values())) == (2, [2, 3, 4])


async def test_a_number_whose_request_never_comes_again_goes_to_nobody(loser: Loser) -> None:
    told = await lose(loser)
    del loser.house.mailbox.folders["Processed"][-1]
    await loser.work()
    await recovered(loser, jump=False)
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(7))
    await loser.work()
    lost = told[-1][2]
    assert lost not in await loser.numbers()
    async with loser.house.register.read() as tx:
        assert [one.number for one in await restoring.reserved(tx) if not one.given] == [lost]
    assert not await unexplained(loser), "the reconciliation knows what is kept"


async def test_without_the_key_counters_jump_and_mails_of_the_lost_time_wait_for_a_person(loser: Loser) -> None:
    told = await lose(loser)
    await loser.work()
    done = await recovered(loser, jump=True)
    assert (done.reserved, done.taken_in, done.held) == (0, 2, 3)
    assert done.counters > 1_000, "of every territory: of one that is not counted here numbers may have gone out too"
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(8))
    assert (await loser.work()).registered == 1
    await operate(loser.house.register, acts.Verb.RELEASE, loser.house.now, states=["held"])
    assert (await loser.work()).registered == 4
    given = set(await loser.numbers()) - {loser.told()[0][2]}
    assert not given & {number for _, _, number in told}
    assert min(numbers.parse(number).sequence for number in given) == JUMP + 2
    (entry,) = await rows(loser.house.register, "SELECT detail FROM journal WHERE kind = 'register-restored'")
    assert f'"jump": {JUMP}' in entry.detail
    assert '"by": "anna"' in entry.detail
    assert not await unexplained(loser), "the reconciliation knows what the counters have left out"


async def test_nothing_is_lost_when_it_is_cut_off_and_done_again(loser: Loser) -> None:
    told = await lose(loser)
    await loser.work()

    class Cut:
        """`Processed`, whose server goes away."""

        name = "Processed"

        async def fetch(self, *_: object) -> AsyncIterator[object]:
            raise Unavailable("away")
            yield

    processed, audit = loser.trails
    loss = await survey(loser.house.register, processed, audit)
    ours = [shared_pki().service_ec.der]
    went_out = await recovery.read_answers(audit, loss, [mairie().decryption_key], ours, loser.house.now)
    todo = Recovery(loss=loss, went_out=went_out, jump=0)
    with pytest.raises(Unavailable):
        await recovery.recover(loser.house.register, Cut(), todo, ACT, loser.house.now)  # type: ignore[arg-type]  # as far as it is asked
    assert await behind(loser), "it still is"
    await recovered(loser, jump=False)
    await resume(loser)
    await loser.work()
    assert set(told) <= set(loser.told()[1 + len(told) :])


async def test_a_register_that_goes_back_under_a_worker_is_noticed(loser: Loser) -> None:
    """As after a fail-over to a database that had not kept up: the worker lives, its register is an older one."""
    loser.house.mailbox.deliver(a_letter(1))
    door = loser.door()
    await loser.work(door)
    backup = await loser.back_up()
    door = replace(door, register=loser.house.register)
    loser.house.mailbox.deliver(a_letter(2))
    await loser.work(door)
    assert await stopped(loser) == ""
    await loser.house.register.close()
    loser.use(backup)
    loser.house.mailbox.deliver(a_letter(3))
    done = await loser.work(replace(door, register=loser.house.register))
    assert (await stopped(loser), done.registered) == (SERVICE, 0)


async def test_a_register_that_has_lost_nothing_but_a_decision_is_noticed_under_a_worker(loser: Loser) -> None:
    loser.house.mailbox.deliver(a_letter(1))
    door = loser.door()
    await worker.receive(door)
    backup = await loser.back_up()
    door = replace(door, register=loser.house.register)
    await loser.work(door)
    assert (await stopped(loser), len(loser.told())) == ("", 1)
    await loser.house.register.close()
    loser.use(backup)
    done = await loser.work(replace(door, register=loser.house.register))
    assert (await stopped(loser), done.registered) == (SERVICE, 0)


async def test_what_was_accounted_for_in_an_audit_mailbox_that_has_gone_back_hides_no_loss(loser: Loser) -> None:
    """It gives the UIDs of copies that were accounted for to others."""
    await lose(loser)
    await loser.house.register.close()
    loser.url = loser.second
    loser.use(loser.url)
    await recovered(loser, jump=True)
    await resume(loser)
    backup = await loser.back_up()
    door = loser.door()
    await loser.work(door)
    del loser.house.mailer.mailboxes["audit"][-2:]
    loser.house.mailbox.deliver(a_letter(6))
    assert (await loser.work(door)).sent == 1
    await loser.house.register.close()
    loser.use(backup)
    loser.house.mailbox.folders["Processed"].clear()
    loser.house.mailbox.deliver(a_letter(7))
    assert (await loser.work()).registered == 0
    assert await stopped(loser) == SERVICE


async def test_a_register_that_is_not_behind_is_left_alone_and_looks_once(loser: Loser) -> None:
    trails = loser.trails
    door = replace(loser.house.door(), hindsight=Hindsight(lambda: trails))
    for sequence in range(1, 4):
        loser.house.mailbox.deliver(a_letter(sequence))
        await loser.work(door)
    assert await stopped(loser) == ""
    assert [trail.asked for trail in trails] == [1, 1]
    loser.house.mailer.mailboxes["audit"].append(b"Message-ID: <0123456789012345678901234567890123456789@x.y>\r\n\r\n")
    await loser.work(loser.door())
    assert await stopped(loser) == "", "a stranger's mail to the audit mailbox stops nothing"


async def test_what_lies_in_the_audit_mailbox_and_is_not_ours_costs_nothing_and_hides_nothing(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(loser)
    audit = loser.house.mailer.mailboxes["audit"]
    alike = [re.sub(rb"Message-ID: <(\w{40})@[^>]+>", rb"Message-ID: <\1@elsewhere.example>", audit[-1])]
    forged = [b"Message-ID: <%040x@d%d.example>\r\n\r\n" % (number, number) for number in range(40)]
    others = [b"Message-ID: <%d.news@d%d.example>\r\n\r\n" % (number, number) for number in range(40)]
    audit += [*others, *forged, *alike]
    made = Counter[str]()
    token = Vault.token

    def counted(vault: Vault, kind: str, value: str) -> str:
        made[value] += 1
        return token(vault, kind, value)

    monkeypatch.setattr(Vault, "token", counted)
    monkeypatch.setattr(restoring, "INTAKES_AHEAD", 100)
    async with loser.house.register.read() as tx:
        assert await restoring.lost_answers(tx, ANSWER, {glance(mail).message_id for mail in others}) == {}
    assert not made
    loss = await behind(loser)
    assert sorted(loss.answers.values()) == [2, 3, 4, 4], "whatever the domain: the token is the proof"
    assert set(made.values()) == {1}, "each token is made once, however many mails and domains there are"


def others(count: int) -> list[bytes]:
    return [b"Message-ID: <%d.news@d%d.example>\r\n\r\n" % (number, number) for number in range(count)]


def named_as_ours(count: int) -> list[bytes]:
    """As those of another service that shares the audit mailbox."""
    return [b"Message-ID: <%040x@d%d.example>\r\n\r\n" % (number, number) for number in range(count)]


@pytest.mark.long_on("postgresql")
@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "between",
    [
        others(2 * NEWEST),
        others(3 * LOOKED_AT),
        named_as_ours(2 * NEWEST),
        others(LOOKED_AT) + named_as_ours(LOOKED_AT),
    ],
    ids=["few", "many", "named as ours", "both"],
)
async def test_mails_of_others_in_the_audit_mailbox_do_not_hide_that_answers_are_lost(
    loser: Loser, between: list[bytes]
) -> None:
    """Nothing else tells: what was taken in and lost does not lie in `Processed` any more."""
    await lose(loser)
    loser.house.mailbox.folders["Processed"].clear()
    loser.house.mailer.mailboxes["audit"] += between
    loss = await survey(loser.house.register, *loser.trails, newest=NEWEST)
    assert sorted(loss.answers.values()) == [2, 3, 4]
    loser.house.mailbox.deliver(a_letter(6))
    done = await loser.work()
    assert (await stopped(loser), done.registered) == (SERVICE, 0)


async def test_no_numbers_are_given_when_it_cannot_be_told_in_time_whether_answers_are_lost(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though none are: `resume` looks at everything, and finds it out."""
    loser.house.mailbox.deliver(a_letter(1))
    await loser.work()
    loser.house.mailer.mailboxes["audit"] += others(3 * NEWEST)
    monkeypatch.setattr(hindsight, "SECONDS_MAX", 0.0)
    loser.house.mailbox.deliver(a_letter(2))
    done = await loser.work()
    assert (await stopped(loser), done) == (SERVICE, Progress())
    async with loser.house.register.read() as tx:
        stop = await issuing.read(tx)
    assert stop is not None
    assert "could not be told" in stop.why
    monkeypatch.setattr(app, "trails_of", lambda _: loser.trails)
    await require_up_to_date(cast("Settings", None), loser.house.register)
    await resume(loser)
    assert (await loser.work(loser.house.door())).registered == 1


async def test_who_resumes_is_told_of_answers_that_were_not_seen_in_time(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(loser)
    loser.house.mailbox.folders["Processed"].clear()
    loser.house.mailer.mailboxes["audit"] += others(3 * NEWEST)
    monkeypatch.setattr(hindsight, "SECONDS_MAX", 0.0)
    await loser.work()
    assert await stopped(loser) == SERVICE
    monkeypatch.setattr(app, "trails_of", lambda _: loser.trails)
    with pytest.raises(MailflowError, match="3 answers"):
        await require_up_to_date(cast("Settings", None), loser.house.register)


async def test_a_register_that_knows_the_latest_answers_is_not_looked_into_any_further(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sequence in range(1, 4):
        loser.house.mailbox.deliver(a_letter(sequence))
        await loser.work()
    audit = loser.house.mailer.mailboxes["audit"]
    audit[:] = [*others(5 * LOOKED_AT), *audit]
    loss = await survey(loser.house.register, *loser.trails, newest=3)
    assert (bool(loss), loss.settled, len(loss.audit.headers)) == (False, True, 3)


async def test_a_mail_whose_header_we_cannot_read_and_its_server_can_stops_nothing(loser: Loser) -> None:
    long = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 900) for number in range(300))
    loser.house.mailbox.deliver(long + b"Message-ID: <hostile@b.example>\r\nFrom: a@b.example\r\n\r\nBonjour\r\n")
    assert (await loser.work()).set_aside == 1
    (mail,) = await rows(loser.house.register, "SELECT message_token FROM intake")
    assert mail.message_token is None
    await loser.work(loser.door())
    assert await stopped(loser) == ""


async def test_mailboxes_that_cannot_be_read_keep_everything_waiting(loser: Loser) -> None:
    def away() -> tuple[object, object]:
        raise Unavailable("away")

    loser.house.mailbox.deliver(a_letter(1))
    with pytest.raises(Unavailable):
        await loser.work(replace(loser.house.door(), hindsight=Hindsight(away)))  # type: ignore[arg-type]  # as far as it is asked
    tolerant = Hindsight(away, tolerant=True)  # type: ignore[arg-type]  # as far as it is asked
    assert (await loser.work(replace(loser.house.door(), hindsight=tolerant))).registered == 1
