"""`make demo`: the whole service, its real worker included, against an embedded mail host. No root, no set-up."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from mailflow.demo.installation import SERVICE, DeskSoftware, Installation, MailServers
from mailflow.demo.mailhost import MailHost
from mailflow.demo.pki import Pki
from mailflow.demo.story import Exchange, Story, desks
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.imap_session import Authentication, ImapAccount
from mailflow.mail.ports import Outgoing, Sending
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from mailflow.wire.xml import XmlLimits, parse

PASSWORD = "demo"  # noqa: S105  of an embedded server that lives for a minute
SECONDS_MAX = 60.0
SILENCE_SECONDS = 3.0
"""How long the demo waits to show that nobody unproven is answered."""
SERVICE_USER, AUDIT_USER = "demandes", "audit"

console = Console()


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True)
def main(folder: Path) -> None:
    """Three desks send requests, good and bad, to a real worker; at the end a table says what came back."""
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(asyncio.run(demo(folder.absolute())))


async def demo(folder: Path) -> int:
    """The whole story; 0 when every mail met the end that it should."""
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    software = desks(pki)
    users = dict.fromkeys((SERVICE_USER, AUDIT_USER, *(one.sender for one in software)), PASSWORD)
    async with MailHost(users=users) as host:
        console.print(f"Mail host on {host.host}: IMAP {host.imap_port}, SMTP {host.smtp_port}")
        servers = MailServers(
            imap_port=host.imap_port,
            smtp_port=host.smtp_port,
            service_user=SERVICE_USER,
            audit_user=AUDIT_USER,
            password=PASSWORD,
        )
        installation = Installation(folder / "service", pki, servers)
        await asyncio.to_thread(_install, installation, software)
        async with _worker(installation, folder), _mailer(host) as mailer:
            exchanges = await _play(folder, host, mailer, Story(installation, software, at), installation)
    _tell(exchanges, folder)
    return 0 if all((exchange.seconds is not None) == exchange.answered for exchange in exchanges) else 1


def _install(installation: Installation, software: Sequence[DeskSoftware]) -> None:
    with contextlib.redirect_stdout(sys.stderr), console.status("Installing the service and enrolling three desks"):
        installation.create({"mailbox": {"poll_seconds": 2}})
        installation.load_reference()
        for one in software:
            installation.enrol(one)


@contextlib.asynccontextmanager
async def _worker(installation: Installation, folder: Path) -> AsyncIterator[None]:
    """The same process as in production: `mailflow run`."""
    log = (folder / "worker.log").open("wb")
    command = [sys.executable, "-m", "mailflow", "--config", str(installation.config), "run"]
    process = await asyncio.create_subprocess_exec(*command, stderr=log, stdout=log)
    console.print("Worker started: mailflow run")
    try:
        yield
        if process.returncode is not None:
            console.print(f"[red]The worker ended with {process.returncode}; see worker.log")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        log.close()


@contextlib.asynccontextmanager
async def _mailer(host: MailHost) -> AsyncIterator[SmtpMailer]:
    server = SmtpServer(
        host=host.host,
        port=host.smtp_port,
        security=Security.PLAIN,
        tls=None,
        user=None,
        secret=None,
        timeout_seconds=SECONDS_MAX,
        data_timeout_seconds=SECONDS_MAX,
        local_hostname="desks.example",
    )
    mailer = SmtpMailer(server, connections=1)
    try:
        yield mailer
    finally:
        await mailer.close()


async def _play(
    folder: Path, host: MailHost, mailer: SmtpMailer, story: Story, installation: Installation
) -> list[Exchange]:
    """Send the rounds one after the other and collect what comes back."""
    for name in ("requests", "answers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    exchanges: list[Exchange] = []
    rounds = [story.first_round]
    rounds.append(lambda: story.second_round(exchanges[0]))
    for make in rounds:
        current = make()
        for number, exchange in enumerate(current, len(exchanges) + 1):
            (folder / "requests" / f"{number:02}.eml").write_bytes(exchange.raw)
            await _send(mailer, exchange)
        exchanges += current
        await _collect(folder, host, installation, current)
    return exchanges


async def _send(mailer: SmtpMailer, exchange: Exchange) -> None:
    async def before_data() -> bool:
        return True

    outgoing = Outgoing(
        envelope_from=exchange.software.address, recipient=SERVICE, audit=None, envelope_id="", raw=exchange.raw
    )
    exchange.sent_at = time.monotonic()
    result = await mailer.send(outgoing, before_data)
    assert result.state is Sending.SENT, result.detail
    console.print(f"→ {exchange.software.sender:<13} {exchange.what}")


async def _collect(folder: Path, host: MailHost, installation: Installation, exchanges: Sequence[Exchange]) -> None:
    """Poll the desks' mailboxes until each mail has its answer; then wait whether anybody else gets one."""
    waiting = {(e.software.sender, e.message_id): e for e in exchanges}
    mailboxes = {e.software.sender: (_mailbox(host, e.software.sender), e.software) for e in exchanges}
    until = time.monotonic() + SECONDS_MAX
    try:
        while time.monotonic() < until:
            for mailbox, software in mailboxes.values():
                await _fetch(folder, installation, mailbox, software, waiting)
            if until > time.monotonic() + SILENCE_SECONDS and not any(e.answered for e in waiting.values()):
                until = time.monotonic() + (SILENCE_SECONDS if waiting else 0.0)
            await asyncio.sleep(0.05)
    finally:
        for mailbox, _ in mailboxes.values():
            await mailbox.close()


