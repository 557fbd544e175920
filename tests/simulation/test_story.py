"""A story that breaks a promise is shortened to what it takes."""

from pathlib import Path

import pytest

from tests.simulation.crew import shorten, tell
from tests.simulation.registers import SqliteCopies
from tests.simulation.simulation import WHOLE, WHOLE_EVERY
from tests.simulation.story import Story, shortest

PLAYS = 30
STOPPED = 1
"""A short seed in which an operator stops the numbers."""
SHARE = 4
"""What is left of the steps after so few plays is no more than one in so many."""


def test_a_story_is_read_as_it_is_written() -> None:
    story = Story(57).without([("step", 0), ("step", 1), ("step", 2), ("letter", 4), ("step", 9)])
    assert str(story) == "57 step:0-2,9 letter:4"
    assert Story.read(str(story).split()) == story


def test_a_spell_without_numbers_can_be_left_out(tmp_path: Path) -> None:
    copies = SqliteCopies(folder=tmp_path)
    whole = tell(Story(STOPPED), copies)
    assert ("stop", 0) in whole.parts
    assert any("the operator: stop" in line for line in whole.told)
    assert not any("the operator: stop" in line for line in tell(Story.read([f"{STOPPED}", "stop:0"]), copies).told)


@pytest.mark.parametrize("word", ["steps:1", "step", "step:", "step:x"])
def test_what_is_no_part_of_a_story_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"step:0-7,12|invalid literal"):
        Story.read(["1", word])


def test_the_shortest_story_has_what_it_takes_and_nothing_else() -> None:
    needed = {("weather", 17), ("step", 17), ("step", 30), ("letter", 2)}
    story = Story(1)
    found = shortest(story, story.parts(steps=40, letters=20), lambda one: not needed & one.left_out)
    assert set(found.parts(steps=40, letters=20)) == needed


def test_it_is_given_up_after_so_many_plays() -> None:
    played: list[Story] = []

    def fails(story: Story) -> bool:
        played.append(story)
        return False

    assert shortest(Story(1), Story(1).parts(steps=40, letters=20), fails, plays_max=7) == Story(1)
    assert len(played) == 7


@pytest.mark.long
def test_the_story_of_a_planted_fault_is_shortened(tmp_path: Path) -> None:
    copies, fault = SqliteCopies(folder=tmp_path), "identities are not checked"
    tales = (tell(Story(seed), copies, fault) for seed in range(0, 10 * WHOLE_EVERY, WHOLE_EVERY))
    tale = next(tale for tale in tales if tale.findings)
    short = shorten(tale, copies, fault, plays_max=PLAYS)
    assert short.findings
    assert sum(kind == "step" for kind, _ in short.parts) <= WHOLE.steps // SHARE
    assert len(short.told) < len(tale.told) / SHARE
    assert tell(Story.read(str(short.story).split()), copies, fault).findings == short.findings
