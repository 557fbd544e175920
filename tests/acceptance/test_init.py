"""`mailflow init`: a new installation by answers or by flags; wrong ones are named with the right form."""

import os
import pty
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailflow.settings import load
from tests.acceptance.world import World
from tests.servers.process import free_ports
from tests.support.mail_world import AUDIT_USER, PASSWORD, ROOT, SERVICE_USER

SECONDS_MAX = 60


class Terminal:
    """A person at a terminal: waits for what is asked, then types."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""
        self._seen = 0

    def answer(self, asked: str, typed: str) -> None:
        """Type a line once `asked` was shown."""
        self.wait_for(asked)
        os.write(self._descriptor, typed.encode() + b"\n")

    def wait_for(self, asked: str) -> None:
        """Until it is shown, behind what was waited for before. AssertionError when it is not."""
        until = time.monotonic() + SECONDS_MAX
        while asked not in self.shown[self._seen :]:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{asked!r} was not asked:\n{self.shown}"
            try:
                self.shown += os.read(self._descriptor, 4096).decode()
            except OSError:  # the terminal was closed at the other end
                raise AssertionError(f"{asked!r} was not asked:\n{self.shown}") from None
        self._seen = self.shown.index(asked, self._seen) + len(asked)


@contextmanager
def at_a_terminal(*command: str) -> Iterator[tuple[Terminal, "subprocess.Popen[bytes]"]]:
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours), process
        finally:
            process.kill()
            os.close(ours)


def test_a_person_answers_questions_and_has_a_working_installation(world: World, tmp_path: Path) -> None:
    config = tmp_path / "etc" / "mailflow.toml"
    (closed,) = free_ports(1)
    command = (sys.executable, "-m", "mailflow", "--config", str(config), "init", "--apply")
    with at_a_terminal(*command) as (terminal, process):
        terminal.answer("environment:", "test")
        terminal.wait_for("should be 'production' or 'ecole'")
        terminal.answer("environment:", "ecole")
        terminal.answer("service.name:", 'École "pilote"')
        terminal.answer("service.address:", "Demandes <demandes@service.example>")
        terminal.answer("a bare mail address such as", "demandes@service.example")
        terminal.answer("service.contact:", "assistance@service.example")
        terminal.answer("register.url [sqlite:///mailflow.db]:", "")
        terminal.answer("mailbox.host:", "127.0.0.1")
        terminal.answer("mailbox.security [tls]:", "plain")
        terminal.answer("mailbox.port [143]:", str(world.dovecot.imap_port))
        terminal.answer("mailbox.auth [login]:", "")
        terminal.answer("mailbox.user:", SERVICE_USER)
        terminal.answer("password or token of mailbox.user:", "wrong")
        terminal.answer("audit.user:", AUDIT_USER)
        terminal.answer("audit.address:", "audit@service.example")
        terminal.answer("password or token of audit.user:", PASSWORD)
        terminal.answer("smtp.host [127.0.0.1]:", "")
        terminal.answer("smtp.security [plain]:", "")
        terminal.answer("smtp.port [25]:", str(closed))
        terminal.answer("smtp.user:", "")
        terminal.answer("questions about mailbox again?", "y")
        terminal.answer("mailbox.host [127.0.0.1]:", "")
        terminal.answer("mailbox.security [plain]:", "")
        terminal.answer(f"mailbox.port [{world.dovecot.imap_port}]:", "")
        terminal.answer("mailbox.auth [login]:", "")
        terminal.answer(f"mailbox.user [{SERVICE_USER}]:", "")
        terminal.answer("password or token of mailbox.user:", PASSWORD)
        terminal.answer("questions about smtp again?", "y")
        terminal.answer("smtp.host [127.0.0.1]:", "")
        terminal.answer("smtp.security [plain]:", "")
        terminal.answer(f"smtp.port [{closed}]:", str(world.postfix.port))
        terminal.answer("smtp.user:", "")
        terminal.wait_for("Next: mailflow check-config")
        assert process.wait(SECONDS_MAX) == 0, terminal.shown
        assert PASSWORD not in terminal.shown
    settings = load(config)
    assert (settings.service.name, settings.smtp.user) == ('École "pilote"', None)
    assert settings.mailbox.secret_file == config.parent / "secrets/mailbox"
    assert settings.mailbox.secret_file.read_text() == f"{PASSWORD}\n"
    assert stat.S_IMODE(settings.mailbox.secret_file.stat().st_mode) == 0o600
    assert "# Display name in the From field of answers." in config.read_text()
    done = world.mailflow("check-config", config=config)
    assert done.code == 78  # no authority is trusted yet
    assert [line[:4] for line in done.out.splitlines() if line[6:13] in ("mailbox", "audit  ", "smtp   ")] == [
        "ok  "
    ] * 3


def test_flags_answer_too_and_everything_wrong_is_named_at_once(world: World, tmp_path: Path) -> None:
    config = tmp_path / "mailflow.toml"
    wrong = ("environment=test", "mailbox.port=70000", "mailbox.hots=x", "smtp", "smtp=x")
    done = world.mailflow("init", "--apply", *(f"--set={pair}" for pair in wrong), config=config)
    assert done.code == 78
    for complaint in (
        "environment: should be 'production' or 'ecole'",
        "mailbox.port: should be less than or equal to 65535",
        "mailbox.hots: there is no such setting; did you mean host?",
        "smtp: should be given as smtp=VALUE",
        "smtp: there is no such setting",
    ):
        assert complaint in done.err
    done = world.mailflow("init", "--apply", "--set=environment=ecole", config=config)
    assert (done.code, "mailbox.host: is missing -- Name of the IMAP server" in done.err) == (78, True), done.err
    assert list(tmp_path.iterdir()) == []
    right = [
        *(
            "environment=ecole",
            "service.name=Pilote",
            "service.address=demandes@service.example",
            "service.contact=nous",
        ),
        *("mailbox.host=127.0.0.1", "mailbox.security=plain", f"mailbox.port={world.dovecot.imap_port}"),
        *(f"mailbox.user={SERVICE_USER}", f"audit.user={AUDIT_USER}", "audit.address=audit@service.example"),
        *(f"smtp.port={world.postfix.port}", "limits.requests_max=10"),
    ]
    (tmp_path / "secrets").mkdir()
    for name in ("mailbox", "audit"):
        (tmp_path / "secrets" / name).write_text(PASSWORD)
    flags = [f"--set={pair}" for pair in right]
    assert world.mailflow("init", *flags, config=config).code == 0
    assert not config.exists()
    done = world.mailflow("init", "--apply", *flags, config=config)
    assert done.code == 0, done.out + done.err
    assert load(config).limits.requests_max == 10
    done = world.mailflow("init", "--apply", "--set=environment=production", config=config)
    assert (done.code, "is there already: edit it" in done.err) == (78, True), done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_for_the_service_it_can_read_and_not_write(world: World, tmp_path: Path) -> None:
    """As the package has it: the settings' folder is root's and lent to a group, the register's is the service's."""
    service = 4_711
    etc, state = tmp_path / "etc", tmp_path / "state"
    for folder, owner, mode in ((etc, 0, 0o2750), (state, service, 0o700)):
        folder.mkdir()
        os.chown(folder, owner, service)
        folder.chmod(mode)
    with world.changed_settings(('"sqlite:///register.db"', f'"sqlite:///{state}/mailflow.db"')) as changed:
        text = changed.read_text().replace("keys/service", "keys/new")
    (etc / "mailflow.toml").write_text(text)
    done = world.mailflow("init", "--apply", config=etc / "mailflow.toml")
    assert done.code == 0, done.err
    for name in ("keys/lookup.key", "keys/new.key", "keys/master/1.key"):
        key = (etc / name).stat()
        assert (key.st_uid, key.st_gid, stat.S_IMODE(key.st_mode)) == (0, service, 0o640), name
    register = (state / "mailflow.db").stat()
    assert (register.st_uid, register.st_gid) == (service, service)
    assert stat.S_IMODE((etc / "secrets").stat().st_mode) & 0o777 == 0o700
