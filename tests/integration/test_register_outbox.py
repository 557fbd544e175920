"""The outbox: ordered once, frozen once, sent by one, and what is doubtful is decided once."""

from datetime import timedelta

import pytest

from mailflow.register import Register, doubt, intake, journal, outbox, queues
from mailflow.register.acts import Verb
from tests.support.operating import ids, operate
from tests.support.records import (
    LATER,
    LONG_AFTER,
    NOW,
    ROOMY,
    a_draft,
    a_mail,
    claim,
    frozen,
    key_rows,
    name_of,
    octets,
    rows,
    take_in,
)

LEASE = LATER - NOW
ENVID = outbox.envelope_id(name_of("0"))


async def _compose(register: Register, owner: str = "me", limit: int = 50) -> list[outbox.Queued]:
    async with register.begin() as tx:
        return await outbox.claim_queued(tx, owner, limit, NOW, LATER)


async def _deliver(register: Register, owner: str = "me", *, bytes_max: int = ROOMY) -> list[outbox.Composed]:
    async with register.begin() as tx:
        return await outbox.claim_composed(tx, owner, 50, NOW, LATER, size_bytes_max=bytes_max)


async def _sending(register: Register, owner: str = "me") -> int:
    """A mail cut off in the middle."""
    (id_,) = await frozen(register)
    await _deliver(register, owner)
    async with register.begin() as tx:
        assert await outbox.mark_sending(tx, owner, [id_], NOW) == {id_}
    return id_


async def _find(register: Register, id_: int) -> queues.OutboxRow:
    async with register.read() as tx:
        (row,) = await queues.find_outbox(tx, id_=id_)
    return row


async def test_an_order_comes_back_as_it_was_given(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        drafts = [a_draft(mail, payload=b"\0order"), a_draft(None, key="notice")]
        assert await outbox.queue(tx, drafts, NOW) == {("answer", "1"), ("answer", "notice")}
    one, other = await _compose(register)
    assert (one.payload, one.intake_id, one.message_id) == (b"\0order", mail, name_of("1"))
    assert (one.recipient, one.dated_at) == ("desk@vendor.test", NOW)
    assert (other.payload, other.intake_id) == (b"order", None)
    assert await _compose(register, "other") == []


async def test_what_is_ordered_again_stays_as_it_is(register: Register) -> None:
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None)], NOW)
        again = [a_draft(None, payload=b"another"), a_draft(None, key="2")]
        assert await outbox.queue(tx, again, NOW) == {("answer", "2")}
        assert await outbox.queue(tx, [], NOW) == set()
    assert [row.payload for row in await _compose(register)] == [b"order", b"order"]
    assert len(await key_rows(register)) == 2


async def test_the_order_whose_time_runs_longest_comes_first(register: Register) -> None:
    await take_in(register, 2)
    old, young = await claim(register)
    async with register.begin() as tx:
        drafts = [a_draft(None, key="n"), a_draft(young.id, key="y"), a_draft(old.id, key="o")]
        await outbox.queue(tx, drafts, NOW)
    assert [row.message_id for row in await _compose(register)] == [name_of(key) for key in "oyn"]


async def test_an_abandoned_order_is_composed_by_somebody_else(register: Register) -> None:
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None)], NOW)
    await _compose(register, "dead")
    async with register.begin() as tx:
        assert await outbox.claim_queued(tx, "me", 50, LATER - timedelta(seconds=1), LONG_AFTER) == []
        assert len(await outbox.claim_queued(tx, "me", 50, LATER, LONG_AFTER)) == 1


async def test_octets_are_frozen_once(register: Register) -> None:
    (id_,) = await frozen(register)
    async with register.begin() as tx:
        await outbox.freeze(tx, {id_: [octets(b"others"), octets(b"and more", message_id="<2@service.test>")]})
    (composed,) = await _deliver(register)
    assert (composed.raw, composed.body_digest) == (b"octets %d" % id_, f"digest {id_}")
    assert (composed.attempts, composed.received_at, composed.recipient) == (0, NOW, "desk@vendor.test")
    assert await _compose(register) == []


