"""From settings to parts: register, judges, mail door. Nothing below knows where its parts come from."""

import base64
import binascii
import contextlib
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from mailflow.app.disks import register_disk_use
from mailflow.app.keys import key_files
from mailflow.app.pacing import pace_of
from mailflow.app.policies import policies_of, policy_of
from mailflow.core.revocation import Fetched
from mailflow.errors import Misconfigured
from mailflow.mail import pem
from mailflow.mail.attachments import ContentLimits
from mailflow.mail.door import MailDoor
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.imap import ImapAccount, ImapCopies, ImapFolder, ImapMailbox
from mailflow.mail.judge import Judge, JudgeLimits
from mailflow.mail.letter import Letterhead
from mailflow.mail.makers import MakeComposer, MakeJudge
from mailflow.mail.metered import MeteredCopies, MeteredMailbox, MeteredMailer
from mailflow.mail.mime import MimeLimits
from mailflow.mail.pool import Pool, PoolLimits
from mailflow.mail.ports import Folder
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from mailflow.mail.trust import SigningWindow, Trust
from mailflow.mail.trust_files import TrustFiles, files_in, read_pem_file
from mailflow.meter import UNMEASURED, Meter
from mailflow.register import Register, directory, installation, revocations
from mailflow.register.presence import present
from mailflow.register.vault import KEY_BYTES, Vault
from mailflow.settings import Settings, read_secret
from mailflow.settings.mailboxes import Imap
from mailflow.wire.reader import FileLimits

COPY_BYTES_MAX = 256 * 1024 * 1024
"""Of a copy in the audit mailbox: what is larger than a mail may be goes alone and oversize (DESIGN.md)."""
FETCH_BATCH = 50
MOVE_BATCH = 200
XML_NODES_MAX = 400_000
"""Elements, attributes and the like in one file: a thousand full requests are a quarter of it."""


def now() -> datetime:
    """The clock of the house: everything below is told the time."""
    return datetime.now(UTC)


# The register


def open_vault(settings: Settings) -> Vault:
    """The keys of the register, from their files; closed to who may read none of them. Raises Misconfigured."""
    folder = settings.register_.master_keys_dir
    if not _may_read(folder):
        return Vault.closed()
    keys = _master_keys(folder)
    if not keys:
        raise Misconfigured(f"register.master_keys_dir: there is no .key file in {folder}; `mailflow init` makes one")
    lookup_key = _key(settings.register_.lookup_key_file)
    return Vault(keys, max(keys), lookup_key, read_again=lambda: _master_keys(folder))


def _master_keys(folder: Path) -> dict[str, bytes]:
    return {file.stem: _key(file) for file in files_in(folder, "*.key", may_be_missing=True)}


def _may_read(folder: Path) -> bool:
    """Permission alone is asked; what is missing is told by whoever reads it."""
    try:
        return all(os.access(file, os.R_OK) for file in folder.iterdir())
    except PermissionError:
        return False
    except OSError:
        return True


def _key(file: Path) -> bytes:
    text = read_secret(file).strip()
    for decode in (bytes.fromhex, lambda value: base64.b64decode(value, validate=True)):
        with contextlib.suppress(ValueError, binascii.Error):
            if len(key := decode(text)) == KEY_BYTES:
                return key
    raise Misconfigured(f"{file}: should hold 32 bytes in base64 or hexadecimal")


@contextlib.asynccontextmanager
async def register_of(
    settings: Settings, meter: Meter = UNMEASURED, *, read_only: bool = False
) -> AsyncIterator[Register]:
    """The register, open, of the present schema and of the settings' environment.

    Raises Misconfigured and Unavailable.
    """
    where = settings.register_
    vault = open_vault(settings)
    register = Register.open(where.url, vault, meter, keys_url=where.keys_url, read_only=read_only)
    try:
        await register.require_current_schema()
        async with register.read() as tx:
            await installation.require_environment(tx, settings.environment)
        yield register
    finally:
        await register.close()


async def migrate(settings: Settings) -> None:
    """Bring the register to the present schema; a new one is made, for ever of the settings' environment.

    Raises Misconfigured and Unavailable.
    """
    where = settings.register_
    register = Register.open(where.url, open_vault(settings), keys_url=where.keys_url)
    try:
        await register.migrate()
        async with register.begin() as tx:
            await installation.settle_environment(tx, settings.environment)
    finally:
        await register.close()


