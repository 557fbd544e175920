"""Stories that are told as data: a folder each, with `in.sh`, which writes the mail, and `expect.toml`, its end.

The stories of a chapter are sent one after the other and go through one run of the service. What they wrote, sent and
got back stays in a folder of pytest's, each with a `transcript`.
"""

import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from mailflow.core.calendar import PARIS, legal_day
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE
from tests.acceptance.reading import Answer, open_by_openssl
from tests.acceptance.world import Done, World, shell

STORIES = Path(__file__).parent / "stories"
SHARED = ("desk.sh", "demande.xml")
FIRST_BIRTH = date(1970, 1, 1)


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


def write_mail(story: Story, world: World, folder: Path, at: datetime) -> tuple[bytes, str]:
    """Run `in.sh` in a folder with everything that a desk has; the mail, and what was typed."""
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
    typed = shell(folder / "in.sh", folder, story.variables(at))
    return (folder / "in.eml").read_bytes(), typed


def _write(folder: Path, name: str, identity: Identity) -> None:
    (folder / f"{name}.pem").write_bytes(identity.pem)


def tell(chapter: str, world: World, folder: Path) -> tuple[Done, dict[str, Told]]:
    """Send every story of the chapter to a fresh register, run the service once, and look what came."""
    world.begin_anew()
    at = datetime.now(UTC).replace(microsecond=0)
    typed: dict[str, str] = {}
    cast = stories(chapter)
    for story in cast:
        raw, typed[story.name] = write_mail(story, world, folder / story.name, at)
        world.send(raw)
    done = world.mailflow("run", "--once", "--json")
    world.settle()
    rows = world.mailflow("queue", "--set-aside", "--json").json
    # The mails arrived one after the other, in a register that had none.
    set_aside = {row["intake"]: row for row in rows}
    mailboxes = {one.sender: world.answers(one) for one in world.software}
    told = {}
    for intake, story in enumerate(cast, 1):
        place = folder / story.name
        came = {
            desk: [open_by_openssl(raw, desk, place) for raw in answers.get(f"<{story.name}@desks.example>", ())]
            for desk, answers in mailboxes.items()
        }
        came = {desk: answers for desk, answers in came.items() if answers}
        transcript = _transcript(typed[story.name], done, came, set_aside.get(intake))
        (place / "transcript").write_text(transcript, encoding="utf-8")
        told[story.name] = Told(answers=came, set_aside=set_aside.get(intake), transcript=transcript)
    return done, told


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
    """Whether a number is as told: `MMYY` stands for this month, each `n` for a digit."""
    pattern = form.replace("MMYY", f"{legal_day(at):%m%y}").replace("n", "[0-9]")
    return re.fullmatch(pattern, number) is not None
