"""A service whose keys are rotated by the operator's commands, while mails to its old and new certificates arrive."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailflow import app
from mailflow.cli import placing, rotation
from mailflow.cli.main import call
from mailflow.core.model import Environment
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.installation import SERVICE, DeskSoftware, Installation, MailServers
from mailflow.demo.pki import Pki
from mailflow.mail import cms, stages
from mailflow.mail.desk import OpenedAnswer, Protection, open_answer, request_mail
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Verdict
from mailflow.mail.stages import Stages
from mailflow.register import Register, Transaction
from mailflow.settings import Settings, load
from tests.support.doors import House
from tests.support.judges_here import JudgesHere
from tests.support.records import rows

SERVERS = MailServers(imap_port=1, smtp_port=1, service_user="demandes", audit_user="audit", password="secret")
SECONDS_MAX = 60


class Killed(BaseException):
    """The process is no more."""


@dataclass(slots=True)
class Seams:
    """Between any two things that a command leaves behind it may be killed: files, commits."""

    fatal: int = 0
    passed: int = 0

    def reach(self) -> None:
        self.passed += 1
        if self.passed == self.fatal:
            raise Killed

    @contextlib.contextmanager
    def armed(self, fatal: int) -> Iterator[None]:
        """Killed at that seam, when the command gets so far."""
        self.fatal, self.passed = fatal, 0
        try:
            yield
        finally:
            self.fatal = 0

    def put(self, patch: pytest.MonkeyPatch) -> None:
        """Onto the commands of rotation and onto every commit."""
        write, move, begin = placing.write_new, Path.replace, Register.begin

        def written(*arguments: Any) -> None:
            write(*arguments)
            self.reach()

        def moved(path: Path, target: Path) -> Path:
            done = move(path, target)
            self.reach()
            return done

        @contextlib.asynccontextmanager
        async def begun(register: Register) -> AsyncIterator[Transaction]:
            async with begin(register) as tx:
                yield tx
                self.reach()
            self.reach()

        patch.setattr(stages, "STEP_SECONDS_MAX", 0.05)
        patch.setattr(rotation, "write_new", written)
        patch.setattr(Path, "replace", moved)
        patch.setattr(Register, "begin", begun)


@dataclass(slots=True)
class Rotating:
    """An installation with one desk, its worker started anew for each batch."""

    folder: Path
    pki: Pki
    url: str
    seams: Seams = field(default_factory=Seams)
    installation: Installation = field(init=False)
    software: DeskSoftware = field(init=False)
    _mails: int = 0

    def __post_init__(self) -> None:
        self.software = DeskSoftware(
            sender="lille",
            desk="Z0001",
            territory="059",
            address="logiciel@lille.example",
            identity=self.pki.issue("lille", kind="p256"),
        )
        self.installation = Installation(self.folder, self.pki, SERVERS)
        self.installation.identity = self.pki.issue("service", kind="p256")  # loaded quickly, again and again
        self.installation.create({"register": {"url": self.url}})
        self.installation.enrol(self.software)

    @property
    def settings(self) -> Settings:
        return load(self.installation.config)

    def command(self, *arguments: str) -> int:
        return call(["--config", str(self.installation.config), *arguments])

    def listed(self, capfd: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
        """The keys, by name."""
        capfd.readouterr()
        assert self.command("service-keys", "list", "--json") == 0
        return {one["name"]: one for one in json.loads(capfd.readouterr().out)}

    def killed(self, fatal: int, *arguments: str) -> tuple[bool, int]:
        """Whether the command was killed at that seam; else how it ended."""
        try:
            with self.seams.armed(fatal):
                return False, self.command(*arguments)
        except Killed:
            return True, -9

    def mail(self, encrypt_to: bytes) -> bytes:
        """A request about somebody new, encrypted to this certificate (DER)."""
        self._mails += 1
        at = datetime.now(UTC)
        who = Person(surname=_surname(self._mails), first_name="Zoé", born_on=at.date().replace(year=1990, day=1))
        day = at.date() - timedelta(days=2)
        form = request_form(who, desk=self.software.desk, deposited_on=day, municipalities=["59350"])
        name = file_name(self.software.desk, at, self._mails)
        identity = self.software.identity
        return request_mail(
            [(name, request_file([form], made_at=at - timedelta(minutes=1)))],
            Protection(
                signing_key=cms.load_signing_key(identity.key_pem, identity.pem),
                encrypt_to=encrypt_to,
                opaque=False,
                legacy=False,
            ),
            sender=self.software.address,
            recipient=SERVICE,
            message_id=f"<{self._mails}@lille.example>",
            at=at,
        )

    def batch(self, *mails: bytes, known: list[bytes], meanwhile: Callable[[], object] | None = None) -> "Came":
        """A worker starts, does all that there is to do, and ends; `known` are the certificates a desk trusts.

        `meanwhile` happens once mails were judged and are not decided yet.
        """
        return asyncio.run(self._batch(mails, known, meanwhile))

    async def _batch(
        self, mails: tuple[bytes, ...], known: list[bytes], meanwhile: Callable[[], object] | None
    ) -> "Came":
        settings = self.settings
        async with app.register_of(settings) as register:
            (before,) = await rows(register, "SELECT count(*) AS mails, coalesce(max(id), 0) AS last FROM intake")
            house = House(register, environment=Environment.SCHOOL, now=datetime.now(UTC) + timedelta(seconds=5))
            house.mailbox.clock = lambda: house.now
            house.mailbox.uidvalidity = before.last + 1
            for mail in mails:
                house.mailbox.deliver(mail)
            judges = JudgesInterrupted(
                meanwhile=[meanwhile] if meanwhile else [],
                judge_of=app.make_judge(settings),
                composer_of=app.make_composer(settings),
            )
            door = replace(house.door(), judges=judges, trust=app.trust_files(settings), address=SERVICE)
            async with asyncio.timeout(SECONDS_MAX):
                await Stages(door, poll_seconds=3600, pause_seconds=3600).drain(asyncio.Event())
            states = await rows(register, f"SELECT state, reason FROM intake WHERE id > {before.last} ORDER BY id")
        opened = [self.open(one.raw, known) for one in house.mailer.accepted]
        answers = [one.raw for one, told in zip(house.mailer.accepted, opened, strict=True) if told.in_reply_to]
        return Came(states=[(row.state, row.reason) for row in states], answers=answers)

    def open(self, raw: bytes, known: list[bytes]) -> OpenedAnswer:
        """As the desk does that trusts these certificates."""
        identity = self.software.identity
        keys = [cms.load_decryption_key(identity.key_pem, identity.pem)]
        return open_answer(raw, keys, known, datetime.now(UTC))


@dataclass(slots=True, kw_only=True)
class JudgesInterrupted(JudgesHere):
    """Something happens after the first verdicts."""

    meanwhile: list[Callable[[], object]]

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict]:
        verdicts = await JudgesHere.judge(self, mails, at)
        if self.meanwhile:
            await asyncio.to_thread(self.meanwhile.pop())
        return verdicts


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came of a batch."""

    states: list[tuple[str, str | None]]
    """Of the mails, in their order."""
    answers: list[bytes]
    """Those that the desk got. It could prove and open whatever came."""


def _surname(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "Nom" + letters[number // 26 % 26] + letters[number % 26] * 3
