"""A whole world for the worker: Dovecot, Postfix and an installation between them, emptied and used again."""

import contextlib
import imaplib
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.servers.postgres import PostgresServer
from tests.support.databases import copy_register, drop_register
from tests.support.nursery import Worker, begin

ROOT = Path(__file__).parents[2]
SERVICE_USER, AUDIT_USER = "demandes", "audit"
ADMIN = "cyrus"
"""Who may do all on a server of that name."""
PASSWORD = "secret"
INBOX, PROCESSED, QUARANTINE = "INBOX", "Processed", "Quarantine"
MAIL_BYTES_MAX = 60_000
"""A small limit, so that a mail that is too large costs little."""
NUMBERS = "SELECT (SELECT count(*) FROM request), (SELECT coalesce(sum(last), 0) FROM counter)"
LATER_MINUTES = 80
"""Longer than any lease and than the wait for the audit mailbox, far shorter than the 12 hours."""


class MailWorld:
    """A context manager. One register at a time, each as it was after the enrolments; SQLite without `postgres`.

    With `cyrus` the requests come to a mailbox there; desks and the copies of answers have theirs on Dovecot, which
    does not offer what it is `without`.
    """

    def __init__(
        self,
        folder: Path,
        pki: Pki,
        software: Sequence[DeskSoftware],
        *,
        postgres: PostgresServer | None = None,
        inbox: str = INBOX,
        cyrus: bool = False,
        without: Sequence[str] = (),
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        address: str = "",
        mailboxes: Sequence[str] = (SERVICE_USER,),
    ) -> None:
        """`address`: by which other hosts of a network of 256 reach the mail servers too.

        `mailboxes`: accounts to which requests come, each with workers of its own; more than one without `cyrus` only.
        """
        self.folder = folder
        self.mailboxes = mailboxes
        self.software = software
        self._pki = pki
        self.inbox = inbox
        self._postgres = postgres
        self._changes = changes or {}
        self._database = ""
        self._config = ""
        users = (*mailboxes, AUDIT_USER, *(one.sender for one in software))
        self._address = address
        passwords = dict.fromkeys(users, PASSWORD)
        self.dovecot = Dovecot(folder / "dovecot", users=passwords, address=address, without=without)
        self.mailbox: Dovecot | Cyrus = self.dovecot
        """The server to which the requests come."""
        if cyrus:
            self.mailbox = Cyrus(folder / "cyrus", users=dict.fromkeys((SERVICE_USER, ADMIN), PASSWORD))
        self.postfix: Postfix
        self.installation: Installation
        self._closing = contextlib.ExitStack()
        self._runs = count(1)

    def __enter__(self) -> Self:
        with self._closing as closing:
            dovecot = closing.enter_context(self.dovecot)
            if isinstance(self.mailbox, Cyrus):
                closing.enter_context(self.mailbox)
            addresses = [one.address for one in self.software]
            addresses += [f"{user}@service.example" for user in (SERVICE_USER, AUDIT_USER)]
            domains = sorted({address.rpartition("@")[2] for address in addresses})
            self.postfix = closing.enter_context(
                Postfix(
                    self.folder / "postfix",
                    lmtp_port=dovecot.lmtp_port,
                    recipients=(),
                    sasl_port=dovecot.sasl_port if self._logs_in else None,
                    settings={
                        **self._reached_from,
                        "virtual_mailbox_domains": ", ".join(domains),
                        "virtual_mailbox_maps": f"inline:{{ {', '.join(f'{one}=1' for one in addresses)} }}",
                    },
                )
            )
            self._install()
            self._closing = closing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def _logs_in(self) -> bool:
        """Whether Postfix wants to know who sends: in clear a password goes to nobody but this machine."""
        return not self._address

    @property
    def _reached_from(self) -> dict[str, str]:
        if not self._address:
            return {}
        return {"inet_interfaces": "all", "mynetworks": f"127.0.0.0/8 {self._address.rpartition('.')[0]}.0/24"}

    def _install(self) -> None:
        servers = MailServers(
            imap_port=self.mailbox.imap_port,
            smtp_port=self.postfix.port,
            service_user=SERVICE_USER,
            audit_user=AUDIT_USER,
            password=PASSWORD,
        )
        self.installation = Installation(self.folder / "service", self._pki, servers)
        changes: dict[str, Mapping[str, Any]] = {
            "limits": {"mail_bytes_max": MAIL_BYTES_MAX},
            "worker": {"processes": 1},
            **self._changes,
        }
        if self._logs_in:
            login = {"user": SERVICE_USER, "secret_file": "secrets/mail"}
            changes["smtp"] = {**changes.get("smtp", {}), **login}
        if self.mailbox is not self.dovecot:
            changes["audit"] = {**changes.get("audit", {}), "port": self.dovecot.imap_port}
        if self.inbox != INBOX:
            changes["mailbox"] = {**changes.get("mailbox", {}), "folder": self.inbox}
            with self.mailbox.session(SERVICE_USER) as client:
                client.create(self.inbox)
        if self._postgres is not None:
            self._database = self._template = self._postgres.create_database()
            changes["register"] = {**changes.get("register", {}), "url": self._postgres.url(self._template)}
        with contextlib.redirect_stdout(sys.stderr):
            self.installation.create(changes)
            for one in self.software:
                self.installation.enrol(one)
        self._config = self.installation.config.read_text(encoding="utf-8")
        if self._postgres is None:
            copy_register(self.installation.folder / "register.db", self.installation.folder / "template.db")

    def begin_anew(self) -> None:
        """Empty mailboxes, and a register that knows the enrolments and nothing else."""
        for account in self.mailboxes:
            with self.mailbox.session(account) as client:
                empty(client, self.inbox)
                for folder in (PROCESSED, QUARANTINE):
                    client.delete(folder)  # refused when there is none
        for user in (AUDIT_USER, *(one.sender for one in self.software)):
            with self.dovecot.session(user) as client:
                empty(client, INBOX)
        if self._postgres is None:
            drop_register(self.installation.folder / "register.db")
            copy_register(self.installation.folder / "template.db", self.installation.folder / "register.db")
            return
        if self._database != self._template:
            self._postgres.drop_database(self._database)
        self._database = self._postgres.create_database(template=self._template)
        config = self._config.replace(self._postgres.url(self._template), self._postgres.url(self._database))
        self.installation.config.write_text(config, encoding="utf-8")

    @property
    def database(self) -> str:
        """The PostgreSQL database of now."""
        return self._database

    @property
    def database_url(self) -> str:
        """Of the PostgreSQL database of now."""
        assert self._postgres is not None
        return self._postgres.url(self._database)

    def numbers_given(self) -> set[int]:
        """How many requests the register of now has, and how many numbers its counters gave, told or not."""
        if self._postgres is not None:
            with psycopg.connect(self.database_url) as postgres:
                return {*map(int, postgres.execute(NUMBERS).fetchall()[0])}
        with contextlib.closing(sqlite3.connect(self.installation.folder / "register.db")) as sqlite:
            return {*sqlite.execute(NUMBERS).fetchone()}

    def lose_database(self, fill: Callable[[str], None]) -> None:
        """The database is gone; another one is filled by a backup. Of PostgreSQL."""
        assert self._postgres is not None
        self._postgres.drop_database(self._database)
        self._database = self._postgres.create_database()
        url = self._postgres.url(self._database)
        fill(url)
        config = self._config.replace(self._postgres.url(self._template), url)
        self.installation.config.write_text(config, encoding="utf-8")

    # Mails

    def lying(self, folder: str) -> list[bytes]:
        """What lies in this folder of all mailboxes."""
        return [raw for account in self.mailboxes for raw in self.mailbox.messages(account, folder)]

    def post(self, mails: Sequence[bytes], received_at: datetime | None = None, *, to: str = SERVICE_USER) -> None:
        """Lay mails into the inbox, octet for octet, as if they had come just now or at that instant."""
        came = imaplib.Time2Internaldate(received_at) if received_at else ""
        with self.mailbox.session(to) as client:
            for raw in mails:
                status, _ = client.append(self.inbox, "", came, raw)
                assert status == "OK"

    def renumber(self) -> None:
        """The inbox is made anew with the same mails: other UIDs under another UIDVALIDITY."""
        mails = self.mailbox.messages(SERVICE_USER, self.inbox)
        with self.mailbox.session(SERVICE_USER) as client:
            for command in (client.delete, client.create):
                assert command(self.inbox)[0] == "OK"
        self.post(mails)

    def settle(self) -> None:
        """Until Postfix has delivered all that it accepted: the minutes that the worker waits for a doubtful send."""
        self.postfix.wait_until_quiet()

    # The worker

    def config_of(self, account: str) -> Path:
        """The settings of the workers of that mailbox: they differ in nothing else."""
        settings = self.installation.config
        if account == SERVICE_USER:
            return settings
        other = settings.with_name(f"{account}.toml")
        head, section, rest = settings.read_text(encoding="utf-8").partition("[mailbox]")
        other.write_text(head + section + rest.replace(f'"{SERVICE_USER}"', f'"{account}"', 1), encoding="utf-8")
        return other

    def start(self, *options: str, arguments: Sequence[str] = ("run", "--once"), mailbox: str = SERVICE_USER) -> Worker:
        """The real command line in a process of its own, with `options` of `tests.support.killed`."""
        log = self.folder / f"worker-{next(self._runs)}.log"
        config = ("--config", str(self.config_of(mailbox)))
        return begin([*options, "--", *config, *arguments], folder=ROOT, log=log)

    def run(self, *options: str, mailbox: str = SERVICE_USER) -> tuple[int, str]:
        """`mailflow run --once` to its end: exit code (-9: killed) and what it said."""
        return self.start(*options, mailbox=mailbox).wait()

    def finish(self, *, later: int = LATER_MINUTES) -> str:
        """Run again, `later` (minutes) and later, until nothing is left to do; what was said."""
        all_said = ""
        for account in self.mailboxes:
            self.settle()
            code, said = self.run("--later", str(later), "--until-nothing", mailbox=account)
            assert code == 0, said
            all_said += said
        self.settle()
        return all_said


def empty(client: imaplib.IMAP4, folder: str) -> None:
    """Delete all mails of a folder, if there is one."""
    status, answer = client.select(folder)
    if status == "OK" and int(answer[0] or b"0"):
        client.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
        client.expunge()
