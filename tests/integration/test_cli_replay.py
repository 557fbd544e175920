"""`mailflow replay` from the command line: by the version that decided, and by another one beside it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mailflow
from mailflow.demo.installation import DeskSoftware, Installation
from tests.integration.test_cli import DONE, NOW, SET_ASIDE, Run, installation, listed, pki, run, software, template
from tests.integration.test_cli_mails import TEMPORARY, a_dem

__all__ = ["installation", "pki", "run", "software", "template"]

PERSONAL = ("Durand", "Zoé", "1990-", "lille.example")


def another_version(folder: Path) -> Path:
    """The program as a future version may be: under another version number it finds no name usable."""
    package = folder / "mailflow"
    shutil.copytree(Path(mailflow.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    start = package / "__init__.py"
    start.write_text(re.sub(r'__version__ = ".*"', '__version__ = "9.9.9"', start.read_text(encoding="utf-8")))
    rules = package / "core" / "rules" / "persons.py"
    text = rules.read_text(encoding="utf-8")
    changed = "def names_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:\n"
    assert changed in text
    stricter = f'{changed}    yield Anomaly(code=Code.NAME_UNUSABLE, path=f"{{facts.at_root}}/personnePhysique")\n'
    rules.write_text(text.replace(changed, stricter), encoding="utf-8")
    return folder


def test_past_mails_are_decided_again_by_this_version_and_by_another(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    file = tmp_path / "good.eml"
    file.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    assert run("ingest", file, "--apply")[0] == TEMPORARY, "there is no server to take the answer"
    register = installation.folder / "register.db"
    before = register.read_bytes()

    code, out, _ = run("replay")
    assert (code, "Everything is decided as it was." in out) == (DONE, True)
    told = listed(run, "replay", "--since", "2020-01-01", "--desk", "Z0001")
    assert (told["version"], told["mails"], told["requests"]["same"]) == (mailflow.__version__, 1, 1)
    assert listed(run, "replay", "--desk", "Z0009")["mails"] == 0

    command = [sys.executable, "-m", "mailflow", "--config", str(installation.config), "replay", "--json"]
    other = another_version(tmp_path / "other")
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(other)}, cwd=other, capture_output=True, text=True, check=False
    )
    assert done.returncode == SET_ASIDE, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["requests"]["newly_refused"]) == ("9.9.9", 1)
    (difference,) = told["differences"]
    assert (difference["difference"], difference["new"]) == ("newly refused", "CTRL_DEM_0022")
    assert re.fullmatch(r"DEMZ0001-\d{12}-000001\.xml", difference["file"])
    assert register.read_bytes() == before
    assert not [word for word in PERSONAL if word in done.stdout + done.stderr + out]


def test_one_mail_is_written_down_for_a_software_house(
    run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path
) -> None:
    file, out = tmp_path / "good.eml", tmp_path / "case.json"
    file.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    assert run("ingest", file, "--apply")[0] == TEMPORARY
    assert run("case", "1", "--out", out) == (DONE, f"written to {out}\n", "")
    text = out.read_text(encoding="utf-8")
    assert [word for word in PERSONAL if word in text] == []
    assert "<tns:nom>Xxxxxx</tns:nom>" in text
    assert run("case", "99")[0] == SET_ASIDE
