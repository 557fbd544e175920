"""What operators do to mails: every cell of the table, what a filter matches, and how it stands beside workers."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.core.model import SenderCode
from mailflow.core.numbers import DeskCode
from mailflow.ops.reading import read_outlook
from mailflow.register import (
    LeaseLost,
    Register,
    acts,
    cases,
    directory,
    files,
    intake,
    issuing,
    journal,
    lateness,
    outbox,
    tables,
)
from mailflow.register.acts import MAILS, OUTGOING, Left, Verb
from mailflow.register.cases import MAIL, Filter, Item
from mailflow.register.types import IntakeState, OutboxState
from tests.support.operating import ACT, ids, operate
from tests.support.records import (
    LATER,
    LONG_AFTER,
    NOW,
    ROOMY,
    a_draft,
    a_file,
    a_mail,
    another,
    arrival,
    claim,
    claim_solo,
    frozen,
    name_of,
    octets,
    registered,
    settlement,
    take_in,
)


async def find(register: Register, **criteria: Any) -> list[Item]:
    async with register.read() as tx:
        return await cases.find(tx, Filter(**criteria))


async def found(register: Register, **criteria: Any) -> list[tuple[str, int]]:
    return [(item.kind, item.id) for item in await find(register, **criteria)]


async def journal_of(register: Register, mail: int) -> list[journal.Entry]:
    async with register.read() as tx:
        return [kept.entry for kept in await journal.of_intake(tx, mail)]


# Every cell


async def a_mail_in(register: Register, state: IntakeState) -> int:
    """A mail that has come into that state as mails do, and waits for its next attempt where it waits."""
    if state is IntakeState.SAME_DELIVERY:
        async with register.begin() as tx:
            await intake.take_in(tx, [arrival(1, b"mail"), arrival(1, b"mail", uidvalidity=8)], NOW)
            await intake.take_in(tx, [arrival(2, b"mail", uidvalidity=8)], NOW)
        (known,) = await find(register, states=[state.value])
        return known.id
    mail = await a_mail(register)
    async with register.begin() as tx:
        match state:
            case IntakeState.RECEIVED:
                await intake.await_numbers(tx, "me", [mail], LATER, reason=issuing.WAITS)
            case IntakeState.UNDETERMINED:
                await intake.postpone(tx, "me", [mail], LATER, reason="CTRL_SIG_0016", detail="")
            case IntakeState.ANSWERED | IntakeState.SET_ASIDE:
                await intake.settle(tx, "me", [settlement(mail, state.value, "CTRL_SIG_0012")], NOW)
            case IntakeState.HELD:
                await intake.release(tx, "me", [mail], refund=False)
                await acts.perform(tx, Verb.HOLD, Filter(intakes=[mail]), ACT, NOW)
    return mail


BECOMES = {
    Verb.HOLD: dict.fromkeys(IntakeState, IntakeState.HELD),
    Verb.RELEASE: dict.fromkeys(IntakeState, IntakeState.RECEIVED),
    Verb.RETRY: {state: state for state in IntakeState},
    Verb.REJUDGE: dict.fromkeys(IntakeState, IntakeState.RECEIVED),
    Verb.SET_ASIDE: dict.fromkeys(IntakeState, IntakeState.SET_ASIDE),
}


@pytest.mark.parametrize("state", IntakeState)
@pytest.mark.parametrize("verb", [verb for verb in MAILS if verb is not Verb.REJECT])  # which is in test_rejecting
async def test_the_table_decides_about_mails(register: Register, verb: Verb, state: IntakeState) -> None:
    mail = await a_mail_in(register, state)
    weighed = await operate(register, verb, intakes=[mail])
    expected = MAILS[verb][state]
    (after,) = await find(register, intakes=[mail])
    entries = await journal_of(register, mail)
    if expected is not None:
        assert (ids(weighed), [why for _, why in weighed.left]) == ([], [expected])
        assert (after.state, [entry for entry in entries if entry.detail.get("state_before") == state]) == (state, [])
        return
    assert (ids(weighed), weighed.left) == ([mail], [])
    assert after.state is BECOMES[verb][state]
    assert entries[-1].detail == {"state_before": state, "by": "anna", "why": "a reason"}
    assert (after.next_at is not None) == (after.state in (IntakeState.RECEIVED, IntakeState.UNDETERMINED))
    assert await operate(register, verb, intakes=[mail]) != weighed, "doing it twice does nothing more"
    assert await find(register, intakes=[mail]) == [after]


async def an_outgoing_in(register: Register, state: OutboxState, verb: Verb) -> int:
    (id_,) = await frozen(register)
    async with register.begin() as tx:
        match state:
            case OutboxState.QUEUED:
                await outbox.queue(tx, [a_draft(None, key="other")], NOW)
                (order,) = await outbox.claim_queued(tx, "me", 1, NOW, LATER)
                await outbox.compose_later(tx, "me", order.id, LATER, "cannot be composed now")
                return order.id
            case OutboxState.COMPOSED:
                await outbox.claim_composed(tx, "me", 1, NOW, LATER, size_bytes_max=ROOMY)
                await outbox.defer(tx, "me", [id_], LATER, "451")
            case OutboxState.SENDING | OutboxState.SENT:
                await outbox.claim_composed(tx, "me", 1, NOW, NOW, size_bytes_max=ROOMY)
                await outbox.mark_sending(tx, "me", [id_], NOW - timedelta(seconds=1))
                if state is OutboxState.SENT:
                    await outbox.mark_sent(tx, [id_], NOW)
            case OutboxState.HELD:
                await outbox.claim_composed(tx, "me", 1, NOW, LATER, size_bytes_max=ROOMY)
                await outbox.hold(tx, "me", [id_], "550", NOW)
                if verb is Verb.RESEND:  # it came back
                    await tx.run(sa.update(tables.outbox).values(sent_at=NOW))
            case OutboxState.WITHDRAWN:
                await lateness.withdraw(tx, "answer", ["0"], "answered")
    return id_


OUTGOING_BECOMES = {
    Verb.HOLD: dict.fromkeys(OutboxState, OutboxState.HELD),
    Verb.RELEASE: dict.fromkeys(OutboxState, OutboxState.COMPOSED),
    Verb.RETRY: {state: state for state in OutboxState},
    Verb.RESEND: dict.fromkeys(OutboxState, OutboxState.COMPOSED),
}


@pytest.mark.parametrize("state", OutboxState)
@pytest.mark.parametrize("verb", OUTGOING)
async def test_the_table_decides_about_outgoing_mails(register: Register, verb: Verb, state: OutboxState) -> None:
    id_ = await an_outgoing_in(register, state, verb)
    (before,) = await find(register, outgoing=[id_])
    assert before.state is state
    weighed = await operate(register, verb, outgoing=[id_])
    expected = OUTGOING[verb][state]
    (after,) = await find(register, outgoing=[id_])
    if expected is not None:
        assert (ids(weighed), [why for _, why in weighed.left]) == ([], [expected])
        assert after == before
        return
    assert (ids(weighed), weighed.left) == ([id_], [])
    assert after.state is OUTGOING_BECOMES[verb][state]
    assert await operate(register, verb, outgoing=[id_]) != weighed
    assert await find(register, outgoing=[id_]) == [after]


# What a filter matches


async def some_mails(register: Register) -> tuple[int, int, int]:
    """One answered, with a file and an answer; one late, of which a file is known; one of which nothing is."""
    await take_in(register, 3)
    decided, late, fresh = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", decided)])
        await files.settle(tx, [("f1", b"receipt")])
        await outbox.queue(tx, [a_draft(decided, key=str(decided))], NOW)
        await intake.settle(tx, "me", [settlement(decided)], NOW)
        await intake.release(tx, "me", [late, fresh], refund=False)
        await lateness.remember_files(tx, [(late, DeskCode("59777"), "DEM59777-202611250930-000002.xml", "d")])
    return decided, late, fresh


async def test_a_filter_matches_what_meets_all_of_it(register: Register) -> None:
    decided, late, fresh = await some_mails(register)
    answer = [("answer", 1)]
    both = [("mail", decided), *answer]
    assert await found(register) == [*both, ("mail", late), ("mail", fresh)]
    assert await found(register, intakes=[decided]) == both
    assert await found(register, outgoing=[1]) == answer
    assert await found(register, kinds=["answer"]) == answer
    assert await found(register, kinds=[MAIL], intakes=[decided, fresh]) == [("mail", decided), ("mail", fresh)]
    assert await found(register, desk="59123") == both
    assert await found(register, desk="59777") == [("mail", late)]
    assert await found(register, file="DEM*-000002.xml") == [("mail", late)]
    assert await found(register, file="DEM59123-202611250930-000001.xml") == both
    assert await found(register, file="DEM59777*", desk="59123") == []
    assert await found(register, file="DEM_____-202611250930-000001.xml") == [], "what SQL takes for anything is not"
    assert await found(register, sender="acme") == both
    assert await found(register, states=["received"]) == [("mail", late), ("mail", fresh)]
    assert await found(register, states=["queued", "answered"]) == both
    assert await found(register, message_id=name_of(str(decided))) == both
    oldest = (await find(register))[0].received_at
    assert await found(register, since=oldest + timedelta(seconds=1), kinds=[MAIL]) == [("mail", late), ("mail", fresh)]
    assert await found(register, until=oldest + timedelta(seconds=1)) == both


async def test_a_message_id_leads_to_the_mail_and_to_its_answer(register: Register) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [replace(arrival(1), message_id="<1@desk.example>"), arrival(2)], NOW)
    (one, _) = [item.id for item in await find(register)]
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(one)], NOW)
    both = [("mail", one), ("answer", 1)]
    assert await found(register, message_id="<1@desk.example>") == both
    assert await found(register, message_id=name_of("1")) == both
    assert await found(register, message_id="<2@desk.example>") == []


async def test_a_number_leads_to_the_mails_by_which_it_was_made(register: Register) -> None:
    number = await registered(register)
    async with register.begin() as tx:
        await journal.append(tx, [journal.Entry(kind="registered", number=number, intake_id=1)], NOW)
    (mail,) = await find(register, number=number)
    assert (mail.kind, mail.id) == (MAIL, 1)
    assert await found(register, number="059112699999959123") == []


async def test_whom_a_mail_goes_to_that_answers_none(register: Register) -> None:
    await frozen(register)
    change = directory.Change(by="me", why="test", at=NOW)
    async with register.begin() as tx:
        for code, address in (("acme", "desk@vendor.test"), ("other", "other@vendor.test")):
            await directory.add_sender(
                tx, SenderCode(code), name=code, answer_address=address, legacy_encryption=False, change=change
            )
    assert [await found(register, sender=code) for code in ("acme", "other")] == [[("answer", 1)], []]


async def test_a_limit_cuts_what_is_shown_and_not_what_is_counted(register: Register) -> None:
    await some_mails(register)
    async with register.read() as tx:
        assert len(await cases.find(tx, Filter(), 2)) == 2
        assert await cases.count(tx, Filter()) == 4
        assert await cases.count(tx, Filter(kinds=["answer"])) == 1


# Beside workers


async def test_what_somebody_is_at_work_on_is_left_alone_and_told(register: Register) -> None:
    await take_in(register, 2)
    (mine,) = await claim(register, limit=1)
    weighed = await operate(register, Verb.HOLD, kinds=[MAIL])
    assert [(item.id, why) for item, why in weighed.left] == [(mine.id, Left.AT_WORK)]
    assert len(weighed.done) == 1
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mine.id)], NOW)


async def test_a_lease_that_ran_out_protects_nobody_and_its_owner_can_decide_nothing_more(register: Register) -> None:
    mail = await a_mail(register)
    assert ids(await operate(register, Verb.HOLD, LONG_AFTER, intakes=[mail])) == [mail]
    with pytest.raises(LeaseLost):
        async with register.begin() as tx:
            await intake.settle(tx, "me", [settlement(mail)], LONG_AFTER)


async def test_an_answer_that_is_held_while_it_is_composed_is_not_sent(register: Register) -> None:
    """Its composer came too late: the lease had run out."""
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None)], NOW)
        (order,) = await outbox.claim_queued(tx, "slow", 1, NOW, LATER)
    await operate(register, Verb.HOLD, LONG_AFTER, outgoing=[order.id])
    async with register.begin() as tx:
        await outbox.freeze(tx, {order.id: [octets(b"octets")]})
        assert await outbox.claim_composed(tx, "me", 9, LONG_AFTER, LONG_AFTER, size_bytes_max=ROOMY) == []
    (held,) = await find(register, outgoing=[order.id])
    assert (held.state, held.kept) == (OutboxState.HELD, False)


async def test_a_worker_and_an_operator_at_the_same_moment(register: Register, register_url: str) -> None:
    """Each mail is either claimed or held, and never both."""
    await take_in(register, 40)
    async with another(register_url) as elsewhere:
        worked, weighed = await asyncio.gather(claim(elsewhere, limit=20), operate(register, Verb.HOLD, kinds=[MAIL]))
    claimed, held = {mail.id for mail in worked}, set(ids(weighed))
    assert claimed & held == set()
    assert {item.id for item in await find(register, states=["held"])} == held
    assert len(claimed | held) + len(weighed.left) >= 40


async def test_what_a_fault_broke_is_judged_again_alone_and_the_rest_together(register: Register) -> None:
    await take_in(register, 2)
    one, two = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        aside = [settlement(one, "set_aside", "CTRL_SYS_0001"), settlement(two, "set_aside", "CTRL_SIG_0012")]
        await intake.settle(tx, "me", aside, NOW)
    assert ids(await operate(register, Verb.REJUDGE, states=["set_aside"])) == [one, two]
    assert [mail.id for mail in await claim(register)] == [two]
    alone = await claim_solo(register)
    assert alone is not None
    assert (alone.id, alone.attempts) == (one, 1)


async def test_an_act_that_fails_leaves_nothing_behind(register: Register) -> None:
    await take_in(register, 2)

    async def cut_off() -> None:
        async with register.begin() as tx:
            await acts.perform(tx, Verb.HOLD, Filter(kinds=[MAIL]), ACT, NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cut_off()
    assert {item.state for item in await find(register)} == {IntakeState.RECEIVED}
    assert await journal_of(register, 1) == []


async def test_thousands_at_once(register: Register) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(uid) for uid in range(2_500)], NOW)
    assert len((await operate(register, Verb.HOLD, kinds=[MAIL])).done) == 2_500
    async with register.read() as tx:
        weighed = await acts.preview(tx, Verb.RELEASE, Filter(states=["held"]), NOW)
    assert (len(weighed.done), weighed.left) == (2_500, [])


async def test_more_than_one_act_is_for_is_refused(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    await take_in(register, 3)
    monkeypatch.setattr(acts, "MATCHES_MAX", 2)
    with pytest.raises(acts.TooManyMatch, match="3 match"):
        await operate(register, Verb.HOLD, kinds=[MAIL])
    assert await found(register, states=["held"]) == []
    assert len((await operate(register, Verb.HOLD, intakes=[1, 2])).done) == 2


async def test_what_was_held_or_set_aside_by_an_operator_still_counts(register: Register) -> None:
    await take_in(register, 2)
    one, two = [item.id for item in await find(register)]
    await operate(register, Verb.HOLD, intakes=[one])
    await operate(register, Verb.SET_ASIDE, intakes=[two])
    async with register.read() as tx:
        view = await read_outlook(tx, "answer", NOW, deadline=timedelta(hours=12), percents=[50])
    assert (view.waiting, view.late) == (2, 2)
    assert {stuck.state for stuck in view.stuck} == {"held", "set_aside"}
