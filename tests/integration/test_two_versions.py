"""Two versions of the program side by side on one register: this one, and a next one that is made here from it.

There is no release before this one to try, so the next version is planted: it keeps one more column, which its first
step adds and its second step requires. What is tried is the mechanism, and that this program stands a first step.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailflow.core.alerting import WorkerSign
from mailflow.demo.applications import file_name
from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.register import Register, watching
from mailflow.register.vault import Vault
from tests.integration.test_cli_mails import a_dem
from tests.support.available import require
from tests.support.databases import Databases, PostgresDatabases
from tests.support.letters import Letter, Writer, many, verdict
from tests.support.mail_world import AUDIT_USER, ROOT, MailWorld
from tests.support.records import rows

DONE, TEMPORARY, CONFIGURATION = 0, 75, 78
SECONDS_MAX = 300
LETTERS, PORTION = 50, 10
SMALL_CHUNKS = {"worker": {"processes": 1, "chunk": 2}, "mailbox": {"poll_seconds": 1}}
"""So that neither worker takes all that lies there at once."""
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
        done = subprocess.run(
            **self._process(*arguments), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        return done.returncode, done.stdout + done.stderr

    @contextlib.contextmanager
    def at_work(self, log: Path) -> Iterator[Path]:
        """It serves within the block, and writes to `log`."""
        with (
            log.open("wb") as output,
            subprocess.Popen(**self._process("run"), stdout=output, stderr=output) as process,
        ):
            try:
                yield log
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_MAX)
                process.kill()
        assert process.returncode == DONE, log.read_text()

    def _process(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "mailflow", "--config", str(self.config), *arguments]
        return {"args": command, "cwd": self.folder, "env": {**os.environ, "PYTHONPATH": str(self.folder)}}


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
        await watching.beat(tx, sign)
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


@pytest.mark.slow
def test_workers_of_both_serve_one_mailbox_and_the_later_one_goes_on_alone(
    postgres_server: PostgresDatabases, tmp_path: Path, following: Path
) -> None:
    require("dovecot")
    require("postfix")
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    with MailWorld(tmp_path / "world", pki, desks(pki), postgres=postgres_server.server, changes=SMALL_CHUNKS) as world:
        letters = many(Writer(world.installation, at), world.software, LETTERS)
        present = Program(folder=ROOT, config=world.installation.config)
        later = Program(folder=following, config=world.installation.config)
        assert later.run("init", "--apply")[0] == DONE
        logs = [tmp_path / "present.log", tmp_path / "later.log"]
        with present.at_work(logs[0]), later.at_work(logs[1]):
            await_that(lambda: workers(world) == len(logs), "both are there")
            for total in range(PORTION, LETTERS, PORTION):
                exchange(world, letters[total - PORTION : total], total)
        assert all("stage=answered" in log.read_text() for log in logs), "each decided some"
        assert later.run("alarms", "forget-host", socket.gethostname(), "--apply")[0] == DONE
        assert later.run("upgrade", "--why", "all run", "--apply")[0] == DONE
        with later.at_work(tmp_path / "alone.log"):
            exchange(world, letters[-PORTION:], LETTERS)
        world.settle()
        assert not verdict(world, letters, at)


def workers(world: MailWorld) -> int:
    """How many have given a sign of life."""
    with psycopg.connect(world.database_url) as postgres:
        return len(postgres.execute("SELECT owner FROM worker_sign").fetchall())


def exchange(world: MailWorld, letters: Sequence[Letter], total: int) -> None:
    """Send these, until so many answers in all have left, as their copies say."""
    world.post([letter.raw for letter in letters])
    await_that(lambda: len(world.dovecot.messages(AUDIT_USER)) == total, f"{total} answers have left")


def await_that(is_so: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.2)
