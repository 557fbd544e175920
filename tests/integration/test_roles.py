"""The roles of a register on PostgreSQL: who looks, acts, serves and enrols; the database refuses the rest."""

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow.cli.acting import COMMANDS
from mailflow.cli.main import call, cli
from mailflow.cli.roles import ACT as ACT_COMMANDS
from mailflow.cli.roles import SEE, rules
from mailflow.core.model import SenderCode, Standing
from mailflow.core.revocation import SourceKey, SourceKind
from mailflow.demo.installation import Installation
from mailflow.errors import Misconfigured
from mailflow.jobs.daily import JOBS
from mailflow.jobs.work import run as run_job
from mailflow.mail import cms, composing, delivery, entities, rejecting, worker
from mailflow.mail.kinds import ANSWER
from mailflow.mail.successor import write_successor
from mailflow.register import Register, cases, directory, queues, revocations, successors
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.roles import PREFIX, Role, statements
from mailflow.register.tables import metadata
from mailflow.register.vault import Vault
from tests.integration.test_cli import Run, installation, pki, run, software, template
from tests.support.databases import VAULT, PostgresDatabases
from tests.support.documents import walk
from tests.support.doors import House
from tests.support.jobs import TERMS
from tests.support.judging import RECEIVED_AT, SERVICE, a_mail, dem_part, mailed, mairie, signed
from tests.support.operating import ACT, ids, operate
from tests.support.pki import AT, shared_pki
from tests.support.records import execute, rows

__all__ = ["installation", "pki", "run", "software", "template"]

NOBODY = 65534
MAIRIE = SenderCode("mairie")
CHANGE = directory.Change(by="me", why="test", at=RECEIVED_AT)
REFUSAL = rejecting.Refusal(act=ACT, note="Non.")


@dataclass(slots=True)
class People:
    """A register on PostgreSQL, and how each role sees it."""

    url: str
    house: House

    @contextlib.asynccontextmanager
    async def as_(self, role: Role, vault: Vault = VAULT) -> AsyncIterator[House]:
        """The house as somebody of that role finds it."""
        owner = self.house.register
        self.house.register = Register.open(self.url.replace("postgres@", f"{_login(role, self.url)}@"), vault)
        try:
            yield self.house
        finally:
            await self.house.register.close()
            self.house.register = owner


def _login(role: Role, url: str) -> str:
    return f"{role}_of_{url.partition('?')[0].rpartition('/')[2]}"


@pytest.fixture
def url(postgres_server: PostgresDatabases) -> str:
    """Of a register on PostgreSQL."""
    return postgres_server.fresh(migrated=True)


@pytest.fixture
async def people(url: str) -> AsyncIterator[People]:
    """The mairie is enrolled; two mails have come, of it and of nobody."""
    owner = Register.open(url, VAULT)
    house = House(owner)
    await house.enrol()
    for _ in range(2):  # a second time, as after an upgrade
        for statement in statements():
            await execute(owner, statement)
    for role in Role:
        await execute(owner, f"CREATE ROLE {_login(role, url)} LOGIN IN ROLE {PREFIX}{role}")
    for raw in (a_mail(dem_part(1)), b"From: a@b.example\r\n\r\nBonjour\r\n"):
        house.mailbox.deliver(raw)
    yield People(url=url, house=house)
    await owner.close()


async def serve(house: House) -> None:
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver, delivery.settle_doubtful):
        await turn(door)


async def enrol(house: House) -> None:
    change = directory.Change(by="me", why="test", at=house.now)
    async with house.register.begin() as tx:
        await directory.set_sender_standing(tx, SenderCode(mairie().enrolment().code), Standing.SUSPENDED, change)


async def test_the_service_enrols_nobody_unless_that_is_granted(people: People) -> None:
    new = shared_pki().issue("of-the-mail")
    octets = write_successor(SERVICE, mairie().identity.fingerprint, cms.load_signing_key(new.key_pem, new.pem), AT)
    part = entities.file_part("NCE59123-202603021000.pem", octets, "application/x-pem-file")
    people.house.mailbox.deliver(mailed(signed(part)))
    owner = people.house.register
    async with people.as_(Role.SERVICE) as house:
        await serve(house)
        (offered,) = await rows(house.register, "SELECT fingerprint FROM successor")
        assert offered.fingerprint == new.fingerprint
        with pytest.raises(Misconfigured, match="another role"):
            async with house.register.begin() as tx:
                await successors.enrol(tx, MAIRIE, new.fingerprint, CHANGE)
        for statement in statements(successor_at_once=True):
            await execute(owner, statement)
        async with house.register.begin() as tx:
            await successors.enrol(tx, MAIRIE, new.fingerprint, CHANGE)


