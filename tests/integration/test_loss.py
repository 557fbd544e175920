"""A disk that is lost, on real servers: backup, drill, loss, restore, and every number as it was.

Everything is done by the commands of the handbook; what desks were told is read from their mailboxes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailflow.cli.main import call
from mailflow.register import copying
from mailflow.register.key_store import beside
from mailflow.settings import load
from tests.servers.postgres import PostgresServer
from tests.support.available import require
from tests.support.databases import KINDS, server_of
from tests.support.losing import ARCHIVE_KEY, losing_world, post, told
from tests.support.mail_world import AUDIT_USER, PROCESSED, SERVICE_USER, MailWorld

DONE, SET_ASIDE, TEMPORARY = 0, 65, 75
WHY = ("--why", "the disk is lost", "--apply")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """None: SQLite."""
    require("dovecot")
    require("postfix")
    return server_of(request)


@pytest.fixture
def world(server: PostgresServer | None, tmp_path: Path) -> Iterator[MailWorld]:
    with losing_world(tmp_path, server) as made:
        made.begin_anew()
        yield made


def run(
    world: MailWorld, capsys: pytest.CaptureFixture[str], *arguments: str, mailbox: str = SERVICE_USER
) -> tuple[int, str]:
    code = call(["--config", str(world.config_of(mailbox)), *arguments])
    return code, capsys.readouterr().out


def lose(world: MailWorld, folder: Path) -> None:
    """The register is that of the backup."""
    where = load(world.installation.config).register_
    copy = copying.files_in(folder, where.url)
    if where.url.startswith("sqlite:"):
        for url, file in ((where.url, copy.register), (where.keys_url or beside(where.url), copy.keys)):
            path = Path(url.removeprefix("sqlite:///"))
            for part in path.parent.glob(f"{path.name}*"):
                part.unlink()
            path.write_bytes(file.read_bytes())
        return
    world.lose_database(lambda url: copying.fill(url, url, copy))


@pytest.mark.long_on("sqlite")
def test_a_disk_is_lost_and_every_number_is_as_it_was(
    world: MailWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    post(world, "Durand")
    world.finish()
    folder = tmp_path / "backups" / "2026-11-25"
    assert run(world, capsys, "backup", str(folder))[0] == DONE
    assert folder.stat().st_mode & 0o777 == 0o700
    post(world, "Petit", "Moreau")
    world.finish()
    before = told(world)
    assert sorted(number[7:13] for _, _, number in before) == ["000001", "000002", "000003"]

    key = str(tmp_path / ARCHIVE_KEY)
    for options in (("--archive-key", key), ()):
        code, said = run(world, capsys, "drill", "--backup", str(folder), *options, "--json")
        proofs = {one["what"]: one for one in json.loads(said)}
        assert (code, [one["what"] for one in proofs.values() if not one["ok"]]) == (DONE, []), said
        assert proofs["noticed"]["detail"].startswith("2 numbers went out since; the copy misses 2 mails and 2 answers")
        assert proofs["mails"]["detail"] == proofs["requests"]["detail"] == "1 of the latest 1 open"
    code, said = run(world, capsys, "drill")
    assert (code, "0 numbers went out since" in said) == (DONE, True), said

    lose(world, folder)
    assert run(world, capsys, "jobs", "run", "notices", "--apply")[0] == TEMPORARY, "it looks back first"
    post(world, "Roux")
    code, said = world.run()
    assert "register-behind" in said
    assert told(world) == before, "nobody is given a number"
    assert run(world, capsys, "resume", *WHY)[0] == SET_ASIDE
    assert run(world, capsys, "restore", *WHY)[0] == SET_ASIDE, "say how"
    code, said = run(world, capsys, "restore", "--archive-key", key, *WHY)
    assert (code, "keep 2 numbers, told by 2 answers" in said) == (DONE, True), said
    assert run(world, capsys, "resume", *WHY)[0] == DONE
    world.finish()
    after = told(world)[len(before) :]
    assert set(before[1:]) <= set(after), "the same requests have the same numbers"
    (new,) = {number for _, _, number in after} - {number for _, _, number in before}
    assert new[7:13] == "000004"
    code, said = run(world, capsys, "restore", "--why", "what came of it")
    assert (code, "given again to the same requests: 2" in said) == (DONE, True), said
    assert len(world.dovecot.messages(SERVICE_USER, PROCESSED)) == 4
    assert len(world.dovecot.messages(AUDIT_USER)) == 6
    assert run(world, capsys, "reconcile")[0] == DONE, "what went out in the lost time is accounted for"


@pytest.mark.long
def test_of_two_mailboxes_each_is_restored_by_its_own_settings(
    server: PostgresServer | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their folders have the same names, and may well have the same UIDVALIDITY."""
    boxes = (SERVICE_USER, second := "demandes2")
    folder, key = tmp_path / "backup", str(tmp_path / ARCHIVE_KEY)
    with losing_world(tmp_path, server, mailboxes=boxes) as world:
        world.begin_anew()
        post(world, "Durand")
        world.finish(later=0)
        assert run(world, capsys, "backup", str(folder))[0] == DONE
        post(world, "Petit")
        post(world, "Moreau", to=second)
        world.finish(later=0)
        before = told(world)
        lose(world, folder)

        assert "register-behind" in world.run()[1]
        assert run(world, capsys, "restore", "--archive-key", key, *WHY)[0] == DONE
        assert run(world, capsys, "resume", *WHY)[0] == DONE
        code, said = world.run(mailbox=second)
        assert (code, "register-behind" in said, "mails=1 answers=2" in said) == (TEMPORARY, True, True), said
        assert run(world, capsys, "restore", *WHY, mailbox=second)[0] == SET_ASIDE, "say how, for this one too"
        assert run(world, capsys, "restore", "--archive-key", key, *WHY, mailbox=second)[0] == DONE
        assert run(world, capsys, "resume", *WHY, mailbox=second)[0] == DONE
        world.finish(later=0)
        assert set(told(world)[len(before) :]) == set(before[1:]), "the same requests have the same numbers"
        told_by = [run(world, capsys, "reconcile", "--settled", "0", mailbox=box) for box in boxes]
        assert [code for code, _ in told_by] == [DONE, DONE], told_by
