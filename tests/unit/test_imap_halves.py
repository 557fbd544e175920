"""Mails at which a server fails, found by halves and remembered: on a server that is a function."""

import logging
import math
from collections.abc import Collection, Sequence

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import imap_halves
from mailflow.mail.imap_halves import (
    AGAIN_FIRST_SECONDS,
    AGAIN_MOST_SECONDS,
    FAILURES_MAX,
    VOUCHED_MAX,
    Halving,
    Troubles,
)
from mailflow.mail.imap_session import ConnectionCutError, ServerFailedError

UIDS = range(1, 101)
BATCH = 50


class Server:
    """Gives the mails that are asked for, unless one of the bad ones is among them."""

    def __init__(self, bad: Collection[int] = (), *, seconds: float = 0.0) -> None:
        self.bad = set(bad)
        self.seconds = seconds
        self.now = 1_000.0
        self.asked: list[list[int]] = []
        self.error: type[ServerFailedError] = ServerFailedError
        self.troubles = Troubles(lambda: self.now)
        self.elsewhere: bool = False
        """Whether it gives other mails."""
        self.witnessed = 0

    async def _witness(self) -> bool:
        self.witnessed += 1
        return self.elsewhere

    async def _attempt(self, uids: Sequence[int]) -> list[int]:
        self.asked.append(list(uids))
        self.now += self.seconds
        if self.bad & set(uids):
            raise self.error("no", why="refused")
        return list(uids)

    async def poll(self, uids: Sequence[int], window: int = 100) -> list[int]:
        """What was read of the first mails, as the worker does it."""
        self.asked.clear()
        first = self.troubles.order(1, uids)[:window]
        together, apart = self.troubles.due(first)
        sets = [*(together[start : start + BATCH] for start in range(0, len(together), BATCH)), *apart]
        read: list[int] = []
        halving = Halving(self.troubles, "unreadable", self._witness)
        async for some, given in halving.each(sets, self._attempt):
            assert list(some) == given
            halving.well(some)
            read += given
        return read


@pytest.mark.parametrize(
    "bad", [{1}, {100}, {1, 2, 3}, {1, 50, 51}, {7, 31, 64, 90}, set(range(1, 51)), {n for n in UIDS if n % 9 == 0}]
)
async def test_whatever_can_be_read_is_read_at_once_and_by_few_commands(bad: set[int]) -> None:
    server = Server(bad)
    assert sorted(await server.poll(UIDS)) == sorted(set(UIDS) - bad)
    bound = 2 + FAILURES_MAX + 2 * len(bad) * math.ceil(math.log2(len(UIDS)))
    assert len(server.asked) <= bound, "two halves for each set that fails"
    assert server.troubles.order(1, UIDS) == (*sorted(set(UIDS) - bad), *sorted(bad))


async def test_batches_that_are_well_do_not_wait_for_the_search() -> None:
    server = Server({1})
    read = await server.poll(UIDS)
    assert read[:BATCH] == list(range(51, 101))
    assert [len(uids) for uids in server.asked[:2]] == [BATCH, BATCH]


async def test_what_failed_is_tried_apart_and_after_the_second_time_only_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, bad = Server({1, 2, 3}), [1, 2, 3]
    with caplog.at_level(logging.ERROR):
        await server.poll(UIDS)
        left = [*bad, 101, 102]
        assert await server.poll(left) == [101, 102]
        assert server.asked == [[101, 102], [1], [2], [3]], "and three of them are not the server"
    assert [record.__dict__["pairs"]["failures"] for record in caplog.records] == ["1"] * 3 + ["2"] * 3
    assert {record.__dict__["pairs"]["why"] for record in caplog.records} == {"refused"}
    assert await server.poll(bad) == []
    assert server.asked == []
    wait = AGAIN_FIRST_SECONDS
    for _ in range(8):
        server.now += wait - 1
        assert (await server.poll([*bad, 103]), server.asked) == ([103], [[103]])
        server.now += 1
        assert (await server.poll(bad), server.asked) == ([], [[1], [2], [3]])
        wait = min(2 * wait, AGAIN_MOST_SECONDS)
    server.bad.clear()
    server.now += wait
    assert await server.poll(bad) == bad
    assert server.troubles.order(1, [*bad, 104]) == (*bad, 104), "forgiven"


async def test_what_is_remembered_goes_with_the_mail_and_with_the_uidvalidity() -> None:
    server = Server({1, 5})
    await server.poll(UIDS)
    assert server.troubles.order(1, [1, 5, 6]) == (6, 1, 5)
    assert server.troubles.order(1, [5, 6]) == (6, 5)
    assert server.troubles.order(1, [1, 5, 6]) == (1, 6, 5)
    assert server.troubles.order(2, [1, 5, 6]) == (1, 5, 6)