async def test_all_parts_of_a_letter_are_frozen_together(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(mail)], NOW)
    (order,) = await _compose(register)
    parts = [octets(b"one"), octets(b"two", "d2", message_id="<2@service.test>")]
    async with register.begin() as tx:
        await outbox.freeze(tx, {order.id: parts})
        await outbox.freeze(tx, {order.id: [*parts, octets(b"three", message_id="<3@service.test>")]})
    (first,) = await _deliver(register)
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [first.id], NOW)
    (second,) = await _deliver(register)
    assert (first.raw, first.message_id) == (b"one", name_of("1"))
    assert (second.raw, second.message_id, second.body_digest) == (b"two", "<2@service.test>", "d2")
    assert (second.recipient, second.received_at, second.intake_id) == (first.recipient, first.received_at, mail)
    async with register.read() as tx:
        assert [(row.kind, row.key, row.part) for row in await queues.find_outbox(tx, intake_id=mail)] == [
            ("answer", "1", 1),
            ("answer", "1", 2),
        ]


async def test_what_cannot_be_composed_now_is_claimed_again_later(register: Register) -> None:
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None)], NOW)
    (order,) = await _compose(register)
    async with register.begin() as tx:
        await outbox.compose_later(tx, "somebody else", order.id, NOW, "not his")
        await outbox.compose_later(tx, "me", order.id, LATER, "no memory")
    assert await _compose(register) == []
    async with register.begin() as tx:
        (again,) = await outbox.claim_queued(tx, "me", 50, LATER, LONG_AFTER)
    assert (again.id, again.attempts) == (order.id, 1)


@pytest.mark.parametrize("stops", [False, True])
async def test_what_is_given_back_is_due_as_before(register: Register, stops: bool) -> None:
    await frozen(register)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key="uncomposed")], NOW)
    due = await rows(register, "SELECT id, next_at FROM outbox ORDER BY id")
    async with register.begin() as tx:
        (order,) = await outbox.claim_queued(tx, "me", 1, LATER, LONG_AFTER)
        (mail,) = await outbox.claim_composed(tx, "me", 1, LATER, LONG_AFTER, size_bytes_max=ROOMY)
        await (outbox.release_all(tx, "me") if stops else outbox.give_back(tx, "me", [order.id]))
    assert await rows(register, "SELECT id, next_at FROM outbox ORDER BY id") == due
    assert [row.id for row in await _compose(register)] == [order.id]
    assert [row.id for row in await _deliver(register)] == ([mail.id] if stops else [])


async def test_a_chunk_of_mails_stays_below_its_octets(register: Register) -> None:
    ids = await frozen(register, 3)
    size = len((await rows(register, "SELECT raw FROM outbox"))[0].raw)
    assert [row.id for row in await _deliver(register, bytes_max=2 * size)] == ids[:2]
    assert [row.id for row in await _deliver(register, bytes_max=1)] == ids[2:]


async def test_only_who_holds_the_lease_may_send(register: Register) -> None:
    (id_,) = await frozen(register)
    await _deliver(register, "me")
    async with register.begin() as tx:
        assert await outbox.mark_sending(tx, "other", [id_], NOW) == set()
        assert await outbox.mark_sending(tx, "me", [id_], LATER) == set(), "the lease has run out"
        assert await outbox.mark_sending(tx, "me", [id_], NOW) == {id_}
        assert await outbox.mark_sending(tx, "me", [id_], NOW) == set(), "it is being sent"
        await outbox.mark_sent(tx, [id_], NOW)
        assert await outbox.mark_sending(tx, "me", [id_], NOW) == set(), "it was sent"
    row = await _find(register, id_)
    assert (row.state, row.sent_at) == ("sent", NOW)
    assert await _deliver(register) == []


async def test_a_deferred_mail_goes_again_with_the_same_octets(register: Register) -> None:
    (id_,) = await frozen(register)
    await _deliver(register)
    async with register.begin() as tx:
        await outbox.mark_sending(tx, "me", [id_], NOW)
        await outbox.defer(tx, "other", [id_], NOW, "not theirs to say")
        await outbox.defer(tx, "me", [id_], LATER, "450 4.7.1")
    assert await _deliver(register) == []
    async with register.begin() as tx:
        (again,) = await outbox.claim_composed(tx, "me", 50, LATER, LONG_AFTER, size_bytes_max=ROOMY)
    assert (again.raw, again.attempts) == (b"octets %d" % id_, 1)
    assert (await _find(register, id_)).reason == "450 4.7.1"


