"""`mailflow selftest` on real servers, as an operator runs it beside an installation; and what it refuses to touch."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailflow.cli.main import call
from mailflow.demo.installation import Installation, MailServers
from mailflow.demo.pki import Pki
from mailflow.selftest import grounds
from mailflow.selftest.oracle import Wrong
from mailflow.selftest.sweep import Bounds, selftest
from mailflow.settings import load
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import DOMAIN, Postfix
from tests.support.available import require
from tests.support.databases import PostgresDatabases
from tests.support.mail_world import empty

REAL = ("demandes", "audit")
OWN = ("selftest", "selftest-audit")
PASSWORD = "secret"
SELFTEST = {
    "address": f"selftest@{DOMAIN}",
    "user": "selftest",
    "secret_file": "secrets/mail",
    "audit_address": f"selftest-audit@{DOMAIN}",
    "audit_user": "selftest-audit",
    "audit_secret_file": "secrets/mail",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """An installation on real servers, with accounts for the self-test beside its own."""

    dovecot: Dovecot
    installation: Installation

    def call(self, *arguments: str) -> int:
        return call(["--config", str(self.installation.config), "selftest", *arguments])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dovecot, Postfix]]:
    require("dovecot")
    require("postfix")
    folder = tmp_path_factory.mktemp("servers")
    with (
        Dovecot(folder / "dovecot", users=dict.fromkeys((*REAL, *OWN), PASSWORD)) as dovecot,
        Postfix(
            folder / "postfix",
            lmtp_port=dovecot.lmtp_port,
            recipients=(*REAL, *OWN),
            certificate=dovecot.certificate,
        ) as postfix,
    ):
        yield dovecot, postfix


Make = Callable[..., Place]


@pytest.fixture
def make(servers: tuple[Dovecot, Postfix], tmp_path: Path) -> Iterator[Make]:
    """Makes an installation: IMAP by TLS, SMTP by STARTTLS."""
    dovecot, postfix = servers
    ca_file = str(dovecot.certificate.certificate)

    def made(changes: Mapping[str, Mapping[str, Any]] | None = None) -> Place:
        reached = MailServers(
            imap_port=dovecot.imaps_port,
            smtp_port=postfix.port,
            service_user=REAL[0],
            audit_user=REAL[1],
            password=PASSWORD,
        )
        installation = Installation(tmp_path / "service", Pki(at=datetime.now(UTC)), reached)
        tables: dict[str, dict[str, Any]] = {
            "service": {"address": f"demandes@{DOMAIN}", "bounce_address": f"demandes@{DOMAIN}"},
            "mailbox": {"security": "tls", "ca_file": ca_file},
            "audit": {"address": f"audit@{DOMAIN}"},
            "smtp": {"host": "localhost", "security": "starttls", "ca_file": ca_file},
            "selftest": SELFTEST,
        }
        for name, table in (changes or {}).items():
            tables[name] = {**tables.get(name, {}), **table}
        installation.create(tables)
        return Place(dovecot=dovecot, installation=installation)

    yield made
    for user in (*REAL, *OWN):
        with dovecot.session(user) as client:
            for folder in ("INBOX", "Processed", "Quarantine"):
                empty(client, folder)


@pytest.mark.slow
@pytest.mark.long_on("postgresql")
@pytest.mark.parametrize(("kind", "runs"), [("sqlite", 2), ("postgresql", 4)])
def test_it_plays_some_of_everything_and_leaves_nothing(
    kind: str,
    runs: int,
    make: Make,
    servers: tuple[Dovecot, Postfix],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes: dict[str, dict[str, Any]] = {}
    if kind == "postgresql":
        databases: PostgresDatabases = request.getfixturevalue("postgres_server")
        changes["register"] = {"url": databases.fresh(migrated=False)}
        changes["mailbox"] = {"security": "starttls", "port": servers[0].imap_port}
        changes["smtp"] = {"security": "plain"}
    place = make(changes)
    before = sorted(path for path in place.installation.folder.rglob("*") if path.is_file())
    place.dovecot.append("demandes", b"Subject: a real one\r\n\r\nhello\r\n")
    capsys.readouterr()
    code = place.call("--every", "60", "--runs", str(runs), "--apply", "--json")
    said = capsys.readouterr()
    assert code == 0, said
    report = json.loads(said.out)
    assert report["findings"] == []
    assert report["failed"] == ""
    rows = {row["kind"]: row for row in report["rows"]}
    assert rows["imap"]["points"] > 20
    assert rows["smtp"]["points"] > 10
    assert [row["runs"] for row in report["rows"]] == [2, *[1] * runs, *[0] * (4 - runs)]
    assert [row["kind"] for row in report["rows"]] == ["undisturbed", "imap", "smtp", "moment", "together"]
    assert rows["smtp"]["reached"] == 1
    assert ("PostgreSQL" if kind == "postgresql" else "SQLite") in report["servers"]["register"]
    assert "Dovecot" in report["servers"]["mailbox"]
    assert "Postfix" in report["servers"]["smtp"]
    assert sorted(path for path in place.installation.folder.rglob("*") if path.is_file()) == before
    assert [place.dovecot.messages(user) for user in ("audit", *OWN)] == [[], [], []]
    assert len(place.dovecot.messages("demandes")) == 1


TWICE = """
import sys
from mailflow.cli.main import call
from mailflow.mail.smtp import SmtpMailer

