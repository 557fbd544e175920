"""A complete installation in a folder, made as an operator makes one: settings, keys, trust, enrolments.

The demo uses it, and so do the tests and the benchmark: what they run is what is installed.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from mailflow.cli.main import call
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Pki
from mailflow.errors import MailflowError
from mailflow.mail import cms
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import OpenedAnswer, Protection, open_answer, request_mail

SERVICE = "demandes@service.example"
AUDIT = "audit@service.example"
BOUNCES = "demandes@service.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServers:
    """Where the service reads and sends. All on this machine, in clear."""

    imap_port: int
    smtp_port: int
    service_user: str
    audit_user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSoftware:
    """A desk's program: what it signs with, and for which desk it writes."""

    sender: str
    desk: str
    territory: str
    address: str
    identity: Identity
    """Signs; answers are encrypted to it too, unless it has another for that."""
    decrypts: Identity | None = None
    legacy: bool = False
    former: tuple[Identity, ...] = ()
    """Further certificates that are enrolled for signing."""
    rights: tuple[str, ...] = ("CRE",)
    """What its mandate allows."""


class Installation:
    """The service in `folder`, in the school environment unless told otherwise."""

    def __init__(self, folder: Path, pki: Pki, servers: MailServers, *, environment: str = "ecole") -> None:
        self.folder = folder
        self.pki = pki
        self.config = folder / "mailflow.toml"
        self._servers = servers
        self._environment = environment
        self.identity = pki.service_rsa

    def create(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write the files and make the register. `changes` are settings by table, beside what the servers need."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pki.write(self.folder)
        for name in ("keys", "secrets"):
            (self.folder / name).mkdir(exist_ok=True)
        for name, content in (
            ("keys/service.key", self.identity.key_pem),
            ("secrets/mail", self._servers.password.encode() + b"\n"),
        ):
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o600)
        (self.folder / "keys/service.pem").write_bytes(self.identity.pem)
        tables = self._settings()
        for name, table in (changes or {}).items():
            tables.setdefault(name, {}).update(table)
        self.config.write_text(_toml(self._environment, tables), encoding="utf-8")
        self.command("init", "--apply")

    def enrol(self, software: DeskSoftware) -> None:
        """Enrol a sender with its desk and mandate, by the operator's commands."""
        signing: list[str] = []
        for number, identity in enumerate((software.identity, *software.former)):
            certificate = self.folder / f"{software.sender}-{number}.pem"
            certificate.write_bytes(identity.pem)
            signing += ["--sign", str(certificate)]
        encryption = self.folder / f"{software.sender}-encryption.pem"
        encryption.write_bytes((software.decrypts or software.identity).pem)
        self.command(
            *("sender", "add", software.sender, "--name", f"Logiciel {software.sender}"),
            *("--address", software.address, *signing, "--encrypt", str(encryption)),
            *(["--legacy"] if software.legacy else []),
            "--apply",
        )
        self.command(
            *("desk", "add", software.desk, "--name", f"Guichet {software.desk}"),
            *("--address", "1 place de la République, 59000 Lille", "--apply"),
        )
        rights = [option for right in software.rights for option in ("--right", right)]
        self.command("mandate", "add", software.sender, software.desk, software.territory, *rights, "--apply")

    def load_reference(self) -> None:
        """Invented landlords and mediation commissions, for attestations to state."""
        with as_file(files("mailflow.demo").joinpath("data")) as folder:
            names = [str(folder / name) for name in ("bailleurs.csv", "commissions.csv")]
            self.command("reference", "load", *names, "--why", "demo", "--apply")

    def command(self, *arguments: str) -> None:
        """Run one command of the service. Raises MailflowError when it does not end well."""
        if code := call(["--config", str(self.config), *arguments]):
            raise MailflowError(f"mailflow {' '.join(arguments[:2])} ended with {code}")

    def request(
        self,
        software: DeskSoftware,
        files: list[tuple[str, bytes]],
        *,
        message_id: str,
        at: datetime,
        encrypted: bool = True,
        opaque: bool = False,
    ) -> bytes:
        """A request mail as the desk's program sends it."""
        protection = Protection(
            signing_key=cms.load_signing_key(software.identity.key_pem, software.identity.pem),
            encrypt_to=self.identity.der if encrypted else None,
            opaque=opaque,
            legacy=software.legacy,
        )
        return request_mail(files, protection, sender=software.address, recipient=SERVICE, message_id=message_id, at=at)

    def open(self, software: DeskSoftware, raw: bytes, at: datetime) -> OpenedAnswer:
        """An answer as the desk's program reads it. Raises AnswerRefused."""
        return open_answer(raw, [decryption_key(software.decrypts or software.identity)], [self.identity.der], at)

    def _settings(self) -> dict[str, dict[str, Any]]:
        servers = self._servers
        imap = {
            "host": "127.0.0.1",
            "port": servers.imap_port,
            "security": "plain",
            "auth": "login",
            "secret_file": "secrets/mail",
        }
        return {
            "service": {
                "name": "Enregistrement des demandes",
                "address": SERVICE,
                "bounce_address": BOUNCES,
                "contact": "assistance@service.example",
            },
            "register": {"url": "sqlite:///register.db"},
            "mailbox": {**imap, "user": servers.service_user},
            "audit": {"user": servers.audit_user, "secret_file": "secrets/mail", "address": AUDIT},
            "smtp": {"host": "127.0.0.1", "port": servers.smtp_port, "security": "plain"},
            "keys": {
                "signing_key_file": "keys/service.key",
                "signing_certificate_file": "keys/service.pem",
                "decryption": [{"key_file": "keys/service.key", "certificate_file": "keys/service.pem"}],
            },
        }


def decryption_key(identity: Identity) -> DecryptionKey:
    """What opens mails that are encrypted to this identity."""
    return cms.load_decryption_key(identity.key_pem, identity.pem)


def _toml(environment: str, tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f'environment = "{environment}"']
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return text


def _value(value: object) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)  # whose escapes are among those of TOML
        case dict():
            return "{" + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return str(value)
