"""What every command promises: exit codes, plans that change nothing without `--apply`, JSON for programs."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import pytest

from mailflow.cli import acting
from mailflow.cli.main import cli
from mailflow.core import numbers
from mailflow.demo.story import MARTIN
from mailflow.wire.names import attestation_name, return_name
from tests.acceptance.world import World, finished
from tests.servers.process import free_ports
from tests.support.documents import ROOT, walk
from tests.support.letters import Fate, Writer


@dataclass(frozen=True, kw_only=True)
class Told:
    """A world with one number given; another desk's request for the same person was refused, and it was told of the
    first by a dispatch."""

    world: World
    folder: Path
    """Has the mail that was given the number, `request.eml`, and `answer.eml`."""
    number: str
    registered: str
    """Name of the file."""
    refused: str


@pytest.fixture
def told(world: World, at: datetime, tmp_path: Path) -> Told:
    writer, lille, editor = Writer(world.installation, at), world.software[0], world.software[2]
    consulting = ("--right", "consulter", "--from", "2025-01-01")
    world.installation.command("mandate", "add", editor.sender, editor.desk, editor.territory, *consulting, "--apply")
    letter = writer.letter("one person", lille, writer.file(lille, MARTIN))
    second = writer.letter("the same at another desk", editor, writer.file(editor, MARTIN, fate=Fate.RIVAL))
    (tmp_path / "request.eml").write_bytes(letter.raw)
    world.post([letter.raw, second.raw])
    for command in (("run", "--once"), ("jobs", "run", "dispatch", "--apply")):
        done = world.mailflow(*command)
        assert done.code == 0, done.err
    world.settle()
    (answer,) = world.dovecot.messages(lille.sender)
    (tmp_path / "answer.eml").write_bytes(answer)
    entries = world.mailflow("show", "1", "--json").json["history"]
    return Told(
        world=world,
        folder=tmp_path,
        number=next(entry["number"] for entry in entries if entry["number"]),
        registered=letter.files[0].name,
        refused=second.files[0].name,
    )


ELSEWHERE = {"sender accept", "sender decline", "upgrade", "reconcile", "selftest"}
"""Their plans are looked at where there is an offer, a next version, a sheet, or a mailbox for it."""


def commands_with(option: str) -> set[str]:
    return {name for name, command in walk(cli) if any(option in parameter.opts for parameter in command.params)}


def test_the_json_of_every_command_can_be_read_by_a_program(told: Told) -> None:
    world, folder = told.world, told.folder
    lille = world.software[0]
    certificate, key = lille.identity.write(folder)
    request = folder / "DEMZ5935-202611250900-000001.xml"
    request.write_bytes(b"<interfaceNuu/>")
    desk = ("--key", str(key), "--certificate", str(certificate))
    next_certificate, next_key = world.pki.issue("lille-2027").write(folder)
    new = ("--key", str(next_key), "--certificate", str(next_certificate), "--follows", str(certificate))
    sending = ("--from", lille.address, "--to", "demandes@service.example", "--out", str(folder / "out.eml"))
    service = ("--service", str(world.installation.folder / "keys/service.pem"))
    returned = folder / "answer" / return_name(told.registered)
    attestation = folder / "answer" / attestation_name(told.registered, numbers.parse(told.number).sequence)
    (folder / "backup").mkdir()
    calls = {
        "run": ("--once",),
        "ingest": (str(folder / "request.eml"), "--apply"),
        "check-config": (),
        "audit": (),
        "backup": (str(folder / "backup"),),
        "drill": ("--backup", str(folder / "backup")),
        "verify": (str(folder / "request.eml"),),
        "queue": (),
        "find": ("--intake", "1"),
        "replay": ("--intake", "1"),
        "alarms list": (),
        "canary list": (),
        "roles": (),
        "forecast": (),
        "report": (),
        "show": ("1",),
        "jobs list": (),
        "dispatch list": (),
        "revocation list": (),
        "revocation refresh": (),
        "duplicates list": (),
        "attestation": (told.number, "--out", str(folder / "attestation.pdf")),
        "reference show": (),
        "person erased": (told.number,),
        "person export": (told.number, "--out", str(folder / "export.json")),
        "sender list": (),
        "sender expiring": (),
        "sender successors": (),
        "master-key list": (),
        "service-keys list": (),
        "enrolment export": (),
        "desk list": (),
        "mandate list": (),
        "desk-client ask": ("--desk", lille.desk, "--reference", "A1", "--out", str(folder)),
        "desk-client send": (str(request), *desk, *sending),
        "desk-client read": (str(folder / "answer.eml"), *desk, *service, "--out", str(folder / "answer")),
        "desk-client successor": (*new, "--to", "demandes@service.example", "--desk", lille.desk, "--out", str(folder)),
        "desk-client apply": (str(returned), "--state", str(folder / "state.json")),
    }
    assert calls.keys() | commands_with("--apply") == commands_with("--json")
    for name, arguments in calls.items():
        done = world.mailflow(*name.split(), *arguments, "--json")
        assert done.code == (65 if name == "person erased" else 0), (name, done.err)  # it is there as yet
        assert done.out[0] in "[{" and done.json is not None, (name, done.out)  # noqa: PT018 - both say one thing
    assert (folder / "attestation.pdf").read_bytes() == attestation.read_bytes()


def test_what_commands_tell_as_json(told: Told) -> None:
    world = told.world
    assert world.mailflow("show", told.number, "--json").json["number"] == told.number
    sealed = world.mailflow("audit", "--json").json
    assert (sealed["sealed_up_to"] > 0, sealed["head"]["number"]) == (True, 1), "by the batch"


def put_keys(world: World) -> None:
    """A service key that serves, one to be staged, and a master key that wraps nothing."""
    keys = world.installation.folder / "keys"
    (keys / "master/former.key").write_text("0" * 64, encoding="ascii")
    for name, software in (("signing-1", world.software[0]), ("signing-2", world.software[2])):
        key = keys / f"service/{name}.key"
        key.write_bytes(software.identity.key_pem)
        key.chmod(0o600)
        key.with_suffix(".crt").write_bytes(software.identity.pem)
    world.installation.command("service-keys", "stage", "signing-1", "--from", "2026-01-01", "--apply")


@pytest.mark.slow
def test_a_plan_without_apply_changes_nothing(told: Told) -> None:
    world, folder = told.world, told.folder
    lille = world.software[0]
    certificate, _ = lille.identity.write(folder)
    mandate = (lille.sender, lille.desk, lille.territory)
    enrolment = folder / "enrolment.toml"
    enrolment.write_text('form = 1\nenvironment = "ecole"\n', encoding="utf-8")
    calls = {
        "init": (),
        "ingest": (str(folder / "request.eml"),),
        "sender add": ("new", "--name", "New", "--address", "new@desks.example", "--sign", str(certificate)),
        "sender amend": (lille.sender, "--address", "new@desks.example"),
        "sender suspend": (lille.sender,),
        "sender release": (lille.sender,),
        "desk add": ("Z0009", "--name", "New", "--address", "2 place"),
        "desk amend": (lille.desk, "--address", "2 place"),
        "desk suspend": (lille.desk,),
        "desk release": (lille.desk,),
        "mandate add": (*mandate[:2], "062"),
        "mandate suspend": mandate,
        "enrolment import": (str(enrolment),),
        "jobs run": ("expiry", "--day", "2099-01-01"),
        "dispatch resend": ("--desk", world.software[2].desk, "--number", "1"),
        "homonym release": (told.refused,),
        "reference load": (str(ROOT / "config/bailleurs.csv"), str(ROOT / "config/commissions.csv")),
        "person erase": (told.number,),
        "alarms acknowledge": ("1",),
        "alarms forget-host": ("host-a",),
        "alarms test": (),
        "canary send": (),
        "service-keys make": ("--use", "signing"),
        "service-keys stage": ("signing-2",),
        "service-keys retire": ("signing", "--at-once"),
        "master-key rotate": (),
        "master-key remove": ("former",),
        "stop": ("--why", "numbers come out twice"),
    }
    while_stopped = {
        "resume": ("--why", "mended"),
        "restore": ("--jump", "--why", "the disk is lost"),
    }
    put_keys(world)
    acts = {str(command.name) for command in acting.COMMANDS}  # which say what they left alone, too
    assert calls.keys() | while_stopped.keys() == commands_with("--apply") - acts - ELSEWHERE
    before = state(world)
    for name in acts:
        telling = ("--tell", "nothing") if name == "reject" else ()
        done = world.mailflow(name, "--intake", "1", "--why", "no reason", *telling, "--json")
        assert done.code in (0, 65), (name, done.err)
        assert not done.json["applied"], name
        assert state(world) == before, name
    _only_plan(world, calls)
    world.installation.command("stop", "--why", "numbers come out twice", "--apply")
    _only_plan(world, while_stopped)


def test_a_plan_says_what_it_would_do_and_how_to_do_it(world: World) -> None:
    before = state(world)
    done = world.mailflow("sender", "suspend", world.software[0].sender)
    assert "would: suspend the sender mairie-lille" in done.out
    assert "Add --apply" in done.out
    assert state(world) == before


def _only_plan(world: World, calls: Mapping[str, Sequence[str]]) -> None:
    before = state(world)
    for name, arguments in calls.items():
        done = world.mailflow(*name.split(), *arguments, "--json")
        assert done.code == 0, (name, done.err)
        assert done.json["plan"], name
        assert not done.json["applied"], name
        assert state(world) == before, name


def test_init_twice_changes_nothing(world: World) -> None:
    before = state(world)
    done = world.mailflow("init", "--apply")
    assert done.code == 0, done.err
    assert "does: make" not in done.out
    assert state(world) == before


DATABASES = ("register.db", "register-keys.db")


def state(world: World) -> dict[str, str]:
    """A digest of every file of the installation, and of what the register and its content keys hold."""
    files = {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in world.installation.folder.rglob("*")
        if file.is_file() and not file.name.startswith(DATABASES)
    }
    return files | dict(_dump(world))


def _dump(world: World) -> Iterator[tuple[str, str]]:
    for name in DATABASES:
        with closing(sqlite3.connect(world.installation.folder / name)) as register:
            lines = list(register.iterdump())
        yield name, hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_verify_says_step_by_step_why_a_mail_passes_or_fails(told: Told) -> None:
    world, folder = told.world, told.folder
    done = world.mailflow("verify", str(folder / "request.eml"))
    assert done.code == 0, done.err
    assert "FAIL" not in done.out
    assert "accepted" in done.out
    # In the text of an envelope there is no harmless place for another octet.
    raw = (folder / "request.eml").read_bytes()
    middle = raw.index(b"\r\n", len(raw) // 2) + 12
    (folder / "altered.eml").write_bytes(
        raw[:middle] + (b"A" if raw[middle : middle + 1] != b"A" else b"B") + raw[middle + 1 :]
    )
    done = world.mailflow("verify", str(folder / "altered.eml"), "--json")
    assert done.code == 65, done.err
    assert done.json["verdict"] == "set aside, never answered"
    *passed, failed = done.json["steps"]
    assert [step["passed"] for step in passed] == [True] * len(passed)
    assert (failed["passed"], failed["detail"][:13]) == (False, "CTRL_SIG_0022")
    assert [one["code"] for one in done.json["anomalies"]] == ["CTRL_SIG_0022"]
    text = world.mailflow("verify", "-", stdin=(folder / "altered.eml").read_bytes()).out
    assert "FAIL" in text
    assert "CTRL_SIG_0022" in text


def test_a_setting_that_is_wrong_is_named_with_its_right_form(world: World) -> None:
    wrong = {
        ('security = "plain"', 'security = "clear"'): ("mailbox.security", "starttls"),
        ("processes = 1", 'processes = "one"'): ("worker.processes", ""),
        ("processes = 1", "process = 1"): ("worker.process", "did you mean processes"),
        ("[register]\nurl", "[register]\nuri"): ("register.uri", "did you mean url"),
        ('url = "sqlite:///register.db"', 'url = "mysql://localhost/x"'): ("register.url", "postgresql"),
    }
    for change, (setting, form) in wrong.items():
        with world.changed_settings(change) as config:
            done = world.mailflow("run", "--once", config=config)
        assert (done.code, setting in done.err, form in done.err) == (78, True, True), (change, done.err)
        assert "Traceback" not in done.err


def test_what_a_setting_names_must_be_there(world: World) -> None:
    with world.changed_settings(('secret_file = "secrets/mail"', 'secret_file = "secrets/absent"')) as config:
        done = world.mailflow("run", "--once", config=config)
        assert (done.code, "secrets/absent" in done.err) == (78, True), done.err
        done = world.mailflow("check-config", "--json", config=config)
        assert done.code == 78
        assert any("secrets/absent" in finding["detail"] for finding in done.json if not finding["ok"])


@pytest.mark.slow
def test_a_server_that_is_down_is_temporary_and_nothing_is_lost(world: World, at: datetime) -> None:
    """IMAP, SMTP and database, all at the same time, since each takes its patience."""
    writer, lille = Writer(world.installation, at), world.software[0]
    letter = writer.letter("one person", lille, writer.file(lille, MARTIN))
    world.post([letter.raw])
    (closed,) = free_ports(1)
    imap, smtp = f"port = {world.dovecot.imap_port}", f"port = {world.postfix.port}"
    with world.changed_settings((imap, f"port = {closed}")) as config:
        worker = world.spawn("run", "--once", "--json", config=config)
        check = world.mailflow("check-config", "--json", config=config)
        done = finished(worker)
    # Nothing is decided either, before the mailbox has said that the register is not behind it.
    assert (done.code, done.json["unavailable"].split()) == (75, ["receive", "process"]), done.err
    assert check.code == 75
    with world.changed_settings(
        ('"sqlite:///register.db"', '"postgresql://nobody@127.0.0.1/x?connect_timeout=2"')
    ) as config:
        done = world.mailflow("run", "--once", config=config)
    assert done.code == 75, done.err
    assert "unavailable" in done.err
    with world.changed_settings((smtp, f"port = {closed}")) as config:
        done = world.mailflow("run", "--once", "--json", config=config)
    assert (done.code, done.json["registered"], done.json["sent"]) == (75, 1, 0), done.err
    assert world.answers(lille) == {}
    (waiting,) = world.mailflow("queue", "--json").json
    assert (waiting["what"], waiting["state"]) == ("answer", "composed")
    world.finish()
    assert len(world.answers(lille)[letter.message_id]) == 1


def test_help_of_every_command_shows_an_example() -> None:
    for name, command in walk(cli):
        said = command.get_help(click.Context(command))
        assert "Example" in said, name