async def _fetch(
    folder: Path,
    installation: Installation,
    mailbox: ImapMailbox,
    software: DeskSoftware,
    waiting: dict[tuple[str, str], Exchange],
) -> None:
    listing = await mailbox.list()
    async for mail in mailbox.fetch(listing, listing.uids):
        assert mail.raw is not None
        answer = installation.open(software, mail.raw, datetime.now(UTC))
        exchange = waiting.pop((software.sender, answer.in_reply_to))
        exchange.seconds = time.monotonic() - exchange.sent_at
        exchange.results = tuple(_result(content) for name, content in answer.files.items() if name.startswith("RET"))
        console.print(f"← {software.sender:<13} {exchange.what}  ({exchange.seconds:.1f} s)")
        stem = f"{software.sender}-{mail.uid}"
        (folder / "answers" / f"{stem}.eml").write_bytes(mail.raw)
        (folder / "answers" / stem).mkdir(exist_ok=True)
        (folder / "answers" / stem / "answer.txt").write_text(answer.text, encoding="utf-8")
        for name, content in answer.files.items():
            (folder / "answers" / stem / name).write_bytes(content)
    await mailbox.move(listing, await mailbox.look(listing, listing.uids), "Processed")


def _mailbox(host: MailHost, user: str) -> ImapMailbox:
    account = ImapAccount(
        host=host.host,
        port=host.imap_port,
        security=Security.PLAIN,
        tls=None,
        authentication=Authentication.LOGIN,
        user=user,
        secret=lambda: PASSWORD,
        timeout_seconds=SECONDS_MAX,
        size_bytes_max=1 << 25,
        fetch_batch=20,
        move_batch=20,
    )
    return ImapMailbox(account, "INBOX")


def _result(content: bytes) -> str:
    """The number, or the codes, of a `RET` file."""
    root = parse(content, XmlLimits(bytes_max=1 << 24, nodes_max=1 << 20))
    numbers = [element.text or "" for element in root.iterfind(".//{*}numUnique")]
    codes = [element.get("code", "") for element in root.iterfind(".//{*}anomalie")]
    return " ".join([*numbers, *dict.fromkeys(codes)])


def _tell(exchanges: Sequence[Exchange], folder: Path) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="What came back")
    for column in ("desk software", "sent", "came back", "seconds"):
        table.add_column(column, overflow="fold")
    for exchange in exchanges:
        if exchange.seconds is None:
            came = "[yellow]no answer" if not exchange.answered else "[red]no answer, but there should be one"
            table.add_row(exchange.software.sender, exchange.what, came, "")
        else:
            results = "\n".join(exchange.results)
            table.add_row(exchange.software.sender, exchange.what, results, f"{exchange.seconds:.1f}")
    console.print(table)
    console.print(f"Mails, answers, RET files, the worker's log and the register: {folder}")
    if attestations := sorted((folder / "answers").glob("*/ATT*.pdf")):
        console.print(f"Attestations as applicants receive them, {len(attestations)}. Open one:")
        console.print(str(attestations[0]), soft_wrap=True)


if __name__ == "__main__":
    main()
