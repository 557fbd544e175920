"""Stories that are told as data: a folder each, with `in.sh`, which writes the mail, and `expect.toml`, its end.

The stories of a chapter are sent one after the other and go through one run of the service; or each through a run of
its own, and then the next one knows the numbers that were given before. What they wrote, sent and got back stays in a
folder of pytest's, each with a `transcript`.
"""

import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from mailflow.core.calendar import PARIS, active_through, legal_day
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE
from tests.acceptance.reading import Answer, open_by_openssl
from tests.acceptance.world import Done, World, shell

STORIES = Path(__file__).parent / "stories"
SHARED = ("desk.sh", "demande.xml")
FIRST_BIRTH = date(1970, 1, 1)
NEARLY_A_YEAR = timedelta(days=330)
"""Ago, a request was deposited that can be renewed today."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """One folder."""

    name: str
    folder: Path
    number: int
    expect: Mapping[str, Any] = field(repr=False)

    def variables(self, at: datetime) -> dict[str, str]:
        """What `in.sh` is told: who asks, and when."""
        today = legal_day(at)
        return {
            "TO": SERVICE,
            "DATE": format_datetime(at),
            "MESSAGE_ID": f"<{self.name}@desks.example>",
            "SURNAME": self.name,
            "BIRTH": (FIRST_BIRTH + timedelta(days=self.number)).isoformat(),
            "SEQUENCE": f"{self.number:06}",
            "MINUTE": f"{at.astimezone(PARIS):%Y%m%d%H%M}",
            "NOW": at.isoformat(timespec="seconds"),
            "TODAY": today.isoformat(),
            "NEXT_MONTH": (today + timedelta(days=31)).isoformat(),
            "LAST_YEAR": (today - NEARLY_A_YEAR).isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of a story."""

    answers: Mapping[str, list[Answer]]
    """By the desk whose mailbox they lie in."""
    set_aside: Mapping[str, Any] | None
    """What the operator sees of a mail that nobody is answered."""
    transcript: str


def stories(chapter: str) -> list[Story]:
    """The stories of a chapter, in order."""
    folders = sorted(path.parent for path in (STORIES / chapter).glob("*/expect.toml"))
    return [
        Story(
            name=folder.name,
            folder=folder,
            number=number,
            expect=tomllib.loads((folder / "expect.toml").read_text(encoding="utf-8")),
        )
        for number, folder in enumerate(folders, 1)
    ]


def write_mail(story: Story, world: World, folder: Path, at: datetime, numbers: Mapping[str, str]) -> tuple[bytes, str]:
    """Run `in.sh` in a folder with everything that a desk has; the mail, and what was typed.

    `numbers` are further variables: `NUMBER_<story>` is the number that a story was given.
    """
    folder.mkdir(parents=True)
    for name in SHARED:
        shutil.copy(STORIES / name, folder)
    for file in story.folder.iterdir():
        shutil.copy(file, folder)
    service = {"service": world.pki.service_rsa, "service-ec": world.pki.service_ec}
    for name, identity in world.identities.items():
        _write(folder, name, identity)
        (folder / f"{name}.key").write_bytes(identity.key_pem)
    for name, identity in service.items():
        _write(folder, name, identity)
    (folder / "root.pem").write_bytes(world.pki.root.identity.pem)
    authorities = (world.pki.issuing_rsa, world.pki.issuing_ec)
    (folder / "chain.pem").write_bytes(b"".join(authority.identity.pem for authority in authorities))
    typed = shell(folder / "in.sh", folder, {**story.variables(at), **numbers})
    return (folder / "in.eml").read_bytes(), typed


def _write(folder: Path, name: str, identity: Identity) -> None:
    (folder / f"{name}.pem").write_bytes(identity.pem)


def tell(chapter: str, world: World, folder: Path, *, one_by_one: bool = False) -> tuple[list[Done], dict[str, Told]]:
    """Send every story of the chapter to a fresh register, run the service, and look what came."""
    world.begin_anew()
    at = datetime.now(UTC).replace(microsecond=0)
    cast = stories(chapter)
    runs: list[Done] = []
    told: dict[str, Told] = {}
    numbers: dict[str, str] = {}
    for group in [[story] for story in cast] if one_by_one else [cast]:
        typed: dict[str, str] = {}
        for story in group:
            raw, typed[story.name] = write_mail(story, world, folder / story.name, at, numbers)
            world.send(raw)
        runs.append(world.mailflow("run", "--once", "--json"))
        world.settle()
        for name, one in _came(group, typed, world, folder, runs[-1]).items():
            told[name] = one
            given = [number for answers in one.answers.values() for answer in answers for number in answer.numbers]
            numbers |= {f"NUMBER_{name.replace('-', '_')}": number for number in given[:1]}
    return runs, told


def _came(group: Sequence[Story], typed: Mapping[str, str], world: World, folder: Path, done: Done) -> dict[str, Told]:
    """What came of each story of a run."""
    # The mails arrived one after the other, in a register that had none.
    set_aside = {row["intake"]: row for row in world.mailflow("queue", "--set-aside", "--json").json}
    mailboxes = {one.sender: world.answers(one) for one in world.software}
    told = {}
    for story in group:
        place, row = folder / story.name, set_aside.get(story.number)
        came = {
            desk: [open_by_openssl(raw, desk, place) for raw in answers.get(f"<{story.name}@desks.example>", ())]
            for desk, answers in mailboxes.items()
        }
        came = {desk: answers for desk, answers in came.items() if answers}
        transcript = _transcript(typed[story.name], done, came, row)
        (place / "transcript").write_text(transcript, encoding="utf-8")
        told[story.name] = Told(answers=came, set_aside=row, transcript=transcript)
    return told


def _transcript(typed: str, done: Done, came: Mapping[str, list[Answer]], row: Mapping[str, Any] | None) -> str:
    lines = [typed, f"$ mailflow run --once --json  # exit code {done.code}", done.err]
    if row:
        lines.append(f"$ mailflow queue --set-aside  # {row['reason']} {row['detail']}")
    for desk, answers in came.items():
        for answer in answers:
            lines += [f"To {desk}, {answer.envelope}:", answer.text]
            for name, octets in answer.files.items():
                lines.append(
                    f"{name}:\n{octets.decode()}" if name.endswith(".xml") else f"{name}: {len(octets)} octets"
                )
    return "\n".join(lines)


def has_form(number: str, form: str, at: datetime) -> bool:
    """Whether a number is as told: `MMYY` is this month, `LLYY` that of `LAST_YEAR`, each `n` a digit."""
    today = legal_day(at)
    for text, pattern in {"MMYY": f"{today:%m%y}", "LLYY": f"{today - NEARLY_A_YEAR:%m%y}", "n": "[0-9]"}.items():
        form = form.replace(text, pattern)
    return re.fullmatch(form, number) is not None


def on_its_day(state: str, at: datetime) -> str:
    """A state with the day that is meant: `NEXT_YEAR` a year from now, `SOON` a year after `LAST_YEAR`."""
    today = legal_day(at)
    days = {"NEXT_YEAR": active_through(today), "SOON": active_through(today - NEARLY_A_YEAR)}
    return " ".join(str(days.get(word, word)) for word in state.split())
