"""Where the self-test is played: accounts of its own on the real servers, an installation and a register of its own.

Nothing of the real installation is touched: neither its mailboxes nor its register are ever opened. What is not
surely the self-test's own is refused.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailflow.app.parts import tls_context
from mailflow.errors import MailflowError, Misconfigured
from mailflow.mail.smtp import Security
from mailflow.register import schemas
from mailflow.selftest.upstream import Upstream
from mailflow.settings import Settings
from mailflow.settings.mailboxes import Imap

REPLY_SECONDS_MAX = 5
"""The worker's patience with a server that says nothing: what is stalled lasts so long."""
DATA_SECONDS_MAX = 15
AUDIT_WAIT_MINUTES = 1
"""How long a doubtful send is looked for, before the same bytes go again."""
SQLITE = "sqlite:///"
FOLDER = "mailflow-selftest"
LOOPBACK = "127.0.0.1"


class Refused(MailflowError):
    """What the self-test would work on may not be its own."""


def own(settings: Settings) -> Settings:
    """The same servers with the self-test's accounts. Raises Misconfigured when they are not whole, or real ones."""
    given = settings.selftest
    missing = [name for name, value in given if not value]
    if missing:
        raise Misconfigured(f"selftest.{missing[0]}: there is no self-test; see OPERATING")
    _require_apart(settings)
    mailbox = settings.mailbox.model_copy(update={"user": given.user, "secret_file": given.secret_file})
    audit = {"user": given.audit_user, "secret_file": given.audit_secret_file, "address": given.audit_address}
    service = {"address": given.address}
    return settings.model_copy(
        update={
            "mailbox": mailbox,
            "audit": settings.audit.model_copy(update=audit),
            "service": settings.service.model_copy(update=service),
        }
    )


def _require_apart(settings: Settings) -> None:
    """No account and no address is one that the installation, or anybody whom it tells, uses."""
    given = settings.selftest
    accounts = {settings.mailbox.user, settings.audit.user}
    for name, user in (("user", given.user), ("audit_user", given.audit_user)):
        if user in accounts:
            raise Misconfigured(f"selftest.{name}: {user} is an account of the installation, or the same one twice")
        accounts.add(str(user))
    service, alerts = settings.service, settings.alerts
    addresses = {service.address, service.bounce_address, settings.audit.address, settings.canary.address}
    addresses |= {*alerts.mail_to, *alerts.escalation_mail_to}
    for name, address in (("address", given.address), ("audit_address", given.audit_address)):
        if address in addresses or _plain(address) in addresses:
            raise Misconfigured(f"selftest.{name}: {address} is an address of the installation, or the same one twice")
        addresses.add(address)


def _plain(address: str) -> str:
    """Without a `+detail`, which is delivered to the same mailbox."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One self-test at a time on these accounts. Raises Refused, and Misconfigured when its secret cannot be read."""
    assert settings.selftest.secret_file is not None
    try:
        file = settings.selftest.secret_file.open("rb")
    except OSError as error:
        raise Misconfigured(f"selftest.secret_file: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("a self-test is at work with these accounts") from None
        yield


def upstreams(settings: Settings) -> dict[str, Upstream]:
    """The servers, as the settings reach and verify them: `mailbox`, `audit`, `smtp`. Raises Misconfigured."""
    return {
        name: Upstream(
            host=one.host,
            port=one.port,
            security=one.security,
            tls=None if one.security is Security.PLAIN else tls_context(one.ca_file),
            protocol="imap" if isinstance(one, Imap) else "smtp",
        )
        for name, one in (("mailbox", settings.mailbox), ("audit", settings.audit), ("smtp", settings.smtp))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A folder for the installation, and where its register lies."""

    folder: Path
    register_url: str

    @property
    def keys_url(self) -> str:
        """The content keys, in any case a file: they are thrown away with the folder."""
        return f"{SQLITE}{self.folder / 'service' / 'register-keys.db'}"


def planned(settings: Settings) -> str:
    """Where the register will lie, for the plan."""
    url = settings.register_.url
    return f"the folder {_beside(url)}" if url.startswith(SQLITE) else f"the schema {schemas.SELFTEST} of the database"


@contextlib.asynccontextmanager
async def ground(settings: Settings) -> AsyncIterator[Ground]:
    """On the register's disk, or in its PostgreSQL; all of it is gone afterwards. Raises Unavailable, Misconfigured."""
    url = settings.register_.url
    if url.startswith(SQLITE):
        folder = _beside(url)
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        folder.mkdir(mode=0o700)
        try:
            yield Ground(folder=folder, register_url=f"{SQLITE}{folder / 'service' / 'register.db'}")
        finally:
            shutil.rmtree(folder)
        return
    await schemas.make(url, schemas.SELFTEST)
    try:
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER}-") as name:
            yield Ground(folder=Path(name), register_url=schemas.within(url, schemas.SELFTEST))
    finally:
        await schemas.drop(url, schemas.SELFTEST)


def _beside(url: str) -> Path:
    return Path(url.removeprefix(SQLITE)).parent / FOLDER


def tables(settings: Settings, ground: Ground, ports: Mapping[str, int], ca_file: Path) -> dict[str, dict[str, Any]]:
    """The settings of its installation: the real servers through proxies at these ports, with little patience.

    One connection and one process, so that every run passes the same points.
    """

    def through(name: str, one: Any) -> dict[str, Any]:
        encrypted = one.security is not Security.PLAIN
        way = {"host": LOOPBACK, "port": ports[name], "security": "tls" if encrypted else "plain"}
        return {**way, **({"ca_file": str(ca_file)} if encrypted else {})}

    def account(name: str, one: Imap) -> dict[str, Any]:
        who = {"auth": one.auth.value, "user": one.user, "secret_file": str(one.secret_file), "folder": one.folder}
        return {**through(name, one), **who}

    mailbox, service, smtp = settings.mailbox, settings.service, settings.smtp
    login = {"user": smtp.user, "secret_file": str(smtp.secret_file)} if smtp.user else {}
    patience = {"timeout_seconds": REPLY_SECONDS_MAX, "data_timeout_seconds": DATA_SECONDS_MAX}
    return {
        "service": {
            "name": service.name,
            "address": service.address,
            "bounce_address": service.address if service.bounce_address else "",
            "contact": service.contact,
        },
        "register": {"url": ground.register_url, "keys_url": ground.keys_url},
        "mailbox": {
            **account("mailbox", mailbox),
            "processed": mailbox.processed,
            "quarantine": mailbox.quarantine,
            "timeout_seconds": REPLY_SECONDS_MAX,
        },
        "audit": {**account("audit", settings.audit), "address": settings.audit.address},
        "smtp": {**through("smtp", smtp), **login, **patience, "connections": 1},
        "worker": {"processes": 1, "audit_wait_minutes": AUDIT_WAIT_MINUTES},
    }
