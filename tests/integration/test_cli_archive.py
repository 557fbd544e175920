"""`mailflow verify --archive` at the command line."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from mailflow.cli.invocation import caller
from mailflow.demo.installation import DeskSoftware, Installation
from tests.integration.test_cli import DONE, NOW, SET_ASIDE, USAGE, Run, installation, pki, run, software, template
from tests.integration.test_cli_audit import harm
from tests.integration.test_cli_mails import a_dem

__all__ = ["installation", "pki", "run", "software", "template"]


def test_what_an_operator_does_with_it(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    assert run("verify", "--archive")[:2] == (DONE, "Accepted mails: 0.\nNothing was accepted then.\n")
    mail = tmp_path / "good.eml"
    mail.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    run("ingest", mail, "--apply")
    assert run("jobs", "run", "audit", "--apply")[0] == DONE  # which seals
    code, out, _ = run("verify", "--archive")
    assert (code, out) == (DONE, "Accepted mails: 1 (content: 1 verified).\nAll of them are proven.\n")
    code, out, _ = run("verify", "--archive", "--message", "1@lille.example", "--json")
    told = json.loads(out)
    assert (code, told["content"], told["findings"], told["not_sealed_yet"]) == (DONE, {"verified": 1}, [], 0)
    assert [step["passed"] for step in told["shown"][0]["steps"]] == [True] * 10
    assert "ok    nothing on the paths is revoked" in run("verify", "--archive", "--message", "1")[1]

    folder = tmp_path / "evidence"
    assert run("verify", "--archive", "--export", folder, "--with-content")[0] == DONE
    assert (folder / "README.md").is_file()
    assert (folder / "mails" / "1" / "content").is_file()
    without = tmp_path / "without"
    assert run("verify", "--archive", "--export", without, "--by", "anna")[0] == DONE
    assert not (without / "mails" / "1" / "content").exists()
    with closing(sqlite3.connect(installation.folder / "register.db")) as register:
        read = register.execute("SELECT intake_id, detail FROM journal WHERE kind = 'content-exported'").fetchall()
    assert [(id_, json.loads(detail)) for id_, detail in read] == [(1, {"by": caller()})], "who took the content out"
    assert subprocess.run(["/bin/sh", "check.sh"], cwd=folder / "mails" / "1", capture_output=True).returncode == 0
    assert run("verify", "--archive", "--export", folder)[0] == USAGE, "nothing is written over"

    for key in (installation.folder / "keys").rglob("*decrypt*"):
        key.unlink()
    harm(installation, "DELETE FROM exhibit WHERE kind = 'policy'")
    code, out, _ = run("verify", "--archive", "--from", "2020-01-01")
    assert (code, out.splitlines()[0]) == (SET_ASIDE, "Accepted mails: 1 (content: 1 not opened).")
    assert out.splitlines()[1].startswith("mail 1: exhibit missing: policy ")
    assert out.splitlines()[2] == "Found: 1, in 1 mails. Keep a copy of the register as it is now."
    (finding,) = json.loads(run("verify", "--archive", "--json")[1])["findings"]
    assert (finding["intake"], finding["what"]) == (1, "exhibit missing")


def test_what_does_not_go_together(run: Run, tmp_path: Path) -> None:
    for options in (
        [],
        ["--from", "2026-11-01"],
        ["--message", "1"],
        ["--export", tmp_path / "new"],
        ["--archive", tmp_path / "mail.eml"],
        ["--archive", "--with-content"],
    ):
        assert run("verify", *options)[0] == USAGE
    for messages in (["--message", "77"], ["--message", "nobody@example.org"]):
        assert run("verify", "--archive", *messages)[0] == SET_ASIDE
