"""The canary by real servers: enrolled by commands, sent by mail, answered into the audit mailbox, and erased."""

import re
from datetime import datetime

import pytest

from mailflow.core.calendar import legal_day
from mailflow.demo.installation import AUDIT, DeskSoftware
from tests.acceptance.world import World
from tests.support.mail_world import PROCESSED, SERVICE_USER


@pytest.mark.long_on("postgresql")
def test_it_goes_the_whole_way_and_is_no_request_of_anybody(either_world: World, at: datetime) -> None:
    world = either_world
    identity = world.pki.issue("canary", kind="rsa")
    keys = world.installation.folder / "keys"
    for name, octets in (("canary.key", identity.key_pem), ("canary.pem", identity.pem)):
        (keys / name).touch(mode=0o600)
        (keys / name).write_bytes(octets)
    text = world.installation.config.read_text(encoding="utf-8")
    canary = '[canary]\nkey_file = "keys/canary.key"\ncertificate_file = "keys/canary.pem"\n'
    with world.changed_settings((text, f"{text}\n{canary}")) as config:
        refused = world.mailflow("check-config", "--offline", config=config)
        assert (refused.code, "has no mandate for Z0000" in refused.out) == (78, True)
        bird = DeskSoftware(sender="canary", desk="Z0000", territory="000", address=AUDIT, identity=identity)
        world.installation.enrol(bird)
        assert world.mailflow("check-config", config=config).code == 0
        assert world.mailflow("canary", "send", config=config).code == 0
        assert world.mailflow("canary", "list", "--json", config=config).json == []
        assert world.mailflow("canary", "send", "--apply", config=config).code == 0
        again = world.mailflow("canary", "send", "--apply", config=config)
        assert again.code == 75, again.out  # one at a time
        for _ in range(2):
            world.settle()
            done = world.mailflow("run", "--once", config=config)
            assert done.code == 0, done.err
        listed = world.mailflow("canary", "list", "--json", config=config)
        (run,) = listed.json
        assert (listed.code, run["outcome"]) == (0, "answered"), run
        assert re.fullmatch(r"000[0-9]{10}Z0000", run["number"])
        shown = world.mailflow("show", run["number"], config=config)
        assert "deregistered" in shown.out
        month = world.mailflow("report", "--month", f"{legal_day(at):%Y-%m}", "--json", config=config)
        assert month.json["answers"] == 0
        forged = world.mailflow(
            *("mandate", "add", world.software[0].sender, world.software[0].desk, "000"),
            *("--right", "CRE", "--why", "a mistake", "--apply"),
            config=config,
        )
        assert (forged.code, "canary" in forged.err) == (65, True)
    (sent,) = world.dovecot.messages(SERVICE_USER, PROCESSED)
    assert b"Canari" in sent
    assert b"Message-ID: <canary." in sent
