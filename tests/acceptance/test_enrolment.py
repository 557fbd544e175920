"""Who may act: suspended desks, ended mandates, and what operators do about them, by command."""

from datetime import datetime, timedelta

from mailflow.core.calendar import legal_day
from mailflow.demo.story import LEFEBVRE, MARTIN
from tests.acceptance.world import World
from tests.support.letters import Letter, Writer

WHY = ("--by", "tests", "--why", "a story", "--apply")


def send_one(world: World, letter: Letter) -> int:
    """Post a letter and run the service; the exit code."""
    world.post([letter.raw])
    done = world.mailflow("run", "--once")
    world.settle()
    return done.code


def codes(world: World, letter: Letter, at: datetime) -> list[str]:
    """What the answer says, in short: codes, or `number`. Empty without an answer."""
    said = []
    for raw in world.answers(letter.software).get(letter.message_id, []):
        text = world.installation.open(letter.software, raw, at).text
        said.append(next((word for word in text.split() if word.startswith("CTRL_")), "number"))
        assert ("numéro unique" in text) == (said[-1] == "number")
    return said


def test_a_suspended_desk_and_an_ended_mandate_are_named_in_the_answer(world: World, at: datetime) -> None:
    writer, lille = Writer(world.installation, at), world.software[0]
    suspended, ended, allowed = (
        writer.letter(what, lille, writer.file(lille, who))
        for what, who in (("suspended", MARTIN), ("ended", MARTIN), ("allowed", LEFEBVRE))
    )
    assert world.mailflow("desk", "suspend", lille.desk, *WHY).code == 0
    assert send_one(world, suspended) == 0
    assert world.mailflow("desk", "release", lille.desk, *WHY).code == 0
    assert world.mailflow("mandate", "suspend", lille.sender, lille.desk, lille.territory, *WHY).code == 0
    assert send_one(world, ended) == 0
    yesterday = (legal_day(at) - timedelta(days=1)).isoformat()
    added = world.mailflow("mandate", "add", lille.sender, lille.desk, lille.territory, "--from", yesterday, *WHY)
    assert added.code == 0, added.err
    assert send_one(world, allowed) == 0
    said = [codes(world, letter, at) for letter in (suspended, ended, allowed)]
    assert said == [["CTRL_HAB_0007"], ["CTRL_HAB_0001"], ["number"]]
