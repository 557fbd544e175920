"""The Debian package on a machine with systemd: install, first number, hang, wrong setting, upgrade, keys, purge.

One test, since each step needs the one before it and only the first is dear. The way to the first number is typed from
the handbook's own lines. Not shown: a Debian that was only just installed, mail servers elsewhere and by TLS, and what
`init` asks at a terminal (`test_init` has that).
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email import message_from_bytes
from functools import partial
from pathlib import Path

import pytest

import mailflow
from mailflow.demo.installation import DeskSoftware, decryption_key
from mailflow.demo.story import LEFEBVRE, MARTIN, NGUYEN, OSEI, PEREIRA
from mailflow.mail import pem
from mailflow.mail.desk import open_answer
from tests.acceptance.world import World
from tests.support.available import require
from tests.support.handbook import typed_under
from tests.support.letters import Letter, Writer
from tests.support.machine import ImpossibleError, Machine
from tests.support.mail_world import AUDIT_USER, PASSWORD, ROOT, SERVICE_USER

BUILD_SECONDS_MAX = 600
PATIENCE_SECONDS = 60
FIRST_NUMBER_SECONDS_MAX = 600
"""What is promised from the package to the first number."""
CONFIG = "/etc/mailflow/mailflow.toml"
REGISTER = "/var/lib/mailflow/mailflow.db"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Not to be had where the kernel lends no namespaces, whatever CI says: then nothing of this can be tested."""
    require("dh")
    with contextlib.ExitStack() as closing:
        try:
            made = closing.enter_context(Machine(tmp_path / "machine"))
        except ImpossibleError as error:
            pytest.skip(f"no machine to install the package on: {error}")
        yield made


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def built(*variables: str) -> Path:
    """The package of now."""
    command = ["make", "--silent", "deb", "PYTHON=/usr/bin/python3", *variables]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (package,) = (ROOT / "dist").glob(f"mailflow_{mailflow.__version__}_*.deb")
    return package


