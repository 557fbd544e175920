"""A batch while the mailbox fails at single mails or calls, or is slow: what is received, and that it ends."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import worker
from tests.support.batches import drain, letter
from tests.support.doors import PACE, House


async def test_a_move_that_fails_once_leaves_nothing_to_be_done(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    drained = await drain(house.door())
    assert (drained.unavailable, drained.waiting) == ((), 0)
    assert (drained.progress.received, drained.progress.sent) == (1, 1)
    assert not house.mailbox.inbox


async def test_mails_that_cannot_be_read_end_no_batch_late_and_keep_nobody_waiting(house: House) -> None:
    """The oldest of them; with more in the mailbox than one poll looks at."""
    pace = replace(PACE, chunk=1)
    bad = [house.mailbox.deliver(letter(number)) for number in range(worker.CHUNKS_A_POLL - 1)]
    good = [house.mailbox.deliver(letter(number)) for number in range(10, 12 + worker.CHUNKS_A_POLL)]
    house.mailbox.unreadable.update(bad)
    drained = await drain(house.door(pace=pace))
    assert (drained.progress.received, drained.progress.sent, drained.unavailable) == (len(good), len(good), ())
    assert (sorted(house.mailbox.inbox), drained.waiting) == (bad, len(bad))
    house.mailbox.unreadable.clear()
    drained = await drain(house.door(pace=pace))
    assert (drained.progress.received, drained.progress.sent) == (len(bad), len(bad))
    assert (sorted(house.mailbox.inbox), drained.waiting) == ([], 0)


async def test_a_slow_server_is_read_for_a_bounded_time_in_one_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FETCH_SECONDS_MAX", -1.0)
    for number in range(3):
        house.mailbox.deliver(letter(number))
    assert (await worker.receive(house.door())).received == 1
    assert len(house.mailbox.inbox) == 2
    drained = await drain(house.door())
    assert (drained.progress.received, drained.progress.sent) == (2, 3)


async def test_what_has_to_be_read_again_is_read_within_the_same_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New mails, and those of which headers do not tell whether they are on record."""
    seconds = [0.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: sum(seconds)))
    for number in range(3):
        house.mailbox.deliver(letter(number))
    house.troubles += ["move"]
    await worker.receive(house.door())
    for uid, stored in house.mailbox.inbox.items():
        house.mailbox.inbox[uid] = replace(stored, received_at=stored.received_at + timedelta(hours=1))
    for number in range(3, 7):
        house.mailbox.deliver(letter(number))
    monkeypatch.setattr(house.mailbox, "trouble", lambda seam: seconds.append(500.0 * (seam == "fetch:next")))
    assert (await worker.receive(house.door())).received == 3
    assert (sum(seconds), len(house.mailbox.inbox)) == (1000.0, 3)


async def test_a_mail_on_record_that_cannot_be_read_any_more_stays_and_keeps_nobody_waiting(house: House) -> None:
    house.troubles += ["move"]
    bad = house.mailbox.deliver(letter(0))
    await worker.receive(house.door())
    house.mailbox.unreadable.add(bad)
    house.mailbox.deliver(letter(1))
    drained = await drain(house.door())
    assert (drained.progress.sent, drained.waiting, [*house.mailbox.inbox]) == (2, 1, [bad])
    house.mailbox.unreadable.clear()
    drained = await drain(house.door())
    assert (drained.progress.sent, drained.waiting, [*house.mailbox.inbox]) == (0, 0, [])


async def test_new_mails_are_taken_in_though_nothing_is_told_of_those_on_record(house: House) -> None:
    house.troubles += ["move"]
    house.mailbox.deliver(letter(0))
    await worker.receive(house.door())
    house.mailbox.deliver(letter(1))
    house.troubles += ["look"]
    assert (await worker.receive(house.door())).received == 1
    assert (await drain(house.door())).progress.sent == 2
    assert not house.mailbox.inbox


async def test_a_mail_that_has_lost_its_date_and_cannot_be_moved_is_no_progress(house: House) -> None:
    """Else the next turn would follow at once, for ever."""
    house.troubles += ["move"]
    house.mailbox.deliver(letter(0))
    await worker.receive(house.door())
    ((uid, stored),) = house.mailbox.inbox.items()
    house.mailbox.inbox[uid] = replace(stored, received_at=stored.received_at + timedelta(hours=1))
    house.troubles += ["move"]
    with pytest.raises(Unavailable):
        await worker.receive(house.door())
    assert not await worker.receive(house.door())
    assert not house.mailbox.inbox
