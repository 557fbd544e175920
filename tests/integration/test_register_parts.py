"""A letter in several parts: each leaves when the one before it has left, and waits with one that is held."""

from mailflow.register import Register, outbox, queues
from mailflow.register.acts import Verb
from tests.support.operating import operate
from tests.support.records import LATER, NOW, ROOMY, a_draft, name_of, octets, rows


async def _deliver(register: Register) -> list[outbox.Composed]:
    async with register.begin() as tx:
        return await outbox.claim_composed(tx, "me", 50, NOW, LATER, size_bytes_max=ROOMY)


async def in_parts(register: Register, count: int, key: str) -> list[int]:
    """The ids of the parts of one letter, all of them frozen: the first part last, as of a letter with very many."""
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key=key)], NOW)
    further = [octets(b"%d" % part, message_id=f"<{key}-{part}@service.test>") for part in range(2, count + 1)]
    async with register.begin() as tx:
        (order,) = await outbox.claim_queued(tx, "me", 50, NOW, LATER)
        await outbox.freeze(tx, {order.id: further}, begin=2)
        assert await outbox.claim_composed(tx, "me", 50, NOW, LATER, size_bytes_max=ROOMY) == []
        await outbox.freeze(tx, {order.id: [octets(b"1", message_id=name_of(key))]})
    return [row.id for row in await rows(register, f"SELECT id FROM outbox WHERE key = '{key}' ORDER BY part")]


async def test_a_part_leaves_when_the_one_before_it_has_left(register: Register) -> None:
    """A part that nothing tells of, were the register lost now, would hold numbers that are given again."""
    first, second, third = await in_parts(register, 3, "a")
    assert [row.id for row in await _deliver(register)] == [first]
    others = await in_parts(register, 2, "b")
    assert [row.id for row in await _deliver(register)] == [others[0]]
    async with register.begin() as tx:
        await outbox.hold(tx, "me", [first], "refused: 552", NOW)
        await outbox.mark_sent(tx, [others[0]], NOW)
    assert [row.id for row in await _deliver(register)] == [others[1]], "others wait for none of this"
    async with register.read() as tx:
        left, unsent = await queues.left(tx, "somebody else", NOW), await queues.count_unsent(tx, "answer", 9)
    assert (left.due, left.later) == (0, 0), "what comes behind a held one waits for somebody, too"
    assert unsent == 1, "and does not keep the mailbox closed: that is the part which is being sent"
    await operate(register, Verb.RELEASE, states=["held"])
    for part in (first, second, third):
        assert [row.id for row in await _deliver(register)] == [part]
        async with register.begin() as tx:
            await outbox.mark_sent(tx, [part], NOW)


async def test_a_part_that_came_back_or_goes_once_more_holds_up_no_other(register: Register) -> None:
    first, second = await in_parts(register, 2, "a")
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [first], NOW)
    await operate(register, Verb.RESEND, states=["sent"])
    assert [row.id for row in await _deliver(register)] == [first, second]


async def test_what_is_behind_a_part_that_came_back_waits_for_nobody(register: Register) -> None:
    first, second = await in_parts(register, 2, "a")
    async with register.begin() as tx:
        await outbox.mark_sent(tx, [first], NOW)
        await queues.record_bounce(tx, message_id=name_of("a"), envelope_id="", verp="", intake_id=1, at=NOW)
    async with register.read() as tx:
        left, unsent = await queues.left(tx, "somebody else", NOW), await queues.count_unsent(tx, "answer", 9)
    assert (left.due, left.later, unsent) == (1, 0, 1)
    assert [row.id for row in await _deliver(register)] == [second]