# Judging and composing


def make_judge(settings: Settings) -> MakeJudge:
    """What judges with these settings."""
    addresses = {settings.service.address, settings.audit.address, settings.service.bounce_address}
    return MakeJudge(
        limits=judge_limits(settings),
        own_addresses=frozenset(address for address in addresses if address),
        own_domain=settings.service.address.rpartition("@")[2],
    )


def judge_limits(settings: Settings) -> JudgeLimits:
    """The published limits as the judge wants them."""
    limits = settings.limits
    mime = MimeLimits(header_bytes_max=limits.header_bytes_max, depth_max=limits.depth_max, parts_max=limits.parts_max)
    return JudgeLimits(
        mime=mime,
        contents=ContentLimits(
            mime=mime,
            files_max=limits.requests_max,
            zip_bytes_max=limits.zip_bytes_max,
            zip_file_bytes_max=limits.mail_bytes_max,
            zip_ratio_max=limits.zip_ratio_max,
        ),
        file=FileLimits(
            file_bytes_max=limits.mail_bytes_max,
            request_bytes_max=limits.request_bytes_max,
            requests_max=limits.requests_max,
            nodes_max=XML_NODES_MAX,
        ),
        requests_max=limits.requests_max,
    )


def make_composer(settings: Settings) -> MakeComposer:
    """What composes with these settings. Raises Misconfigured when the archive's certificate cannot be read."""
    archive = settings.keys.archive_certificate_file
    return MakeComposer(
        archive=read_pem_file(archive, pem.CERTIFICATE)[0] if archive else None,
        letterhead=Letterhead(
            name=settings.service.name,
            address=settings.service.address,
            contact=settings.service.contact,
            environment=settings.environment,
        ),
        mail_bytes_max=settings.limits.answer_bytes_max,
    )


def make_pool(settings: Settings, meter: Meter = UNMEASURED) -> Pool:
    """The processes that judge and compose with these settings. Raises Misconfigured, as `make_composer` does."""
    worker = settings.worker
    return Pool(
        PoolLimits(
            processes=worker.processes,
            task_seconds_max=worker.task_seconds_max,
            memory_bytes_max=worker.task_memory_bytes_max,
        ),
        make_judge(settings),
        make_composer(settings),
        meter,
    )


async def judge_of(settings: Settings, register: Register) -> Judge:
    """A judge in this very process, with the enrolments and trust files of now. Raises Misconfigured."""
    async with register.read() as tx:
        enrolled = await directory.read(tx)
    return make_judge(settings)(Trust(await trust_files(settings, register).material(enrolled)))


def trust_files(settings: Settings, register: Register | None = None) -> TrustFiles:
    """What the installation trusts, and its own keys, to be read when needed; without the register only from files."""
    trust = settings.trust

    async def fetched() -> Fetched:
        if register is None:
            return Fetched()
        async with register.read() as tx:
            return await revocations.fetched(tx)

    return TrustFiles(
        anchors=trust.anchors_dir,
        intermediates=trust.intermediates_dir,
        revocation_lists=trust.crls_dir,
        window=SigningWindow(
            before=timedelta(days=trust.signing_time_before_days),
            after=timedelta(minutes=trust.signing_time_after_minutes),
        ),
        policy=policy_of(trust),
        policies=policies_of(trust),
        fetched=fetched,
        keys=key_files(settings, now),
    )


# The mail door


def imap_account(settings: Settings, imap: Imap, secret: Callable[[], str] | None = None) -> ImapAccount:
    """How to reach an IMAP account of the settings."""
    return ImapAccount(
        host=imap.host,
        port=imap.port,
        security=imap.security,
        tls=_tls(imap.security, imap.ca_file),
        authentication=imap.auth,
        user=imap.user,
        secret=secret or (lambda: read_secret(imap.secret_file)),
        timeout_seconds=settings.mailbox.timeout_seconds,
        size_bytes_max=settings.limits.mail_bytes_max,
        fetch_batch=min(FETCH_BATCH, settings.worker.chunk),
        move_batch=MOVE_BATCH,
    )


