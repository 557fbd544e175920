"""What goes wrong with the machine and the servers around it. See `tests.acceptance.operator`."""

import contextlib
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from mailflow.demo.pki import DAY
from mailflow.demo.story import LEFEBVRE, MARTIN, NGUYEN, OSEI
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.imap_syntax import Quota
from mailflow.ops.alarms import Alarm
from tests.acceptance.operator import Operator, trouble
from tests.servers.process import free_ports

PATIENCE_SECONDS = 120


@trouble("the disk is full", alarm=Alarm.DISK_FULL, view="alarms list", shows=r"The disk of \S+ is 97 % full\.")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    with op.patch.context() as disk:
        disk.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, used=97, free=3))
        yield
    op.batch()
    assert op.answers(letter) == 1


@trouble("the quota is nearly full", alarm=Alarm.QUOTA, view="alarms list", shows=r"is 95 % full")
def _(op: Operator) -> Iterator[None]:
    used = 95

    async def quotas(_: ImapMailbox) -> tuple[Quota, ...]:
        return (Quota(resource="storage", used=used, limit=100),)

    with op.patch.context() as server:
        server.setattr(ImapMailbox, "quotas", quotas)
        op.batch()
        yield
        used = 40
        op.batch()


@trouble("the mailbox is unreachable", alarm=Alarm.MAILBOX_UNREACHABLE, shows=r"FAIL  mailbox")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    with op.no_server(op.world.dovecot.imap_port):
        op.batch()
        yield
    op.sees("check-config", "ok    mailbox")
    op.batch()
    assert op.answers(letter) == 1


@trouble("the service hangs in IMAP", alarm=Alarm.STAGE_HANGS, view="alarms list", shows=r"The stage receive hangs\.")
def _(op: Operator) -> Iterator[None]:
    (letter,) = op.comes(op.letter(MARTIN))
    server = f"port = {op.world.dovecot.imap_port}"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"port = {mute.getsockname()[1]}"
        with op.settings((server, silent)):
            service = op.world.start("--rounds", "0.5", "--hurry", "3600", arguments=("run",))
            try:
                until(lambda: '"hangs":true' in signs_of_life(op))
            finally:
                service.kill()  # as the watchdog does
            yield
    op.later(minutes=16)
    op.batch()
    assert op.answers(letter) == 1


def signs_of_life(op: Operator) -> str:
    """What workers tell of themselves."""
    with contextlib.closing(sqlite3.connect(op.world.installation.folder / "register.db")) as register:
        return str(register.execute("SELECT state FROM worker_sign").fetchall())


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


@trouble("a worker was killed", alarm=Alarm.DOWN, view="queue", shows=r"mail .* received")
def _(op: Operator) -> Iterator[None]:
    op.batch()
    (letter,) = op.comes(op.letter(MARTIN))
    code, said = op.world.run("--kill", "intake.settle.before-commit:1", "--later", str(op.ahead.total_seconds() / 60))
    assert code == -9, said
    op.later(minutes=16)
    yield
    op.batch()
    assert op.answers(letter) == 1


@trouble("the database is away", view="queue", shows="unavailable: .*; try again later")
def _(op: Operator) -> Iterator[None]:
    """The register cannot remember the alarm: it comes by mail alone."""
    region = op.world.software[1]
    (letter,) = op.comes(op.letter(MARTIN))
    op.patch.setenv("RUNTIME_DIRECTORY", str(op.folder))
    (closed,) = free_ports(1)
    url = f"postgresql://nobody@127.0.0.1:{closed}/x?connect_timeout=2"
    told = f'mail_to = ["{region.address}"]'
    with op.settings(("[service]", f"[alerts]\n{told}\n\n[service]"), ("sqlite:///register.db", url)):
        op.types("watch")
        op.later(minutes=5)
        op.types("watch")
        op.world.settle()
        (mail,) = op.world.dovecot.messages(region.sender)
        assert b"CRITICAL: The register cannot be read." in mail
        assert b"type   mailflow check-config --offline" in mail
        yield
    op.batch()
    assert op.answers(letter) == 1


@trouble(
    "the certificate of the service ends",
    alarm=Alarm.CERTIFICATE_ENDS,
    shows="certificate service signing ends within",
)
def _(op: Operator) -> Iterator[None]:
    """As the handbook has it, the certificate stays: the journal may have been signed with it meanwhile."""
    keys = op.world.installation.folder / "keys"
    with op.files_as_they_were(keys):
        ending = op.world.pki.issue("service-2026", kind="rsa", ends=20 * DAY)
        (keys / "service.key").write_bytes(ending.key_pem)
        (keys / "service.pem").write_bytes(ending.pem)
        op.batch()
        yield
        (keys / "service").mkdir(exist_ok=True)
        (keys / "service/signing-ended.pem").write_bytes(ending.pem)
    (letter,) = op.comes(op.letter(MARTIN))
    op.batch()
    assert op.answers(letter) == 1


@trouble("the jobs of the day have not run", alarm=Alarm.JOB_MISSED, shows="notices")
def _(op: Operator) -> Iterator[None]:
    op.types("jobs run notices --apply")
    op.later(hours=37)
    yield
    op.sees("jobs run notices --apply", "notices: 0 done")


@trouble(
    "the disk died, and the register is that of last night",
    alarm=Alarm.NUMBERS_STOPPED,
    shows=r"behind its mailboxes.*mailflow restore",
)
def _(op: Operator) -> Iterator[None]:
    """As the handbook has it: whatever is started first, the numbers stop; who had which is in the audit mailbox."""
    register = op.world.installation.folder / "register.db"
    certificate, key = op.world.pki.archive.write(op.folder)
    with op.settings(("[keys]", f'[keys]\narchive_certificate_file = "{certificate}"')):
        (before,) = op.comes(op.letter(NGUYEN, op.world.software[1]))
        op.batch()
        with (
            contextlib.closing(sqlite3.connect(register)) as live,
            contextlib.closing(sqlite3.connect(op.folder / "copy")) as copy,
        ):
            live.backup(copy)
        since = op.comes(op.letter(MARTIN), op.letter(LEFEBVRE))
        op.batch()
        numbers = [op.numbers(letter) for letter in since]
        for file in register.parent.glob("register.db*"):
            file.unlink()
        shutil.copy(op.folder / "copy", register)
        (later,) = op.comes(op.letter(OSEI))
        op.batch()
        yield
        op.does(f"restore --archive-key {key}")
        op.does("resume")
        op.batch()
    assert [op.numbers(letter) for letter in since] == [twice * 2 for twice in numbers]
    assert [op.answers(letter) for letter in (before, later)] == [1, 1]
    assert op.numbers(later)[0] not in [number for twice in numbers for number in twice]