async def test_a_server_that_fails_at_everything_is_unavailable_and_no_mail_is_to_blame(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(UIDS)
    for _ in range(3):
        with pytest.raises(Unavailable, match="every mail"):
            await server.poll(UIDS)
        assert len(server.asked) <= 50 / imap_halves.UNSURE_BATCH + 2 * BATCH / 10 + FAILURES_MAX
    assert not caplog.records
    server.bad.clear()
    assert sorted(await server.poll(UIDS)) == list(UIDS), "at the next poll, not some time later"


@pytest.mark.parametrize(("alone", "seconds"), [(FAILURES_MAX, 0.0), (VOUCHED_MAX, 0.0), (VOUCHED_MAX, 60.0)])
async def test_mails_that_are_alone_and_cannot_be_read_are_to_blame_when_the_server_gives_others_elsewhere(
    caplog: pytest.LogCaptureFixture, alone: int, seconds: float
) -> None:
    """As for a process that has just begun: it has read nothing yet."""
    bad = list(range(1, alone + 1))
    server = Server(bad, seconds=seconds)
    with pytest.raises(Unavailable):
        await server.poll(bad)
    assert (server.witnessed, caplog.records) == (1, [])
    server.elsewhere = True
    for _ in range(2 * VOUCHED_MAX):
        assert await server.poll(bad) == []
    assert {record.__dict__["pairs"]["uid"] for record in caplog.records} == {str(uid) for uid in bad}
    server.bad.clear()
    server.now += AGAIN_MOST_SECONDS
    assert sorted(await server.poll(bad)) == bad


async def test_a_server_is_asked_for_mails_elsewhere_only_while_it_gives_none_and_none_is_to_blame() -> None:
    server = Server({1, 2, 3, 4})
    server.elsewhere = True
    await server.poll(UIDS)
    assert server.witnessed == 0
    server = Server({1, 2, 3, 4})
    server.elsewhere = True
    for _ in range(3):
        assert await server.poll([1, 2, 3, 4]) == []
    assert server.witnessed == 1


async def test_a_folder_of_which_nothing_can_be_read_is_unavailable_whatever_the_server_gives_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(range(1, VOUCHED_MAX + 2))
    server.elsewhere = True
    for _ in range(3):
        with pytest.raises(Unavailable, match="every mail"):
            await server.poll(range(1, VOUCHED_MAX + 2))
    assert not caplog.records


async def test_mails_behind_a_hundred_that_cannot_be_read_are_read(caplog: pytest.LogCaptureFixture) -> None:
    """A file of the server's that holds the oldest mails is damaged, and one poll looks at no more than these."""
    server, uids = Server(UIDS), [*UIDS, *range(101, 201)]
    with pytest.raises(Unavailable):
        await server.poll(uids)
    assert await server.poll(uids) == list(range(101, 201))
    assert not caplog.records


async def test_a_connection_that_is_cut_at_one_mail_once_does_not_blame_it() -> None:
    server = Server({4})
    server.error = ConnectionCutError

    async def restarted(uids: Sequence[int]) -> list[int]:
        try:
            return await server._attempt(uids)
        finally:
            server.bad.clear()

    halving = Halving(server.troubles, "unmovable")
    assert [uids async for uids, _ in halving.each([[4]], restarted)] == [[4]]
    assert (halving.failed, server.asked) == ({}, [[4], [4]])
    server.bad.add(4)
    assert await server.poll([4]) == []
    assert server.asked == [[4], [4]], "and no third time"


async def test_a_mail_at_which_the_server_hangs_is_found_in_bounded_time_and_keeps_nobody_waiting_for_ever() -> None:
    uids = list(UIDS)
    server = Server({1, 30}, seconds=60.0)
    read: list[int] = []
    for _ in range(6):
        begun = server.now
        good = await server.poll(uids)
        in_vain = sum(bool(server.bad & set(asked)) for asked in server.asked)
        assert in_vain * server.seconds <= imap_halves.IN_VAIN_SECONDS_MAX
        assert server.now - begun == len(server.asked) * server.seconds
        read += good
        uids = [uid for uid in uids if uid not in good]
    assert sorted(read) == sorted(set(UIDS) - {1, 30})


async def test_a_search_gives_up_after_so_many_commands_in_vain() -> None:
    uids = list(range(1, 1001))
    server = Server({uid for uid in uids if uid % 10 == 0})
    unavailable = 0
    for _ in range(40):
        try:
            good = await server.poll(uids, window=1000)
        except Unavailable:
            unavailable += 1  # all that is left was in sets that failed, and the three that were tried alone are bad
            good = []
        assert sum(bool(server.bad & set(asked)) for asked in server.asked) <= imap_halves.IN_VAIN_MAX
        uids = [uid for uid in uids if uid not in good]
        server.now += 1
    assert set(uids) == server.bad
    assert unavailable < 10, "each time others are tried"


async def test_what_is_there_and_left_out_is_remembered_unless_nothing_is_given() -> None:
    server = Server()
    halving = Halving(server.troubles, "unreadable")
    assert [uids async for uids, _ in halving.each([[1, 2, 3, 4]], server._attempt)] == [[1, 2, 3, 4]]
    await halving.left_out([2, 3, 4])
    assert server.troubles.order(1, []) == ()
    assert server.troubles.blamed(1) is False
    nothing = Halving(server.troubles, "unreadable")
    with pytest.raises(Unavailable):
        await nothing.left_out([6, 7, 8])
