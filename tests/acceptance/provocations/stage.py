"""The stage on which stories are played together: in each round every story sends a mail and is told what came of it.

A story is a generator: it yields mails and gets what it is told. One that has to wait for days yields `LATER` before
its next mail.
"""

import itertools
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.demo.installation import SERVICE, DeskSoftware
from mailflow.mail import cms, entities
from mailflow.mail.cms import SigningKey
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from tests.support.clock import minutes_until
from tests.support.mail_world import ROOT as ROOT_FOLDER
from tests.support.mail_world import MailWorld
from tests.support.requests import a_form, a_whole_form

MINUTE = timedelta(minutes=1)
ROUND = 5 * MINUTE
DAYS = timedelta(hours=73)
"""What a story that waits has waited for: longer than an erroneous creation may be removed."""
LATER = b""
APPLICANT, COUPLE = "personnePhysique/demandeur", "personnePhysique/coDemandeur"
_CODES = re.compile(rb'code="(CTRL_[A-Z]{3}_[0-9]{4})"')
_NUMBERS = re.compile(rb"<tns:numUnique>([^<]+)<")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of a mail: an answer, or what the operator sees."""

    codes: frozenset[str]
    numbers: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The number of the one request that was sent."""
        (number,) = self.numbers
        return number


Story = Generator[bytes, Told, None]
Script = Callable[["Stage"], Story]


