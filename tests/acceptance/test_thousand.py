"""A mail of a thousand creations, in whatever form: one answer, an outcome for each in order, killed or not."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from bench.processes import watch
from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.pki import Pki
from mailflow.demo.story import LILLE, desks
from mailflow.mail.desk import OpenedAnswer
from mailflow.wire.names import return_name
from mailflow.wire.xml import XmlLimits, parse
from tests.support.available import require
from tests.support.databases import server_of
from tests.support.mail_world import LATER_MINUTES, MailWorld

THOUSAND = 1_000
KILLED = -9
PEAK_BYTES_MAX = 1 << 30
"""Of all processes of the worker. Far above what is measured: a bound, not a promise."""
KILLS = (
    "pool.judge.after:1",
    "intake.settle.before-commit:1",
    "pool.compose.after:1",
    "outbox.freeze.before-commit:1",
    "smtp.data.written:1",
)
"""One after the other, each in the run that goes on where the one before was killed."""

File = tuple[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A mail of many requests."""

    message_id: str
    raw: bytes
    names: tuple[str, ...]
    """Of the request files, in order."""
    surnames: tuple[str, ...]
    bad: frozenset[int]
    """Which requests are to be refused."""


class Sender:
    """Writes the mails of one desk."""

    def __init__(self, world: MailWorld, at: datetime) -> None:
        self._world, self._at = world, at
        self.software = world.software[0]

    def batch(self, files: int, *, bad: frozenset[int] = frozenset(), zipped: bool = False) -> Batch:
        """A thousand persons in that many files."""
        persons = [_person(number) for number in range(THOUSAND)]
        share = THOUSAND // files
        written = [
            (file_name(self.software.desk, self._at, number), self._file(persons, start, share, bad))
            for number, start in enumerate(range(0, THOUSAND, share), start=1)
        ]
        message_id = f"<{files}.{len(bad)}.{zipped}@desks.example>"
        sent = [("demandes.zip", _zipped(written))] if zipped else written
        raw = self._world.installation.request(self.software, sent, message_id=message_id, at=self._at)
        return Batch(
            message_id=message_id,
            raw=raw,
            names=tuple(name for name, _ in written),
            surnames=tuple(person.surname for person in persons),
            bad=bad,
        )

    def _file(self, persons: Sequence[Person], start: int, share: int, bad: frozenset[int]) -> bytes:
        today = legal_day(self._at)
        forms = [
            request_form(
                persons[number],
                desk=self.software.desk,
                deposited_on=today + timedelta(days=40 * (number in bad)),
                municipalities=[LILLE],
            )
            for number in range(start, start + share)
        ]
        return request_file(forms, made_at=self._at)

    def answers(self, batch: Batch) -> list[OpenedAnswer]:
        """What came back to the desk."""
        opened = [
            self._world.installation.open(self.software, raw, self._at)
            for raw in self._world.dovecot.messages(self.software.sender)
        ]
        assert {answer.in_reply_to for answer in opened} <= {batch.message_id}
        return opened


def _person(number: int) -> Person:
    """Nobody is like another: not in name, not in date of birth."""
    name = "".join("bcdfglmnrs"[int(digit)] + "aeiouaeiou"[int(digit)] for digit in f"{number:04}")
    return Person(surname=name.capitalize(), first_name="Ève", born_on=date(1960, 1, 1) + timedelta(days=11 * number))


def _zipped(files: Sequence[File]) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return octets.getvalue()