def newer(package: Path, folder: Path) -> Path:
    """The same package under the next version."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder / "newer"], check=True)
    control = folder / "newer/DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", r"\g<0>+next", control.read_text()))
    made = folder / "newer.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", folder / "newer", made], check=True, capture_output=True)
    shutil.rmtree(folder / "newer")
    return made


def install(machine: Machine, package: Path) -> str:
    machine.write(f"/var/tmp/{package.name}", package.read_bytes())
    done = machine.run("apt-get", "install", "--yes", f"/var/tmp/{package.name}")
    return done.stdout + done.stderr


@pytest.mark.long
def test_from_the_package_to_the_first_number_and_back(
    machine: Machine, world: World, at: datetime, tmp_path: Path
) -> None:
    package = built("DPKG_DEB_COMPRESSOR_TYPE=none")  # what compresses it is not ours
    begun = time.monotonic()
    lille = first_day(machine, world, package)
    writer = Writer(world.installation, at)
    first = writer.letter("first", lille, writer.file(lille, MARTIN), encrypted=False)
    world.send(first.raw, lille)
    until(lambda: first.message_id in world.answers(lille), "no answer came")
    assert time.monotonic() - begun < FIRST_NUMBER_SECONDS_MAX
    the_answer_is_sealed_and_has_a_number(machine, world, first, at)
    it_is_confined(machine)
    a_hanging_process_is_replaced(machine)
    a_wrong_setting_is_not_tried_again(machine)
    an_upgrade_replaces_what_runs_and_keeps_the_rest(machine, newer(package, tmp_path))
    second = writer.letter("second", lille, writer.file(lille, NGUYEN), encrypted=False)
    world.send(second.raw, lille)
    until(lambda: second.message_id in world.answers(lille), "no answer came after the upgrade")
    for given, person in zip(a_key_that_systemd_hands_over(machine), (OSEI, PEREIRA), strict=True):
        letter = writer.letter(given, lille, writer.file(lille, person), encrypted=False)
        world.send(letter.raw, lille)
        until(partial(is_answered, world, letter), f"no answer came with {given}")
        the_answer_is_sealed_and_has_a_number(machine, world, letter, at)
    third = writer.letter("third", lille, writer.file(lille, LEFEBVRE), encrypted=False)
    a_batch_does_the_same(machine, world, third)
    what_is_not_ours_outlives_a_purge(machine)


@pytest.mark.long
def test_nothing_is_wrong_with_the_package_by_the_rules_of_debian() -> None:
    for tool in ("dh", "lintian"):
        require(tool)
    command = ["lintian", "--fail-on=error,warning", str(built())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_answered(world: World, letter: Letter) -> bool:
    return letter.message_id in world.answers(letter.software)


def first_day(machine: Machine, world: World, package: Path) -> DeskSoftware:
    """Type what the handbook says, word for word, with the names of this world; the first desk."""
    lille = world.software[0]
    folder = "/var/tmp/first-day"
    trust = world.installation.folder / "trust"
    for ours, theirs in (("anchors", "authorities"), ("intermediates", "intermediates"), ("crls", "lists")):
        machine.run("mkdir", "-p", f"{folder}/{theirs}")
        for file in (trust / ours).iterdir():
            suffix = ".crl" if ours == "crls" else ".pem"
            machine.write(f"{folder}/{theirs}/{file.stem}{suffix}", file.read_bytes())
    machine.write(f"{folder}/ville.pem", lille.identity.pem)
    machine.write(f"{folder}/{package.name}", package.read_bytes())
    names = {
        "mailflow_0.1.0_amd64.deb": package.name,
        "mailflow init --apply": shlex.join(["mailflow", "init", "--apply", *told_to_init(world)]),
        "Z0001": lille.desk,
        "logiciel@ville.example": lille.address,
    }
    for line in (*typed_under("Install"), *typed_under("The first day")):
        for name, ours in names.items():
            line = line.replace(name, ours)
        if line.startswith("mailflow init"):
            passwords(machine)
        machine.run("sh", "-c", f"cd {folder} && {line}")
    # As the service's own user, too: it reads settings and keys, and the register.
    assert lille.desk in machine.run("runuser", "-u", "mailflow", "--", "mailflow", "mandate", "list").stdout
    return lille


def passwords(machine: Machine) -> None:
    """Beforehand, since nobody is at the terminal to be asked."""
    for name in ("mailbox", "audit", "smtp"):
        machine.write(f"/etc/mailflow/secrets/{name}", f"{PASSWORD}\n".encode())
        machine.run("chmod", "600", f"/etc/mailflow/secrets/{name}")


def told_to_init(world: World) -> list[str]:
    """What it would ask."""
    settings = {
        "environment": "ecole",
        "service.name": "Enregistrement des demandes",
        "service.address": "demandes@service.example",
        "service.contact": "assistance@service.example",
        "mailbox.host": "127.0.0.1",
        "mailbox.security": "plain",
        "mailbox.port": world.dovecot.imap_port,
        "mailbox.user": SERVICE_USER,
        "audit.user": AUDIT_USER,
        "audit.address": "audit@service.example",
        "smtp.port": world.postfix.port,
        "smtp.user": SERVICE_USER,
    }
    return [f"--set={name}={value}" for name, value in settings.items()]


def the_answer_is_sealed_and_has_a_number(machine: Machine, world: World, letter: Letter, at: datetime) -> None:
    (raw,) = world.answers(letter.software)[letter.message_id]
    certificate = machine.run("cat", "/etc/mailflow/keys/signing.pem").stdout.encode()
    answer = open_answer(
        raw, [decryption_key(letter.software.identity)], pem.read_der(certificate, pem.CERTIFICATE), at
    )
    returned = next(octets for name, octets in answer.files.items() if name.startswith("RET"))
    assert re.search(rb"<\w*:?numUnique>\w+<", returned), returned
    assert message_from_bytes(raw)["From"].endswith("<demandes@service.example>")
    entries = [(one.get("MAILFLOW_INTAKE"), one.get("MAILFLOW_STAGE")) for one in machine.journal("mailflow")]
    assert ("1", "answered") in entries
    assert ("1", "sent") in entries


def it_is_confined(machine: Machine) -> None:
    """What the kernel says of the process, what it cannot write, and what its user cannot read."""
    pid = machine.property_of("mailflow", "MainPID")
    status = dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines())
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["CapEff"] + status["CapPrm"] + status["CapBnd"]) == {"0"}
    assert machine.run("ps", "-o", "user=", "-p", pid).stdout.strip() == "mailflow"
    inside = ("nsenter", "--target", pid, "--mount")
    for path in ("/etc/mailflow/x", "/usr/lib/mailflow/x", "/usr/x"):
        assert machine.run(*inside, "touch", path, check=False).returncode != 0, path
    until(lambda: "answered 1, sent 1" in machine.property_of("mailflow", "StatusText"), "its status stays behind")
    reading = ("runuser", "-u", "mailflow", "--", "cat")
    assert machine.run(*reading, "/etc/mailflow/secrets/mailbox", check=False).returncode != 0
    assert machine.run(*reading, "/etc/mailflow/keys/lookup.key", check=False).returncode == 0


SECRET_KEY = "/etc/mailflow/secrets/signing.key"
DROP_IN = "/etc/systemd/system/mailflow.service.d/key.conf"


def a_key_that_systemd_hands_over(machine: Machine) -> Iterator[str]:
    """The signing key is a credential, first as it is, then encrypted to the machine; the service runs with each."""
    before = machine.run("cat", CONFIG).stdout
    machine.run("mv", "/etc/mailflow/keys/signing.key", SECRET_KEY)
    machine.run("chmod", "600", SECRET_KEY)
    machine.run("sed", "-i", 's|^signing_key_file = .*|signing_key_file = "%d/signing.key"|', CONFIG)
    machine.run("mkdir", "-p", str(Path(DROP_IN).parent))
    encrypted = "/etc/mailflow/secrets/signing.cred"
    for given, file in (("LoadCredential", SECRET_KEY), ("LoadCredentialEncrypted", encrypted)):
        if file == encrypted:
            encrypt = ("systemd-creds", "encrypt", "--with-key=host", "--name=signing.key")
            machine.run(*encrypt, SECRET_KEY, encrypted)
            machine.run("mv", SECRET_KEY, f"{SECRET_KEY}.elsewhere")
            assert machine.run("grep", "--quiet", "PRIVATE", encrypted, check=False).returncode != 0
        machine.write(DROP_IN, f"[Service]\n{given}=signing.key:{file}\n".encode())
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "mailflow")
        the_service_alone_reads_it(machine, file)
        root_looks_for_it_in_secrets(machine, there=file == SECRET_KEY)
        yield given
    machine.run("mv", f"{SECRET_KEY}.elsewhere", "/etc/mailflow/keys/signing.key")
    machine.run("chmod", "640", "/etc/mailflow/keys/signing.key")
    machine.write(CONFIG, before.encode())
    machine.run("rm", DROP_IN)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "mailflow")


def the_service_alone_reads_it(machine: Machine, file: str) -> None:
    """By what systemd made of it; the file is nothing for the service's user, and the copy nothing for others."""
    as_user = ("runuser", "-u", "mailflow", "--")
    assert machine.run(*as_user, "cat", file, check=False).returncode != 0
    pid = machine.property_of("mailflow", "MainPID")
    inside = ("nsenter", "--target", pid, "--mount")
    handed = "/run/credentials/mailflow.service/signing.key"
    assert machine.run(*inside, *as_user, "head", "-n1", handed).stdout == "-----BEGIN PRIVATE KEY-----\n"
    others = ("runuser", "-u", "nobody", "--", "cat", handed)
    assert machine.run(*inside, *others, check=False).returncode != 0