async def test_a_mail_cut_off_is_doubtful_once_its_lease_has_run_out(register: Register) -> None:
    id_ = await _sending(register)
    async with register.read() as tx:
        assert await doubt.doubtful(tx, 10, LATER - timedelta(seconds=1), LEASE) == []
        (row,) = await doubt.doubtful(tx, 10, LATER, LEASE)
    assert (row.id, row.since, row.body_digest, row.message_id) == (id_, NOW, f"digest {id_}", name_of("0"))


async def test_of_doubtful_mails_who_has_waited_longest_comes_first(register: Register) -> None:
    first, second, third = await frozen(register, 3)
    await _deliver(register)
    async with register.begin() as tx:
        await outbox.mark_sending(tx, "me", [first, second], NOW)
        await doubt.put_behind(tx, first, NOW, LEASE)  # it is under way
        await doubt.put_behind(tx, third, LATER, LEASE)  # it is not being sent
    async with register.begin() as tx:
        assert [row.id for row in await doubt.doubtful(tx, 10, LATER, LEASE)] == [first, second]
        assert await doubt.doubtful(tx, 10, LATER - timedelta(seconds=1), LEASE) == []
        soon = LATER + timedelta(seconds=1)
        await doubt.put_behind(tx, first, soon, LEASE)
        assert [row.id for row in await doubt.doubtful(tx, 1, soon, LEASE)] == [second]
        await doubt.put_behind(tx, second, soon + timedelta(seconds=1), LEASE)
        assert [row.id for row in await doubt.doubtful(tx, 1, LONG_AFTER, LEASE)] == [first]
        assert {row.since for row in await doubt.doubtful(tx, 2, LONG_AFTER, LEASE)} == {NOW}


async def test_a_doubtful_mail_that_arrived_is_sent(register: Register) -> None:
    id_ = await _sending(register)
    async with register.begin() as tx:
        await doubt.resolve(tx, id_, NOW, sent=True, at=LATER)
    assert (await _find(register, id_)).state == "sent"


async def test_a_doubtful_mail_is_decided_once(register: Register) -> None:
    id_ = await _sending(register)
    async with register.begin() as tx:
        await doubt.resolve(tx, id_, NOW, sent=False, at=LATER)
        (again,) = await outbox.claim_composed(tx, "next", 50, LATER, LONG_AFTER, size_bytes_max=ROOMY)
        assert again.attempts == 1
        await outbox.mark_sending(tx, "next", [id_], LATER)
        await doubt.resolve(tx, id_, NOW, sent=True, at=LATER)
        await doubt.resolve(tx, id_, NOW, sent=False, at=LONG_AFTER)
    assert (await _find(register, id_)).state == "sending", "the second answer to the first question changes nothing"


async def test_a_held_mail_waits_for_an_operator(register: Register) -> None:
    (id_,) = await frozen(register)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key="uncomposed")], NOW)
    (order,) = await _compose(register)
    await _deliver(register)
    async with register.begin() as tx:
        assert await outbox.hold(tx, "me", [id_], "550 5.1.1", NOW) == {id_}
        assert await outbox.hold(tx, "me", [order.id], "no certificate", NOW) == {order.id}
    assert await _deliver(register) == []
    assert await _compose(register) == []
    async with register.read() as tx:
        assert [(row.id, row.reason) for row in await queues.unanswered(tx, 10)] == [
            (id_, "550 5.1.1"),
            (order.id, "no certificate"),
        ]
    assert ids(await operate(register, Verb.RELEASE, states=["held"])) == [id_, order.id]
    assert [row.id for row in await _deliver(register)] == [id_]
    assert [row.id for row in await _compose(register)] == [order.id]


async def _sending_again(register: Register, owner: str) -> int:
    """The first one's lease ran out in the middle; it is not known to have arrived, and `owner` sends it."""
    id_ = await _sending(register)
    async with register.begin() as tx:
        await doubt.resolve(tx, id_, NOW, sent=False, at=LATER)
        await outbox.claim_composed(tx, owner, 50, LATER, LONG_AFTER, size_bytes_max=ROOMY)
        assert await outbox.mark_sending(tx, owner, [id_], LATER) == {id_}
    return id_


