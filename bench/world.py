"""The surroundings of the worker: Dovecot, Postfix, a database, and an installation with its senders enrolled."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import processes
from mailflow.demo.installation import DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from tests.servers.dovecot import DOMAIN, PASSWORD, Dovecot
from tests.servers.postfix import Postfix, by_itself
from tests.servers.postgres import PostgresServer, postgres

SERVICE_USER, AUDIT_USER = "svc", "audit"
SERVICE = f"{SERVICE_USER}@{DOMAIN}"
AUDIT = f"{AUDIT_USER}@{DOMAIN}"
POSTFIX = {
    "lmtp_destination_recipient_limit": "50",
    "lmtp_destination_concurrency_limit": "1",
    "local_header_rewrite_clients": "",
}
"""The tests want each recipient to fail alone; in earnest the desk's mail and its copy travel together. Deliveries side
by side only wait for each other's locks in the audit mailbox (a twentieth more CPU time with 2, twice as much with 20).
Header addresses are left as they are, whoever sends: looking at each costs time, and they are complete."""
DOVECOT = {
    "mailbox_list_index": "no",
    "mail_index_rewrite_min_log_bytes": "4k",
    "mail_index_rewrite_max_log_bytes": "8k",
    "mail_index_log_rotate_max_size": "64k",
    "lmtp_user_concurrency_limit": "unlimited",
}
"""Each delivery reads the mailbox's index and whatever was written to its log since: short logs cost less, by a fifth
at 5,000 mails. Nobody here asks for a list of all mailboxes with their counts. How many deliver at once to one mailbox
is bounded by Postfix; that Dovecot counts them as well costs a tenth of a delivery."""
DELIVERIES: Mapping[str, str] = {"postfix": "maildir", "dovecot": "sdbox"}
"""Who puts an answer into the desk's mailbox and its copy into the audit mailbox, and the format that suits it: Postfix
itself, into Maildirs that Dovecot serves, or Dovecot, by LMTP. By LMTP into a Maildir takes the longer the more mails
are in it: three times as long at 5,000."""
CONNECTIONS = 32
"""That many answers wait side by side for Postfix to take them: a server of one's own allows it."""
MEMORY = Path("/dev/shm")
"""Where the mail servers keep what they hold. They are not what is measured, and a disk on which mails by the ten
thousand are made and removed becomes slower by the minute. The register lies on disk."""
DELIVERY_SECONDS_MAX = 300.0
POLL_SECONDS = 5
"""Far above a second: whoever is answered within one was not found by polling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that runs, but the worker."""

    folder: Path
    dovecot: Dovecot
    installation: Installation
    software: Sequence[DeskSoftware]
    postfix: Postfix
    postgres: PostgresServer | None
    """None: the register is on SQLite."""
    servers: Mapping[str, int]
    """Process ids of the servers' masters, by name."""

    def cpu_seconds(self) -> dict[str, float]:
        """Of each server so far."""
        return {name: processes.cpu_seconds(pid) for name, pid in self.servers.items()}

    def delivered(self) -> int:
        """Copies of answers that lie in the desks' mailboxes and in the audit mailbox."""
        return sum(map(self.dovecot.count, [AUDIT_USER, *(one.sender for one in self.software)]))

    def wait_until_delivered(self, copies: int) -> float:
        """Until there are so many; when that was."""
        deadline = time.time() + DELIVERY_SECONDS_MAX
        while self.delivered() < copies:
            if time.time() > deadline:
                raise TimeoutError("not all answers were delivered")
            time.sleep(0.1)
        return time.time()


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    """Temporary folders that are made meanwhile cost no disk, where the machine can."""
    usual = tempfile.tempdir
    tempfile.tempdir = str(MEMORY) if MEMORY.is_dir() else usual
    try:
        yield
    finally:
        tempfile.tempdir = usual


@contextlib.contextmanager
def _mail_servers(folder: Path, users: Sequence[str], delivery: str) -> Iterator[tuple[Dovecot, Postfix]]:
    accounts, driver = dict.fromkeys(users, PASSWORD), DELIVERIES[delivery]
    dovecot = Dovecot(folder / "dovecot", users=accounts, durable=True, driver=driver, settings=DOVECOT)
    with contextlib.ExitStack() as stack:
        with _in_memory():
            stack.enter_context(dovecot)
            # A socket of the machine costs less than its network, and is how the two are usually joined.
            by_lmtp = {"virtual_transport": f"lmtp:unix:{dovecot.lmtp_socket}"}
            settings = POSTFIX | (by_itself(dovecot.mails) if delivery == "postfix" else by_lmtp)
            postfix = Postfix(folder / "postfix", lmtp_port=dovecot.lmtp_port, recipients=users, settings=settings)
            stack.enter_context(postfix)
        yield dovecot, postfix


@contextlib.contextmanager
def world(
    folder: Path,
    pki: Pki,
    software: Sequence[DeskSoftware],
    database: str,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    delivery: str = "postfix",
) -> Iterator[World]:
    """Start it all; everything is gone afterwards but `folder`. Whatever is written is synchronised, as in earnest.

    `changes`: settings by table. `delivery`: one of `DELIVERIES`.
    """
    users = [SERVICE_USER, AUDIT_USER, *(one.sender for one in software)]
    with contextlib.ExitStack() as stack:
        dovecot, postfix = stack.enter_context(_mail_servers(folder, users, delivery))
        servers = {"dovecot": dovecot.pid, "postfix": postfix.pid}
        url, server = "sqlite:///register.db", None
        if database == "postgresql":
            server = stack.enter_context(postgres(durable=True))
            url = server.url(server.create_database())
            servers["postgresql"] = server.pid
        ports = MailServers(
            imap_port=dovecot.imap_port,
            smtp_port=postfix.port,
            service_user=SERVICE_USER,
            audit_user=AUDIT_USER,
            password=PASSWORD,
        )
        installation = Installation(folder / "service", pki, ports)
        with contextlib.redirect_stdout((folder / "installation.log").open("w")):
            installation.create(
                {
                    "service": {"address": SERVICE, "bounce_address": SERVICE},
                    "audit": {"address": AUDIT},
                    "register": {"url": url},
                    "smtp": {"connections": CONNECTIONS},
                    "mailbox": {"poll_seconds": POLL_SECONDS},
                    **(changes or {}),
                }
            )
            for one in software:
                installation.enrol(one)
        yield World(
            folder=folder,
            dovecot=dovecot,
            installation=installation,
            software=software,
            postfix=postfix,
            postgres=server,
            servers=servers,
        )