send = SmtpMailer.send


async def twice(self, outgoing, before_data):
    async def again():
        return True

    result = await send(self, outgoing, before_data)
    await send(self, outgoing, again)
    return result


SmtpMailer.send = twice
if __name__ == "__main__":
    sys.exit(call(sys.argv[1:]))
"""
FORGETS = """
import sys
from mailflow.cli.main import call
from mailflow.mail.ports import Sending, SendResult
from mailflow.mail.smtp import SmtpMailer

sent = 0
send = SmtpMailer.send


async def forget(self, outgoing, before_data):
    global sent
    sent += 1
    if sent < 3:
        return await send(self, outgoing, before_data)
    await before_data()
    return SendResult(state=Sending.SENT)


SmtpMailer.send = forget
if __name__ == "__main__":
    sys.exit(call(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.parametrize(("program", "wrong"), [(TWICE, Wrong.SECOND), (FORGETS, Wrong.LOST)])
def test_a_worker_that_does_not_keep_its_promise_is_found(
    program: str, wrong: Wrong, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailflow.selftest.course.DELIVERY_SECONDS_MAX", 5.0)
    place = make()
    settings = grounds.own(load(place.installation.config))
    file = tmp_path / "worker.py"
    file.write_text(program, encoding="utf-8")
    bounds = Bounds(until=time.monotonic(), logs=tmp_path / "logs", command=(sys.executable, str(file)))
    report = asyncio.run(selftest(settings, bounds, print))
    (undisturbed, *_) = report.rows
    assert undisturbed.wrong[wrong] > 0
    assert {kind for kind, count in undisturbed.wrong.items() if count} == {wrong}
    assert wrong in report.text()
    assert len(list((tmp_path / "logs").iterdir())) == 2
    assert place.dovecot.messages("selftest-audit") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user": "demandes"}, "selftest.user: demandes is an account of the installation"),
        ({"audit_user": "audit"}, "selftest.audit_user: audit is an account of the installation"),
        ({"audit_user": "selftest"}, "the same one twice"),
        ({"address": f"demandes@{DOMAIN}"}, "is an address of the installation"),
        ({"address": f"demandes+test@{DOMAIN}"}, "is an address of the installation"),
        ({"audit_address": f"Audit@{DOMAIN}"}, "is an address of the installation"),
        ({"audit_address": f"selftest@{DOMAIN}"}, "the same one twice"),
        ({"address": ""}, "selftest.address: there is no self-test"),
    ],
)
def test_it_refuses_what_is_the_installation_s(
    changed: dict[str, str], said: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make({"selftest": {**SELFTEST, **changed}})
    assert place.call("--apply") == 78
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("user", "folder"), [("selftest", "INBOX"), ("selftest", "Quarantine"), ("selftest-audit", "INBOX")]
)
def test_it_refuses_mailboxes_that_others_use_and_says_what_it_would_do(
    user: str, folder: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make()
    left = b"Message-ID: <1.2@selftest.mailflow.invalid>\r\n\r\nleft by a self-test that was killed\r\n"
    with place.dovecot.session(user) as client:
        client.create(folder)
        client.append(folder, "", "", left)
    assert place.call() == 0
    said = capsys.readouterr().out
    assert "would: delete 1 mails that an earlier self-test has left" in said
    assert "mailflow-selftest, and drop it" in said
    assert place.dovecot.messages(user, folder) == [left]
    place.dovecot.append(user, b"Subject: of somebody\r\n\r\nhello\r\n", folder)
    for arguments in ([], ["--apply"]):
        assert place.call(*arguments) == 65
        assert f"the folder {folder} holds mails that are not of a self-test" in capsys.readouterr().err
    assert len(place.dovecot.messages(user, folder)) == 2


def test_one_at_a_time(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    place = make()
    with grounds.alone(load(place.installation.config)):
        assert place.call("--apply") == 65
    assert "a self-test is at work" in capsys.readouterr().err


def test_without_a_server_it_is_to_be_called_again(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    place = make({"smtp": {"port": 9}})
    assert place.call("--apply") == 75
    assert "was not taken" in capsys.readouterr().err
    assert not (place.installation.folder / "mailflow-selftest").exists()