async def test_a_refusal_is_not_for_who_has_lost_the_mail_to_tell(register: Register) -> None:
    id_ = await _sending_again(register, "next")
    async with register.begin() as tx:
        assert await outbox.hold(tx, "me", [id_], "refused: DATA 550", LATER) == set()
    assert (await _find(register, id_)).state == "sending"
    assert await rows(register, "SELECT id FROM journal WHERE kind = 'outbox-held'") == []
    assert ids(await operate(register, Verb.RELEASE, LATER, outgoing=[id_])) == [], "or it would go a second time"
    async with register.begin() as tx:
        assert await outbox.hold(tx, "next", [id_], "refused: DATA 550", LATER) == {id_}
    assert (await _find(register, id_)).state == "held"


async def test_what_the_server_took_has_left_whoever_held_it_meanwhile(register: Register) -> None:
    id_ = await _sending_again(register, "next")
    async with register.begin() as tx:
        await outbox.hold(tx, "next", [id_], "refused: DATA 550", LATER)
        await outbox.mark_sent(tx, [id_], LATER)
    row = await _find(register, id_)
    assert (row.state, row.reason, row.sent_at) == ("sent", None, LATER)
    assert ids(await operate(register, Verb.RELEASE, LATER, outgoing=[id_])) == []


async def test_what_came_back_stays_held_though_another_send_of_it_was_taken(register: Register) -> None:
    mail = await a_mail(register)
    id_ = await _sending_again(register, "next")
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [id_], LATER)
    assert await _bounce(register, mail, verp=ENVID) == id_
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [id_], LONG_AFTER)
    row = await _find(register, id_)
    assert (row.state, row.reason, row.sent_at) == ("held", "bounced", LATER)


async def _bounce(register: Register, mail: int, **names: str) -> int | None:
    async with register.begin() as tx:
        named = {"envelope_id": "", "message_id": "", "verp": "", **names}
        return await queues.record_bounce(tx, **named, intake_id=mail, at=NOW)


@pytest.mark.parametrize(
    "names", [{"envelope_id": ENVID}, {"message_id": name_of("0")}, {"envelope_id": "other", "verp": ENVID}]
)
async def test_a_bounce_holds_the_mail_that_it_names(register: Register, names: dict[str, str]) -> None:
    mail = await a_mail(register)
    id_ = await _sending(register)
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [id_], NOW)
    assert await _bounce(register, mail, **names) == id_
    row = await _find(register, id_)
    assert (row.state, row.reason) == ("held", "bounced")
    async with register.read() as tx:
        assert [kept.entry.kind for kept in await journal.of_intake(tx, mail)] == ["bounced"]
    assert ids(await operate(register, Verb.RELEASE, outgoing=[id_])) == [id_]
    assert [(mail.id, mail.raw) for mail in await _deliver(register)] == [(id_, b"octets %d" % id_)]


async def test_a_bounce_that_overtakes_the_word_that_the_mail_has_left_is_not_lost(register: Register) -> None:
    mail = await a_mail(register)
    id_ = await _sending(register)
    assert await _bounce(register, mail, envelope_id=ENVID) == id_
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [id_], LATER)
    row = await _find(register, id_)
    assert (row.state, row.reason, row.sent_at) == ("held", "bounced", NOW)


async def test_a_forged_bounce_stops_no_mail_on_its_way(register: Register) -> None:
    mail = await a_mail(register)
    (id_,) = await frozen(register)
    assert await _bounce(register, mail, verp=ENVID) == id_
    assert (await _find(register, id_)).state == "composed"
    assert await _bounce(register, mail, verp=str(id_)) is None
    assert await _bounce(register, mail) is None


async def test_outgoing_mails_are_found_by_what_operators_know(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(mail), a_draft(mail, key="2")], NOW)
        await intake.release(tx, "me", [mail], refund=False)
        assert len(await queues.find_outbox(tx, intake_id=mail)) == 2
        assert [row.key for row in await queues.find_outbox(tx, message_id=name_of("2"))] == ["2"]
        assert await queues.find_outbox(tx) == []
