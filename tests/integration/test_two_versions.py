"""Two versions of the program side by side on one register: this one, and a next one that is made here from it.

There is no release before this one to try, so the next version is planted: it keeps one more column, which its first
step adds and its second step requires. What is tried is the mechanism, and that this program stands a first step.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailflow.core.alerting import WorkerSign
from mailflow.demo.applications import file_name
from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from mailflow.register import Register, watching
from mailflow.register.vault import Vault
from tests.integration.test_cli_mails import a_dem
from tests.support.databases import Databases
from tests.support.mail_world import ROOT
from tests.support.records import rows

DONE, TEMPORARY, CONFIGURATION = 0, 75, 78
SECONDS_MAX = 300
FIRST_STEP = '''"""Of 0002: only adds."""
from alembic import op
revision, down_revision = "0002pre", "0001"

def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE intake ADD COLUMN note TEXT")
'''
SECOND_STEP = '''"""Of 0002: requires what the former program does not write."""
from alembic import op
revision, down_revision = "0002", "0002pre"
REQUIRED = {
    "sqlite": "CREATE TRIGGER intake_has_a_note BEFORE INSERT ON intake WHEN NEW.note IS NULL"
    " BEGIN SELECT RAISE(ABORT, 'intake_has_a_note'); END",
    "postgresql": "ALTER TABLE intake ADD CONSTRAINT intake_has_a_note CHECK (note IS NOT NULL) NOT VALID",
}

def upgrade() -> None:
    op.get_bind().exec_driver_sql(REQUIRED[op.get_bind().dialect.name])
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A version of the program, as its processes find it."""

    folder: Path
    config: Path

    def run(self, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mailflow", "--config", str(self.config), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def following(tmp_path: Path) -> Path:
    """The folder of the next version."""
    folder = tmp_path / "next"
    shutil.copytree(ROOT / "mailflow", folder / "mailflow", ignore=shutil.ignore_patterns("__pycache__"))
    register = folder / "mailflow/register"
    _change(register / "migrations/__init__.py", 'NEWEST = "0001"', 'NEWEST = "0002"')
    taken_at = '    sa.Column("taken_at", Instant, nullable=False),\n'
    _change(register / "intake_tables.py", taken_at, '    sa.Column("note", sa.Text),\n', add=True)
    _change(register / "intake.py", '        "taken_at": at,\n', '        "note": "of the next version",\n', add=True)
    (register / "migrations/versions/r0002_first_step.py").write_text(FIRST_STEP, encoding="utf-8")
    (register / "migrations/versions/r0002_second_step.py").write_text(SECOND_STEP, encoding="utf-8")
    return folder


def _change(file: Path, text: str, other: str, *, add: bool = False) -> None:
    before = file.read_text(encoding="utf-8")
    assert before.count(text) == 1, f"{file.name} has another form"
    file.write_text(before.replace(text, text + other if add else other), encoding="utf-8")


def letters(installation: Installation, software: DeskSoftware, folder: Path, names: Sequence[str]) -> list[str]:
    """Request mails in files."""
    files, at = [], datetime.now(UTC)
    for number, name in enumerate(names, 1):
        content = file_name(software.desk, at, number), a_dem(name)[1]
        file = folder / f"{name}.eml"
        file.write_bytes(installation.request(software, [content], message_id=f"<{name}@lille.example>", at=at))
        files.append(str(file))
    return files


async def notes(register: Register) -> list[str | None]:
    return [row.note for row in await rows(register, "SELECT note FROM intake ORDER BY id")]


@pytest.mark.long
async def test_both_work_until_the_second_step_which_waits_for_the_former_one(
    databases: Databases, tmp_path: Path, following: Path
) -> None:
    register_url = await asyncio.to_thread(databases.fresh, migrated=False)
    pki, nowhere = Pki(at=datetime.now(UTC)), 9
    servers = MailServers(imap_port=nowhere, smtp_port=nowhere, service_user="a", audit_user="b", password="c")
    installation = Installation(tmp_path / "service", pki, servers)
    software = DeskSoftware(
        sender="lille", desk="Z0001", territory="059", address="lille@lille.example", identity=pki.issue("lille")
    )
    changes: dict[str, dict[str, Any]] = {"register": {"url": register_url}, "worker": {"processes": 1}}
    await asyncio.to_thread(installation.create, changes)
    await asyncio.to_thread(installation.enrol, software)
    mails = letters(installation, software, tmp_path, ("Durand", "Petit", "Roux"))
    present = Program(folder=ROOT, config=installation.config)
    later = Program(folder=following, config=installation.config)
    code, said = later.run("queue")
    assert (code, "version 0001: run `mailflow init`" in said) == (CONFIGURATION, True), said
    assert later.run("init", "--apply")[0] == DONE
    assert later.run("init", "--apply")[0] == DONE, "twice is once"

    for one, mail in zip((present, later), mails, strict=False):
        code, said = one.run("ingest", mail, "--apply")
        assert code == TEMPORARY, said
    register = Register.open(register_url, Vault.closed())
    assert await notes(register) == [None, "of the next version"]
    at = datetime.now(UTC)
    sign = WorkerSign(owner="w", host="host-a", begun_at=at, beaten_at=at, emptied_at=None, state="{}")
    async with register.begin() as tx:
        await watching.beat(tx, sign, silent_since=at)
    code, said = later.run("upgrade", "--why", "all run", "--apply")
    assert (code, "runs on host-a: stop it first" in said) == (TEMPORARY, True), said
    assert later.run("alarms", "forget-host", "host-a", "--apply")[0] == DONE
    assert later.run("upgrade", "--why", "all run", "--apply")[0] == DONE

    code, said = present.run("ingest", mails[2], "--apply")
    assert (code, "version 0002: this program is older" in said) == (CONFIGURATION, True), said
    code, said = present.run("init", "--apply")
    assert (code, "this program is older" in said) == (CONFIGURATION, True), said
    assert later.run("ingest", mails[2], "--apply")[0] == TEMPORARY
    given = await rows(register, "SELECT number FROM request ORDER BY number")
    assert [row.number[7:13] for row in given] == ["000001", "000002", "000003"]
    (entry,) = await rows(register, "SELECT detail FROM journal WHERE kind = 'tables-upgraded'")
    assert json.loads(entry.detail)["version"] == "0002"
    await register.close()
