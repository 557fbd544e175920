"""Answers that cannot reach their desk: nobody is told, the operator sees them."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mailflow.demo.pki import DAY
from mailflow.demo.story import MARTIN
from tests.acceptance.world import World
from tests.support.letters import Writer
from tests.support.mail_world import SERVICE_USER


def test_the_bounce_of_an_answer_holds_it_and_is_shown(world: World, at: datetime) -> None:
    writer, lille = Writer(world.installation, at), world.software[0]
    world.post([writer.letter("one person", lille, writer.file(lille, MARTIN)).raw])
    with world.dovecot.without_user(lille.sender):
        done = world.mailflow("run", "--once", "--json")
        assert (done.code, done.json["sent"]) == (0, 1), done.err
        world.settle()
        (report,) = world.dovecot.messages(SERVICE_USER)
        assert b"multipart/report" in report
        done = world.mailflow("run", "--once", "--json")
        assert (done.code, done.json["set_aside"], done.json["sent"]) == (65, 1, 0), done.err
        world.settle()
    assert world.dovecot.messages(SERVICE_USER) == []
    (held,) = world.mailflow("queue", "--json").json
    assert (held["what"], held["intake"], held["state"], held["reason"]) == ("answer", 1, "held", "bounced")
    (row,) = world.mailflow("queue", "--set-aside", "--json").json
    assert (row["intake"], row["reason"]) == (2, "CTRL_MEL_0005")
    assert "bounced" in world.mailflow("show", "2").out


def test_an_answer_without_a_valid_encryption_certificate_is_held(world: World, at: datetime, tmp_path: Path) -> None:
    """Never sent in clear (decision 5)."""
    writer, region = Writer(world.installation, at), world.software[1]
    identity = world.pki.issue("closing", kind="p256")
    closing = replace(region, sender="closing", address="closing@desks.example", identity=identity)
    sign, _ = identity.write(tmp_path)
    encrypt, _ = world.pki.issue("past", kind="p256", starts=-400 * DAY, ends=-20 * DAY).write(tmp_path)
    for command in (
        (
            *("sender", "add", "closing", "--name", "Closing", "--address", closing.address),
            *("--answer-to", region.address, "--sign", str(sign), "--encrypt", str(encrypt)),
        ),
        ("mandate", "add", "closing", closing.desk, closing.territory),
    ):
        done = world.mailflow(*command, "--apply")
        assert done.code == 0, done.err
    world.post([writer.letter("one person", closing, writer.file(closing, MARTIN)).raw])
    done = world.mailflow("run", "--once", "--json")
    assert (done.code, done.json["registered"], done.json["held"], done.json["sent"]) == (65, 1, 1, 0), done.err
    world.settle()
    assert world.answers(region) == {}
    (held,) = world.mailflow("queue", "--json").json
    assert (held["state"], held["reason"]) == ("held", "no valid encryption certificate")