def wrong(batch: Batch, answers: Sequence[OpenedAnswer]) -> list[str]:
    """What is not as it must be: one answer, every outcome in its place, the numbers dense and in order."""
    found = []
    enclosed = [name for answer in answers for name in answer.files if name.startswith("ATT")]
    if len(set(enclosed)) != len(enclosed) or len(enclosed) != THOUSAND - len(batch.bad):
        found.append(f"{len(enclosed)} attestations")
    files = {name: content for answer in answers for name, content in answer.files.items()}
    if len([name for name in files if name.startswith("accuse-")]) != 1:
        found.append(f"not one answer, in {len(answers)} parts")
    outcomes: list[tuple[str, str | None]] = []
    for name in batch.names:
        root = parse(files[return_name(name)], XmlLimits(bytes_max=1 << 26, nodes_max=1 << 22))
        outcomes += [
            (request.findtext(".//{*}demandeur/{*}nom") or "", request.findtext("{*}numUnique"))
            for request in root.iterfind("{*}demande")
        ]
    if tuple(surname for surname, _ in outcomes) != batch.surnames:
        found.append("not the requests that were sent, in their order")
    if {place for place, (_, number) in enumerate(outcomes) if number is None} != batch.bad:
        found.append("others were refused than the bad ones")
    sequences = [int(number[7:13]) for _, number in outcomes if number is not None]
    if sequences != list(range(1, THOUSAND - len(batch.bad) + 1)):
        found.append("the numbers are not dense and in order")
    return found


def waiting(world: MailWorld) -> set[tuple[str, str, bool]]:
    """What the operator sees of the one mail that is being worked on: in the end, of each mail of its answer."""
    code, said = world.start(arguments=("queue", "--json")).wait()
    assert code == 0, said
    return {(row["what"], row["state"], row["at_work"]) for row in json.loads(said)}


def decided(shown: Mapping[str, object]) -> tuple[int, int]:
    """How many requests were registered and refused, as the operator is shown of each file."""
    files = [str(fact).split() for name, fact in shown.items() if name.startswith("file_")]
    return sum(int(words[1]) for words in files), sum(int(words[3]) for words in files)


@pytest.fixture(scope="module")
def batches(request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailWorld]:
    """A world that takes mails of the size that is published."""
    require("dovecot")
    require("postfix")
    folder: Path = tmp_path_factory.mktemp("world")
    limits = {"limits": {"mail_bytes_max": 26_214_400}}
    with MailWorld(folder, pki, desks(pki), postgres=server_of(request), changes=limits) as world:
        yield world


@pytest.mark.long
@pytest.mark.parametrize("batches", ["postgresql"], indirect=True)
def test_a_zip_of_a_thousand_files_has_one_answer_in_bounded_memory(
    batches: MailWorld, at: datetime, record_property: Callable[[str, object], None]
) -> None:
    batches.begin_anew()
    sender = Sender(batches, at)
    batch = sender.batch(THOUSAND, zipped=True, bad=frozenset({0, 500, 999}))
    batches.post([batch.raw])
    command = [sys.executable, "-m", "mailflow", "--config", str(batches.installation.config), "run", "--once"]
    usage = watch(subprocess.Popen(command))
    assert usage.exit_code == 0
    batches.settle()
    assert wrong(batch, sender.answers(batch)) == []
    assert usage.peak_bytes < PEAK_BYTES_MAX
    record_property("peak PSS in MB", {name: octets >> 20 for name, octets in usage.peak_parts.items()})
    code, said = batches.start(arguments=("show", "1", "--json")).wait()
    assert code == 0, said
    assert decided(json.loads(said)) == (THOUSAND - 3, 3)


@pytest.mark.long
@pytest.mark.parametrize("batches", ["sqlite"], indirect=True)
def test_a_file_of_a_thousand_creations_survives_one_kill_after_another(batches: MailWorld, at: datetime) -> None:
    batches.begin_anew()
    sender = Sender(batches, at)
    batch = sender.batch(1)
    batches.post([batch.raw])
    seen = []
    for number, point in enumerate(KILLS):
        code, said = batches.run("--kill", point, "--later", str(number * LATER_MINUTES))
        assert code == KILLED, said
        seen.append(waiting(batches))
        batches.settle()
    assert seen[:4] == [
        {("mail", "received", True)},
        {("mail", "received", True)},
        {("answer", "queued", True)},
        {("answer", "queued", True)},
    ]
    assert ("answer", "sending", True) in seen[4]
    batches.finish(later=len(KILLS) * LATER_MINUTES)
    assert wrong(batch, sender.answers(batch)) == []
