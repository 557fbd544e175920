"""An operator at work with commands alone: mails are held, refused, released; an answer comes back and goes again."""

from datetime import datetime

from mailflow.demo.story import MARTIN
from tests.acceptance.world import World
from tests.support.letters import Writer

WHY = ("--why", "the desk called")


def test_a_mail_is_held_and_its_answer_sent_again(world: World, at: datetime) -> None:
    writer, (lille, region, *_) = Writer(world.installation, at), world.software
    lists = world.installation.folder / "trust" / "crls"
    away = lists.rename(lists.with_name("away"))
    lists.mkdir()
    letter = writer.letter("one person", lille, writer.file(lille, MARTIN))
    other = writer.letter("another", region, writer.file(region, MARTIN))
    world.post([letter.raw, other.raw])
    assert world.mailflow("run", "--once", "--json").json["undetermined"] == 2
    (waiting,) = world.mailflow("find", "--message-id", letter.message_id, "--json").json["items"]
    assert (waiting["intake"], waiting["state"], waiting["left"][:3]) == (1, "undetermined", "11 ")

    # Held, it stays where it is, whatever is mended.
    said = world.mailflow("hold", "--state", "undetermined", *WHY)
    assert (said.code, said.out.splitlines()[0]) == (0, "would: hold 2 of 2: 2 mail undetermined")
    assert world.mailflow("hold", "--state", "undetermined", *WHY, "--apply").code == 0
    lists.rmdir()
    away.rename(lists)
    assert world.mailflow("run", "--once", "--json").json["registered"] == 0
    assert "held until somebody releases them: 2" in world.mailflow("queue").out
    assert world.mailflow("rejudge", "--intake", "1", *WHY).out.startswith("would: nothing")

    # One is refused: its sender is proven, and told.
    refuse = ("reject", "--intake", "2", "--tell", "Envoi d'essai.", *WHY)
    assert world.mailflow(*refuse).out.startswith("The sender is proven, and told, of 1;")
    assert world.answers(region) == {}
    assert world.mailflow(*refuse, "--apply", "--json").json["told"] == [2]
    assert world.mailflow("run", "--once", "--json").json["sent"] == 1
    world.settle()
    assert [len(mails) for mails in world.answers(region).values()] == [1]

    # Released, it is decided; its answer comes back, and is owed again.
    assert world.mailflow("release", "--intake", "1", *WHY, "--apply").code == 0
    with world.dovecot.without_user(lille.sender):
        done = world.mailflow("run", "--once", "--json")
        assert (done.json["registered"], done.json["sent"]) == (1, 1), done.err
        world.settle()
        world.mailflow("run", "--once")
        world.settle()
    (answer,) = world.mailflow("find", "--sender", lille.sender, "--state", "held", "--json").json["items"]
    assert (answer["what"], answer["reason"]) == ("answer", "bounced")
    assert world.answers(lille) == {}
    said = world.mailflow("release", "--outgoing", str(answer["outbox"]), *WHY, "--apply")
    assert (said.code, "it has left" in said.out) == (65, True), said.out

    # The same octets go again, once for each time that somebody asks.
    for times in (1, 2):
        assert world.mailflow("resend", "--intake", "1", *WHY, "--apply").code == 0
        assert world.mailflow("run", "--once", "--json").json["sent"] == 1
        world.settle()
        ((mails),) = world.answers(lille).values()
        assert len(mails) == times
        assert len({mail.partition(b"\r\n\r\n")[2] for mail in mails}) == 1
    (number,) = {row["number"] for row in world.mailflow("show", "1", "--json").json["history"]} - {None}
    assert world.mailflow("find", "--number", number, "--json").json["matching"] == 2
    history = world.mailflow("show", "1", "--json").json["history"]
    acts = [row for row in history if "why=the desk called" in row["detail"]]
    assert [row["kind"] for row in acts] == ["mail-held", "mail-released", "outbox-resent", "outbox-resent"]
    assert all("by=" in row["detail"] for row in acts)
    told = world.mailflow("report", "--month", f"{at:%Y-%m}", "--json").json
    assert told["answers"] == 2, "sent again is not answered again"