async def test_a_reader_sees_and_can_write_nothing(people: People) -> None:
    await serve(people.house)
    async with people.as_(Role.READER, Vault.closed()) as house:
        async with house.register.read() as tx:
            assert len(await cases.find(tx, Filter())) == 3
            assert await queues.find_intake(tx, 1) is not None
        with pytest.raises(Misconfigured, match="another role"):
            await operate(house.register, Verb.REJUDGE, house.now, kinds=[MAIL])
        with pytest.raises(Misconfigured, match="another role"):
            await enrol(house)
        with pytest.raises(Misconfigured, match="keys of the register"):
            async with house.register.read() as tx:
                await queues.raw(tx, 1)
        rights = "INSERT, UPDATE, DELETE, TRUNCATE"
        for table in metadata.tables:
            asked = (
                f"has_any_column_privilege('{table}', 'INSERT, UPDATE') OR has_table_privilege('{table}', '{rights}')"
            )
            (row,) = await rows(house.register, f"SELECT {asked} AS may")
            assert row.may is False, table
    assert await rows(people.house.register, "SELECT id FROM intake WHERE state = 'received'") == []


async def test_an_operator_acts_on_mails_and_can_neither_enrol_nor_change_what_is_sealed(people: People) -> None:
    await worker.receive(people.house.door())
    async with people.as_(Role.OPERATOR) as house:
        for verb in (Verb.HOLD, Verb.RELEASE, Verb.SET_ASIDE, Verb.REJUDGE):
            assert ids(await operate(house.register, verb, house.now, kinds=[MAIL])) == [1, 2], verb
    await serve(people.house)
    async with people.as_(Role.OPERATOR) as house:
        assert ids(await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER])) == [1]
        assert ids(await operate(house.register, Verb.REJUDGE, house.now, intakes=[2])) == [2]
        rejection = await rejecting.reject(house.door(), Filter(intakes=[2]), REFUSAL)
        assert ids(rejection.weighed) == [2]
        with pytest.raises(Misconfigured, match="another role"):
            await enrol(house)
        for forbidden in (
            "UPDATE outbox SET raw = NULL",
            "UPDATE outbox SET recipient = 'other@b.example'",
            "UPDATE intake SET received_at = taken_at",
            "UPDATE request SET state = 'removed', ended_on = expires_on",
            "DELETE FROM intake",
            "DELETE FROM mailflow_keys.content_key",
            "DELETE FROM journal",
            "UPDATE mandate SET ends_on = starts_on",
            "UPDATE trust_generation SET generation = generation + 1",
        ):
            with pytest.raises(Misconfigured, match="another role"):
                await execute(house.register, forbidden)


async def test_an_operator_refuses_a_proven_sender_by_an_answer(people: People) -> None:
    await worker.receive(people.house.door())
    async with people.as_(Role.OPERATOR) as house:
        rejection = await rejecting.reject(house.door(), Filter(intakes=[1]), REFUSAL)
    assert [item.id for item in rejection.told] == [1]
    await serve(people.house)
    assert len(people.house.mailer.accepted) == 1


async def test_the_service_does_all_its_work_and_enrols_nobody(people: People) -> None:
    async with people.as_(Role.SERVICE) as house:
        await serve(house)
        assert len(house.mailer.accepted) == 1
        for days in (1, 400, 900):
            for job in JOBS:
                await run_job(house.register, job, TERMS, house.now + timedelta(days=days))
        with pytest.raises(Misconfigured, match="another role"):
            await enrol(house)
        with pytest.raises(Misconfigured, match="another role"):
            await execute(house.register, "UPDATE installation SET environment = 'ecole'")


