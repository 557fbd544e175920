"""`mailflow audit` at the command line: the journal is sealed, a head is kept elsewhere, and harm is told."""

import json
import sqlite3
import subprocess
from pathlib import Path

from mailflow.demo.installation import Installation
from tests.integration.test_cli import DONE, SET_ASIDE, USAGE, Run, installation, pki, run, software, template

__all__ = ["installation", "pki", "run", "software", "template"]


def harm(installation: Installation, *statements: str) -> None:
    """Somebody who may write the file: what keeps the tables is no obstacle."""
    connection = sqlite3.connect(installation.folder / "register.db")
    with connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_what_an_operator_does_with_it(run: Run, installation: Installation, tmp_path: Path) -> None:
    head = tmp_path / "head.pem"
    assert run("audit", "--print-head")[0] == SET_ASIDE, "none was signed yet"
    assert run("jobs", "run", "audit", "--apply")[0] == DONE
    head.write_text(run("audit", "--print-head")[1], encoding="utf-8")
    code, out, _ = run("audit")
    assert (code, out.splitlines()[-1]) == (DONE, "Nothing is wrong.")
    assert run("audit", "--head", head)[:2] == (code, out)
    openssl = ["openssl", "cms", "-verify", "-inform", "PEM", "-in", str(head), "-noverify"]
    facts = json.loads(run("audit", "--json")[1])
    said = json.loads(subprocess.run(openssl, check=True, capture_output=True).stdout)
    assert said == facts["head"]
    assert (said["position"], said["link"], facts["findings"]) == (facts["sealed_up_to"], facts["link"], [])

    assert run("desk", "amend", "Z0001", "--name", "Autre", "--why", "moved", "--apply")[0] == DONE
    harm(installation, "UPDATE journal SET detail = '{}' WHERE id = 2", "DELETE FROM journal WHERE id = 1")
    code, out, _ = run("audit", "--head", head)
    assert code == SET_ASIDE
    assert out.splitlines()[2:] == [
        "missing: entry 1: was sealed and is not there any more",
        "changed: entry 2: is not what was sealed",
        "Found: 2. Keep a copy of the register as it is now.",
    ]
    harm(installation, "DELETE FROM journal_head", "DELETE FROM journal_link")
    assert run("jobs", "run", "audit", "--apply")[0] == DONE
    assert run("audit")[0] == DONE, "all was made anew, and nobody here knows better"
    code, out, _ = run("audit", "--head", head, "--json")
    assert (code, {one["what"] for one in json.loads(out)["findings"]}) == (SET_ASIDE, {"head forged", "rewritten"})


def test_what_is_no_head_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"nothing")
    code, _, err = run("audit", "--head", other)
    assert (code, "holds no head that this service has signed" in err) == (USAGE, True)