@dataclass(slots=True, kw_only=True)
class Stage:
    """What stories write their mails with. Its time goes on with each round."""

    world: MailWorld
    at: datetime
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def software(self) -> Mapping[str, DeskSoftware]:
        """Those who are enrolled, by their codes."""
        return {one.sender: one for one in self.world.software}

    def surname(self) -> str:
        """Somebody's name that is like no other name."""
        digest = sha256(str(next(self._count)).encode()).digest()
        return "".join(chr(97 + octet % 26) for octet in digest[:10]).capitalize()

    def form(self, changes: Mapping[str, Any] | None = None) -> HousingRequest:
        """A good request of somebody new, with changes by path."""
        return a_form({"numGuichet": "Z0001", f"{APPLICANT}/nom": self.surname(), COUPLE: None, **(changes or {})})

    def whole(self, changes: Mapping[str, Any] | None = None) -> HousingRequest:
        """A good request in which every element is filled in, of people of whom nobody has heard, with changes."""
        people = {f"{APPLICANT}/nom": self.surname(), f"{COUPLE}/nom": self.surname(), f"{APPLICANT}/nir": None}
        given = {path: value for path, value in people.items() if path not in (changes or {})}
        return a_whole_form({"numGuichet": "Z0001", **given, **(changes or {})})

    def requests(self, count: int) -> list[RequestElement]:
        """Good creations."""
        return [RequestElement(form=self.form()) for _ in range(count)]

    def exhaust(self, month: str) -> None:
        """All numbers of a month (`MMYY`) are given."""
        with closing(sqlite3.connect(self.world.installation.folder / "register.db")) as register, register:
            register.execute("INSERT INTO counter (territory, month, last) VALUES ('059', ?, 999999)", [month])

    # Files

    def name(self, desk: str = "Z0001") -> str:
        """The name of the next file."""
        return f"DEM{desk}-{self.at:%Y%m%d%H%M}-{next(self._count):06}.xml"

    def file(self, operation: str, *requests: RequestElement, dated_at: datetime | None = None) -> bytes:
        """A request file."""
        header = Header(file_type=operation, dated_at=dated_at or self.at)
        return to_bytes(write(InterfaceFile(version=VERSIONS[-1], header=header, requests=requests), ROOT, NUU))

    # Mails

    def parts(self, *files: tuple[str, bytes]) -> bytes:
        """The content of a mail with these files."""
        parts = [entities.file_part(name, content, "application/xml") for name, content in files]
        return entities.mixed(parts, "parts")

    def send(self, file: bytes, *, sender: str = "ville", name: str | None = None) -> bytes:
        """A mail with one file."""
        return self.signed(self.parts((name or self.name(self.software[sender].desk), file)), sender)

    def do(self, operation: str, *requests: RequestElement, sender: str = "ville") -> bytes:
        """A mail that asks for one operation."""
        return self.send(self.file(operation, *requests), sender=sender)

    def ask(self, questions: bytes) -> bytes:
        """A mail with a `GES` file."""
        return self.send(questions, name=self.name().replace("DEM", "GES"))

    def create(self, form: HousingRequest, *, sender: str = "ville", reference: str | None = None) -> bytes:
        """A mail with one creation."""
        return self.do("CRE", RequestElement(form=form, reference=reference), sender=sender)

    def signed(self, content: bytes, sender: str = "ville") -> bytes:
        """A mail with this content, signed now by the key of that sender."""
        key = key_of(self.software[sender])
        return self.mail(cms.multipart_signed(content, key, at=self.at, boundary="signed"), sender)

    def mail(self, entity: bytes, sender: str = "ville", headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """A complete mail, whatever it is made of."""
        fields = [("From", self.software[sender].address), *headers]
        return entities.mail([*fields, ("To", SERVICE), ("Message-ID", f"<{next(self._count)}@desk.example>")], entity)


def key_of(software: DeskSoftware) -> SigningKey:
    return cms.load_signing_key(software.identity.key_pem, software.identity.pem)


def play(stage: Stage, scripts: Mapping[Code, Script]) -> dict[Code, Told]:
    """What each story was told in the end."""
    stories = {code: script(stage) for code, script in scripts.items()}
    told: dict[Code, Told] = {}
    waiting: dict[Code, Story] = {}
    due: dict[Code, bytes] = {}

    def go_on(code: Code, news: Told | None) -> None:
        try:
            mail = next(stories[code]) if news is None else stories[code].send(news)
        except StopIteration:
            return
        if mail == LATER:
            waiting[code] = stories[code]
        else:
            due[code] = mail

    for code in stories:
        go_on(code, None)
    intake = itertools.count(1)
    while due or waiting:
        if not due:
            stage.at += DAYS
            for code in list(waiting):
                del waiting[code]
                due[code] = next(stories[code])
        sent = {code: next(intake) for code in due}
        stage.world.post(list(due.values()), received_at=stage.at)
        due.clear()
        news = _run(stage, sent)
        stage.at += ROUND
        told |= news
        for code in sent:
            go_on(code, news[code])
    return told


def _run(stage: Stage, sent: Mapping[Code, int]) -> dict[Code, Told]:
    """Run the service once, at the time of the stage; what came of the mails, by the number that each was given."""
    world, at = stage.world, stage.at + MINUTE
    code, said = world.start("--later", minutes_until(at), arguments=("run", "--once")).wait()
    assert code in (0, 65, 75), said  # somebody is to look at it, or it is to be tried again
    world.settle()
    answered: dict[int, Told] = {}
    for software in world.software:
        for raw in world.dovecot.messages(software.sender):
            files = world.installation.open(software, raw, at).files
            numbers = [int(name.split("-")[1].partition(".")[0]) for name in files if name.startswith("accuse-")]
            if not numbers:
                continue  # a dispatch of the day, or a notice
            (number,) = numbers
            text = b"".join(content for name, content in files.items() if name.endswith(".xml"))
            answered[number] = Told(
                codes=frozenset(found.decode() for found in _CODES.findall(text)),
                numbers=tuple(found.decode() for found in _NUMBERS.findall(text)),
            )
    for row in _unanswered(world):
        answered[row["intake"]] = Told(codes=frozenset([row["reason"]]))
    return {code: answered[number] for code, number in sent.items()}


def _unanswered(world: MailWorld) -> list[dict[str, Any]]:
    """What the operator sees of mails that are not answered: set aside, or waiting."""
    rows: list[dict[str, Any]] = []
    for option in (["--set-aside"], []):
        command = [sys.executable, "-m", "mailflow", "--config", str(world.installation.config), "queue", *option]
        done = subprocess.run([*command, "--limit", "1000", "--json"], cwd=ROOT_FOLDER, capture_output=True, check=True)
        rows += json.loads(done.stdout)
    return rows