async def test_the_service_alone_keeps_revocation_data_and_begins_a_generation_with_them(people: People) -> None:
    key = SourceKey(SourceKind.LIST, "http://crl.example/a")
    for role in (Role.SERVICE, Role.OPERATOR):
        async with people.as_(role) as house:
            async with house.register.read() as tx:
                before = await directory.generation(tx)
            refused = contextlib.nullcontext() if role is Role.SERVICE else pytest.raises(Misconfigured)
            with refused:
                async with house.register.begin() as tx:
                    await revocations.keep(tx, key, role.encode(), published=AT, expires=AT, at=AT, next_at=AT)
            async with house.register.read() as tx:
                assert (await revocations.octets(tx, key), await directory.generation(tx) - before) == (
                    b"service",
                    1 if role is Role.SERVICE else 0,
                )


async def test_an_administrator_enrols_and_does_what_the_others_do(people: People) -> None:
    async with people.as_(Role.ADMINISTRATOR) as house:
        await serve(house)
        await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER])
        await enrol(house)
        with pytest.raises(Misconfigured, match="another role"):
            await execute(house.register, "DELETE FROM journal")


def test_the_command_prints_what_is_tested_here(run: Run) -> None:
    code, out, _ = run("roles")
    assert (code, out) == (0, "".join(f"{statement};\n" for statement in statements()))


def test_sudo_lets_readers_see_and_operators_act_and_knows_each_command(run: Run) -> None:
    code, out, _ = run("roles", "--sudoers")
    assert (code, out) == (0, "\n".join(rules()) + "\n")
    commands = dict(walk(cli))
    assert set(SEE) | set(ACT_COMMANDS) <= set(commands)
    changing = {name for name, command in commands.items() if {"apply", "out"} & {one.name for one in command.params}}
    assert set(SEE) & changing == set()
    assert {str(command.name) for command in COMMANDS} <= set(ACT_COMMANDS)
    (operator,) = [line for line in out.splitlines() if line.startswith("%mailflow_operator")]
    assert operator.endswith("(mailflow) NOPASSWD: MAILFLOW_SEE, MAILFLOW_ACT")


# On SQLite, by permissions of files


async def test_a_register_in_a_file_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/register.db"
    writing = Register.open(url, VAULT)
    await writing.migrate()
    reading = Register.open(url, VAULT, read_only=True)
    try:
        with pytest.raises(Misconfigured, match="may not write"):
            async with reading.begin():
                pass
    finally:
        await reading.close()
        await writing.close()


@pytest.fixture
def open_to_all(installation: Installation) -> Iterator[Path]:
    """The installation where everybody may look at settings and register, and at no key; a worker has it open."""
    folder = Path(tempfile.mkdtemp(prefix="mailflow-roles-"))
    shutil.copytree(installation.folder, folder, dirs_exist_ok=True)
    for path in (folder, *(path for path in folder.iterdir() if path.is_file())):
        path.chmod(0o755)
    database, keys = folder / "register.db", folder / "register-keys.db"
    keys.chmod(0o600)
    with contextlib.closing(sqlite3.connect(database)) as worker_:
        at = "2026-11-25 09:30:00.000000"
        columns = "account, mailbox, uidvalidity, uid, size_bytes, received_at, taken_at, state, next_at"
        values = ("a", "INBOX", 1, 1, 1, at, at, "received", at)
        worker_.execute(f"INSERT INTO intake ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        worker_.commit()
        yield folder / installation.config.name
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("queue",), 0, "Waiting for an answer: 1;"),
        (("find", "--state", "held"), 65, "Matching: 0."),
        (("find", "--message-id", "1@a.example"), 78, "whose files this user may not read"),
        (("hold", "--state", "received", "--why", "x", "--apply"), 78, "may not write"),
        (("sender", "suspend", "lille", "--why", "x", "--apply"), 78, "may not write"),
    ],
)
def test_who_may_read_the_register_alone_sees_and_can_do_nothing(
    run: Run, open_to_all: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    run(*arguments[:-1] if arguments[-1] == "--apply" else arguments)  # so that all is imported that nobody may read
    found, told = as_nobody(["--config", str(open_to_all), *arguments])
    assert (found, said in told) == (code, True), told


def as_nobody(arguments: list[str]) -> tuple[int, str]:
    """Run a command line as a user without any rights; its exit code, and all that it said."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sys.stdout = sys.stderr = told
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                code = int(call(arguments))
            finally:
                told.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        return os.waitstatus_to_exitcode(status), told.read()