def smtp_server(settings: Settings) -> SmtpServer:
    """How to reach the server that takes our answers."""
    smtp = settings.smtp
    secret_file = smtp.secret_file
    return SmtpServer(
        host=smtp.host,
        port=smtp.port,
        security=smtp.security,
        tls=_tls(smtp.security, smtp.ca_file),
        user=smtp.user,
        secret=(lambda: read_secret(secret_file)) if secret_file else None,
        timeout_seconds=smtp.timeout_seconds,
        data_timeout_seconds=smtp.data_timeout_seconds,
        local_hostname=settings.service.address.rpartition("@")[2],
    )


def _tls(security: Security, ca_file: Path | None) -> ssl.SSLContext | None:
    return None if security is Security.PLAIN else tls_context(ca_file)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """What verifies a server by these authorities, or the system's. Raises Misconfigured."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"{ca_file}: holds no usable certificates: {type(error).__name__}") from None


@contextlib.asynccontextmanager
async def mail_door(settings: Settings, register: Register, meter: Meter = UNMEASURED) -> AsyncIterator[MailDoor]:
    """The mail door, its connections and processes; all are closed at the end."""
    pool = make_pool(settings, meter)
    box = settings.mailbox
    mailbox = ImapMailbox(imap_account(settings, box), box.folder, elsewhere=(box.processed, box.quarantine))
    # Our own mails lie there, which may be larger than any that is sent to us: a copy that is not read does not count.
    audit = replace(imap_account(settings, settings.audit), size_bytes_max=COPY_BYTES_MAX)
    copies = ImapCopies(audit, settings.audit.folder)
    mailer = SmtpMailer(smtp_server(settings), settings.smtp.connections)
    door = MailDoor(
        register=register,
        mailbox=MeteredMailbox(mailbox, meter, now),
        copies=MeteredCopies(copies, meter),
        hindsight=Hindsight(partial(trails_of, settings)),
        mailer=MeteredMailer(mailer, meter),
        judges=pool,
        trust=trust_files(settings, register),
        environment=settings.environment,
        account=settings.mailbox.account,
        inbox=settings.mailbox.folder,
        processed=settings.mailbox.processed,
        quarantine=settings.mailbox.quarantine,
        address=settings.service.address,
        bounce_address=settings.service.bounce_address,
        audit_address=settings.audit.address,
        owner=f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}",
        pace=pace_of(settings),
        clock=now,
        meter=meter,
        disk_used=lambda: register_disk_use(settings),
        present=True,
    )
    async with present(register, door.owner, now), contextlib.AsyncExitStack() as closing:
        for part in (door.mailbox, door.copies, door.mailer, door.judges):
            closing.push_async_callback(part.close)
        gc.freeze()  # what is here now stays: the garbage collector need not look at it again
        yield door


def trails_of(settings: Settings) -> tuple[Folder, Folder]:
    """`Processed` and the audit mailbox, to look back at what the service once did."""
    audit = replace(imap_account(settings, settings.audit), size_bytes_max=COPY_BYTES_MAX)
    return (
        ImapFolder(imap_account(settings, settings.mailbox), settings.mailbox.processed, read_only=True),
        ImapFolder(audit, settings.audit.folder, read_only=True),
    )


# Whether everybody answers


async def check_mailbox(settings: Settings) -> str:
    """Log in and look into the inbox. Raises Misconfigured and Unavailable."""
    return await _look_into(ImapMailbox(imap_account(settings, settings.mailbox), settings.mailbox.folder))


async def check_audit(settings: Settings) -> str:
    """Log in and look into the audit mailbox. Raises Misconfigured and Unavailable."""
    return await _look_into(ImapMailbox(imap_account(settings, settings.audit), settings.audit.folder))


async def _look_into(mailbox: ImapMailbox) -> str:
    try:
        listing = await mailbox.list()
    finally:
        await mailbox.close()
    return f"{len(listing.uids)} mails"


async def check_smtp(settings: Settings) -> str:
    """Connect, secure and log in. Raises Unavailable."""
    mailer = SmtpMailer(smtp_server(settings), connections=1)
    try:
        await mailer.check()
    finally:
        await mailer.close()
    return "accepts the connection"
