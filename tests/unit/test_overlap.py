"""Two steps side by side: what one turn of a stage claims, prepares and finishes, and what a failure does to it."""

import asyncio
from collections.abc import Sequence

import pytest

from mailflow.errors import Unavailable
from mailflow.mail.door import Progress
from mailflow.mail.overlap import CLAIMS_MAX, Outcome, overlapped

HANGS_SECONDS = 60.0


class Line:
    """Items in claims; what was done with them, in order."""

    def __init__(
        self, *claims: Sequence[int] | Exception, spoilt: Sequence[int] = (), away: Sequence[int] = ()
    ) -> None:
        self.claims = list(claims)
        self.spoilt, self.away = spoilt, away
        self.done: list[str] = []

    async def claim(self) -> Sequence[int]:
        following = self.claims.pop(0) if self.claims else []
        if isinstance(following, Exception):
            raise following
        return following

    async def prepare(self, item: int) -> str:
        self.done.append(f"prepare {item}")
        if item in self.spoilt:
            raise Unavailable("pool")
        return f"prepared {item}"

    async def finish(self, item: int, prepared: Outcome[str]) -> Progress:
        await asyncio.sleep(0)
        try:
            assert prepared.get() == f"prepared {item}"
            if item in self.away:
                raise Unavailable("register")
        except Unavailable:
            self.done.append(f"give back {item}")
            raise
        self.done.append(f"finish {item}")
        return Progress(answered=1)

    async def run(self) -> Progress:
        return await overlapped(self.claim, self.prepare, self.finish)


async def test_the_next_is_prepared_while_the_former_is_finished_and_all_are_finished_in_order() -> None:
    begun = {1: asyncio.Event(), 2: asyncio.Event(), 3: asyncio.Event()}
    finished: list[int] = []
    line = Line([1, 2], [3])

    async def prepare(item: int) -> None:
        begun[item].set()

    async def finish(item: int, _: Outcome[None]) -> Progress:
        if item + 1 in begun:
            await asyncio.wait_for(begun[item + 1].wait(), HANGS_SECONDS)
        finished.append(item)
        return Progress(answered=1)

    assert await overlapped(line.claim, prepare, finish) == Progress(answered=3)
    assert finished == [1, 2, 3]


async def test_a_turn_comes_to_an_end() -> None:
    line = Line(*([number] for number in range(CLAIMS_MAX + 3)))
    assert await line.run() == Progress(answered=CLAIMS_MAX)
    assert len(line.claims) == 3


async def test_nothing_to_claim_is_nothing_done() -> None:
    assert await Line().run() == Progress()


@pytest.mark.parametrize("where", ["spoilt", "away"])
async def test_whatever_was_claimed_is_finished_and_no_more_is_claimed_after_a_failure(where: str) -> None:
    line = Line([1, 2, 3], [4], **{where: [1]})
    assert await line.run() == Progress(answered=2)
    assert [word for word in line.done if not word.startswith("prepare")] == ["give back 1", "finish 2", "finish 3"]
    assert line.claims == [[4]]


@pytest.mark.parametrize("where", ["spoilt", "away"])
async def test_a_failure_is_raised_when_nothing_was_done(where: str) -> None:
    line = Line([1, 2], **{where: [1, 2]})
    with pytest.raises(Unavailable):
        await line.run()
    assert [word for word in line.done if word.startswith("give")] == ["give back 1", "give back 2"]


async def test_a_fault_of_ours_is_raised_though_others_were_done() -> None:
    line = Line([1, 2])
    finish = line.finish

    async def faulty(item: int, prepared: Outcome[str]) -> Progress:
        done = await finish(item, prepared)
        if item == 1:
            raise LookupError
        return done

    with pytest.raises(LookupError):
        await overlapped(line.claim, line.prepare, faulty)
    assert "finish 2" in line.done


async def test_what_is_under_way_is_finished_when_the_next_claim_fails() -> None:
    line = Line([1], Unavailable("register"))
    assert await line.run() == Progress(answered=1)
    assert line.done == ["prepare 1", "finish 1"]


async def test_a_claim_that_fails_at_once_is_raised() -> None:
    with pytest.raises(Unavailable):
        await Line(Unavailable("register")).run()