def root_looks_for_it_in_secrets(machine: Machine, *, there: bool) -> None:
    assert machine.run("mailflow", "check-config", check=False).returncode == (0 if there else 78)


def a_hanging_process_is_replaced(machine: Machine) -> None:
    machine.run("mkdir", "-p", "/etc/systemd/system/mailflow.service.d")
    machine.write("/etc/systemd/system/mailflow.service.d/short.conf", b"[Service]\nWatchdogSec=3\nRestartSec=0\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "mailflow")
    before = machine.property_of("mailflow", "MainPID")
    machine.run("kill", "-STOP", before)
    until(lambda: machine.property_of("mailflow", "NRestarts") == "1", "the watchdog did nothing")
    until(lambda: machine.property_of("mailflow", "ActiveState") == "active", "it was not started anew")
    assert machine.property_of("mailflow", "MainPID") != before


def a_wrong_setting_is_not_tried_again(machine: Machine) -> None:
    machine.run("sed", "-i.right", "s/^port = .*/port = 70000/", CONFIG)
    assert machine.run("systemctl", "restart", "mailflow", check=False).returncode != 0
    assert machine.property_of("mailflow", "ExecMainStatus") == "78"
    assert machine.property_of("mailflow", "ActiveState") == "failed"
    machine.run("mv", f"{CONFIG}.right", CONFIG)
    machine.run("systemctl", "start", "mailflow")


def an_upgrade_replaces_what_runs_and_keeps_the_rest(machine: Machine, package: Path) -> None:
    before = machine.property_of("mailflow", "MainPID")
    digest = machine.run("sha256sum", CONFIG, "/etc/mailflow/keys/lookup.key").stdout
    install(machine, package)
    assert machine.property_of("mailflow", "MainPID") != before
    assert machine.property_of("mailflow", "ActiveState") == "active"
    assert machine.run("sha256sum", CONFIG, "/etc/mailflow/keys/lookup.key").stdout == digest


def a_batch_does_the_same(machine: Machine, world: World, letter: Letter) -> None:
    machine.run("systemctl", "disable", "--now", "mailflow")
    world.send(letter.raw, letter.software)
    machine.run("systemctl", "start", "mailflow-batch")
    assert machine.property_of("mailflow-batch", "Result") == "success"
    world.settle()
    assert letter.message_id in world.answers(letter.software)
    machine.run("systemctl", "start", "mailflow-watch")
    assert machine.property_of("mailflow-watch", "Result") == "success"
    for timer in ("mailflow-batch.timer", "mailflow-watch.timer"):
        machine.run("systemctl", "start", timer)
        assert machine.property_of(timer, "ActiveState") == "active"


def what_is_not_ours_outlives_a_purge(machine: Machine) -> None:
    machine.run("apt-get", "remove", "--yes", "mailflow")
    assert machine.run("sh", "-c", "command -v mailflow", check=False).returncode != 0
    assert machine.run("test", "-e", "/usr/lib/mailflow", check=False).returncode != 0
    said = machine.run("apt-get", "purge", "--yes", "mailflow").stdout
    assert "/etc/mailflow is kept" in said
    assert "/var/lib/mailflow is kept" in said
    machine.run("test", "-s", REGISTER, "-a", "-s", "/etc/mailflow/keys/lookup.key", "-a", "-s", CONFIG)
