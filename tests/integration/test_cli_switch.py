"""`mailflow stop` and `resume` at the command line, and where what they do is seen."""

import json
from pathlib import Path

from mailflow.demo.installation import DeskSoftware, Installation
from tests.integration.test_cli import DONE, NOW, SET_ASIDE, Run, installation, listed, pki, run, software, template
from tests.integration.test_cli_mails import TEMPORARY, a_dem

__all__ = ["installation", "pki", "run", "software", "template"]

WHY = ("--why", "numbers come out twice", "--by", "anna")


def test_numbers_are_stopped_seen_to_be_and_given_again(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    assert run("stop", "--apply")[0] == 2, "why?"
    code, out, _ = run("stop", *WHY)
    assert (code, out.splitlines()[0]) == (DONE, "would: give no numbers from now on, on any host")
    assert listed(run, "forecast")["stopped"] is None
    assert run("stop", *WHY, "--apply")[:2] == (DONE, "does: give no numbers from now on, on any host\n")
    code, out, _ = run("stop", "--why", "again", "--apply")
    assert code == DONE
    assert ", by anna" in out.splitlines()[1]
    assert out.endswith(": numbers come out twice\n"), "the first word stands"
    mail = tmp_path / "mail.eml"
    mail.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    code, out, _ = run("ingest", mail, "--apply", "--json")
    told = json.loads(out)
    assert (code, told["stopped"], told["registered"], told["waiting"]) == (TEMPORARY, 1, 0, 1)
    said = run("queue")[1]
    assert "Warning: no numbers are given since " in said
    assert "Warning: wait until numbers are given again (mailflow resume): 1; the next deadline is in" in said
    assert listed(run, "forecast")["stopped"]["why"] == "numbers come out twice"
    code, out, _ = run("resume", "--why", "mended")
    assert out.splitlines()[1:3] == ["would: give numbers from now on", "would: go on with 1 mails that wait for it"]
    assert run("resume", "--why", "mended", "--apply")[0] == DONE
    assert run("resume", "--why", "mended", "--apply")[0] == SET_ASIDE
    code, out, _ = run("ingest", mail, "--apply", "--json")
    assert json.loads(out)["registered"] == 1
