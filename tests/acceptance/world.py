"""The world of the stories: desks that send by SMTP, Dovecot and Postfix, and `mailflow` as a process of its own."""

import contextlib
import json
import os
import re
import smtplib
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE, DeskSoftware
from mailflow.demo.pki import Fault, Pki
from mailflow.demo.story import desks
from tests.servers.postgres import PostgresServer
from tests.support.mail_world import INBOX, PASSWORD, PROCESSED, ROOT, SERVICE_USER, MailWorld
from tests.support.nursery import RUN_SECONDS_MAX, begin

STOP_SECONDS = 10
"""What the worker is given to stop."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str = field(repr=False)

    @property
    def json(self) -> Any:
        """Standard output, when the command was called with `--json`."""
        return json.loads(self.out)


class World(MailWorld):
    """Three desks, two of them with every right in the Nord, and the certificates of the stories, good and bad."""

    def __init__(self, folder: Path, pki: Pki, *, postgres: PostgresServer | None = None) -> None:
        lille, region, editor = desks(pki)
        self.identities: dict[str, Identity] = {
            "stranger": pki.issue("stranger", kind="rsa"),
            "revoked": pki.faulty(Fault.REVOKED),
            "expired": pki.faulty(Fault.EXPIRED),
            "rsa-1024": pki.faulty(Fault.RSA_1024),
            "second": pki.issue("second", kind="p256"),
        }
        enrolled = tuple(self.identities[name] for name in ("revoked", "expired", "rsa-1024", "second"))
        everything = ("CRE", "CRS", "MOD", "REN", "RAD", "SUP")
        software = (replace(lille, former=enrolled, rights=everything), region, replace(editor, rights=everything))
        self.identities |= {one.sender: one.identity for one in software}
        self.pki = pki
        # The service has a second key, on a curve, that mails may be encrypted to.
        keys = folder / "service" / "keys"
        for path, content in ((".pem", pki.service_ec.pem), (".key", pki.service_ec.key_pem)):
            file = keys / f"service-ec{path}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(content)
        decryption = [
            {"key_file": f"keys/{name}.key", "certificate_file": f"keys/{name}.pem"}
            for name in ("service", "service-ec")
        ]
        changes: dict[str, Mapping[str, Any]] = {
            "keys": {"decryption": decryption},
            "worker": {"processes": 1, "stop_seconds": STOP_SECONDS},
        }
        super().__init__(folder, pki, software, postgres=postgres, changes=changes)

    # The service

    def command(self, *arguments: str, config: Path | None = None) -> list[str]:
        """The command line of `mailflow` with these arguments."""
        return [sys.executable, "-m", "mailflow", "--config", str(config or self.installation.config), *arguments]

    def mailflow(self, *arguments: str, config: Path | None = None, stdin: bytes = b"") -> Done:
        """Run one command to its end."""
        output, errors = self.folder / "stdout", self.folder / "stderr"
        settings = ("--", "--config", str(config or self.installation.config))
        worker = begin((*settings, *arguments), folder=ROOT, log=output, errors=errors, stdin=stdin)
        code, out = worker.wait()
        return Done(code=code, out=out, err=errors.read_text())

    def spawn(self, *arguments: str, config: Path | None = None) -> "subprocess.Popen[bytes]":
        """Start one command and leave it running."""
        return subprocess.Popen(
            self.command(*arguments, config=config),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @contextlib.contextmanager
    def changed_settings(self, *changes: tuple[str, str]) -> Iterator[Path]:
        """A settings file in which the first of each pair of texts became the second."""
        text = self.installation.config.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        file = self.installation.folder / "changed.toml"
        file.write_text(text, encoding="utf-8")
        yield file
        file.unlink()

    @property
    def database_url(self) -> str:
        """Where the register of now lies."""
        settings = tomllib.loads(self.installation.config.read_text(encoding="utf-8"))
        return str(settings["register"]["url"])

    # The mail server

    def uidvalidity(self) -> int:
        """Of the service's inbox."""
        with self.dovecot.session(SERVICE_USER) as client:
            _, (answer,) = client.status(INBOX, "(UIDVALIDITY)")
        return int(answer.rpartition(b"UIDVALIDITY ")[2].strip(b" )"))

    # The desks

    def send(self, raw: bytes, software: DeskSoftware | None = None) -> None:
        """Hand a mail in by SMTP, with the line ends that SMTP wants; return when it lies in the mailbox."""
        envelope_from = software.address if software else "somebody@desks.example"
        with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=30) as client:
            client.login(SERVICE_USER, PASSWORD)  # that server takes mails from nobody else
            refused = client.sendmail(envelope_from, [SERVICE], re.sub(rb"\r?\n", b"\r\n", raw))
        assert not refused
        self.settle()

    def answers(self, software: DeskSoftware) -> dict[str, list[bytes]]:
        """The mails in a desk's mailbox, by the Message-ID that they answer."""
        found: dict[str, list[bytes]] = {}
        for raw in self.dovecot.messages(software.sender):
            found.setdefault(str(message_from_bytes(raw)["In-Reply-To"]), []).append(raw)
        return found

    def as_arrived(self, message_id: str) -> list[bytes]:
        """The mails with this Message-ID that were put away, octet for octet."""
        mails = [raw for folder in (INBOX, PROCESSED) for raw in self.dovecot.messages(SERVICE_USER, folder)]
        return [raw for raw in mails if str(message_from_bytes(raw)["Message-ID"]) == message_id]


def finished(process: "subprocess.Popen[bytes]", stdin: bytes = b"") -> Done:
    """Wait for the end of a process."""
    try:
        out, err = process.communicate(stdin, timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Done(code=process.returncode, out=out.decode(), err=err.decode())


def shell(script: Path, folder: Path, variables: Mapping[str, str]) -> str:
    """Run a shell script in `folder`; every command that it ran, and what they said."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables}
    done = subprocess.run(
        ["sh", "-eux", str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
