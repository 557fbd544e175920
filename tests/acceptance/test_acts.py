"""An operator at work with commands alone: mails are held, refused, released; an answer comes back and goes again."""

from datetime import datetime
from typing import Any

import pytest

from mailflow.core.calendar import legal_day
from mailflow.demo.story import MARTIN
from tests.acceptance.world import World
from tests.support.letters import Letter, Writer

WHY = ("--why", "the desk called")


@pytest.mark.long
def test_an_operator_sees_to_two_mails(world: World, at: datetime) -> None:
    writer, (lille, region, *_) = Writer(world.installation, at), world.software
    letters = [writer.letter(one.sender, one, writer.file(one, MARTIN)) for one in (lille, region)]
    hold_both(world, letters)

    # One is refused: its sender is proven, and told.
    refuse = ("reject", "--intake", "2", "--tell", "Envoi d'essai.", *WHY)
    assert world.mailflow(*refuse).out.startswith("The sender is proven, and told, of 1;")
    assert world.mailflow(*refuse, "--apply", "--json").json["told"] == [2]
    assert run(world)["sent"] == 1
    assert [len(mails) for mails in world.answers(region).values()] == [1]

    # The other is released and decided; its answer comes back, and is owed again.
    assert world.mailflow("release", "--state", "held", *WHY, "--apply").code == 0
    with world.dovecot.without_user(lille.sender):
        done = run(world)
        assert (done["registered"], done["sent"]) == (1, 1)
        run(world)
    (answer,) = world.mailflow("find", "--sender", lille.sender, "--state", "held", "--json").json["items"]
    assert (answer["what"], answer["reason"]) == ("answer", "bounced")
    assert world.answers(lille) == {}

    # The same octets go again, when it is released and once for each time that somebody asks.
    for times, verb in ((1, "release"), (2, "resend")):
        assert world.mailflow(verb, "--intake", "1", "--what", "answer", *WHY, "--apply").code == 0
        assert run(world)["sent"] == 1
        ((mails),) = world.answers(lille).values()
        assert len(mails) == times
        assert len({mail.partition(b"\r\n\r\n")[2] for mail in mails}) == 1
    told = world.mailflow("report", "--month", f"{legal_day(at):%Y-%m}", "--json").json
    assert told["answers"] == 2, "sent again is not answered again"
    in_the_journal(world)


def hold_both(world: World, letters: list[Letter]) -> None:
    """They cannot be judged, for want of a revocation list; held, they stay where they are though it is mended."""
    lists = world.installation.folder / "trust" / "crls"
    away = lists.rename(lists.with_name("away"))
    lists.mkdir()
    world.post([letter.raw for letter in letters])
    assert run(world)["undetermined"] == 2
    (waiting,) = world.mailflow("find", "--message-id", letters[0].message_id, "--json").json["items"]
    assert (waiting["intake"], waiting["state"], waiting["left"][:3]) == (1, "undetermined", "11 ")
    said = world.mailflow("hold", "--state", "undetermined", *WHY)
    assert (said.code, said.out.splitlines()[0]) == (0, "would: hold 2 of 2: 2 mail undetermined")
    assert world.mailflow("hold", "--state", "undetermined", *WHY, "--apply").code == 0
    lists.rmdir()
    away.rename(lists)
    assert run(world)["registered"] == 0
    assert "held until somebody releases them: 2" in world.mailflow("queue").out
    assert world.mailflow("rejudge", "--intake", "1", *WHY).out.startswith("would: nothing")


def run(world: World) -> Any:
    """One batch; what it came to."""
    done = world.mailflow("run", "--once", "--json")
    world.settle()
    return done.json


def in_the_journal(world: World) -> None:
    """Who and why, in the order in which it was done."""
    history = world.mailflow("show", "1", "--json").json["history"]
    (number,) = {row["number"] for row in history} - {None}
    assert world.mailflow("find", "--number", number, "--json").json["matching"] == 2
    acts = [row for row in history if "why=the desk called" in row["detail"]]
    assert [row["kind"] for row in acts] == ["mail-held", "mail-released", "outbox-released", "outbox-resent"]
    assert all("by=" in row["detail"] for row in acts)
