"""An answer that is too large for one mail comes in several, which together hold everything once."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from mailflow.demo.applications import Person
from mailflow.wire.names import return_name
from tests.acceptance.world import World
from tests.support.letters import Letter, Writer
from tests.support.mail_world import AUDIT_USER

LIMIT = 262_144
PEOPLE = [Person(surname=f"Grand{letter}", first_name="Ève", born_on=date(1980, 1, 1)) for letter in "abcdef"]


def answered(world: World, letter: Letter) -> list[bytes]:
    """The mails that answer, in the order of their parts, from a service that sends no larger ones."""
    world.post([letter.raw])
    limit = "mail_bytes_max = 60000"
    with world.changed_settings((limit, f"{limit}\nanswer_bytes_max = {LIMIT}")) as file:
        done = world.mailflow("run", "--once", "--json", config=file)
    assert (done.code, done.json["answered"]) == (0, 1), done.err
    world.settle()
    found = world.answers(letter.software)[letter.message_id]
    return sorted(found, key=lambda raw: str(message_from_bytes(raw, policy=default)["Subject"]))


@pytest.fixture
def letter(world: World, at: datetime) -> Letter:
    writer, lille = Writer(world.installation, at), world.software[0]
    return writer.letter("six people", lille, *(writer.file(lille, person) for person in PEOPLE))


def test_every_part_is_small_enough_says_which_it_is_and_together_they_hold_everything_once(
    world: World, letter: Letter, at: datetime
) -> None:
    parts = answered(world, letter)
    assert len(parts) > 1
    assert max(map(len, parts)) <= LIMIT
    outside = [message_from_bytes(raw, policy=default) for raw in parts]
    ids = [str(mail["Message-ID"]) for mail in outside]
    assert len(set(ids)) == len(parts)
    for number, mail in enumerate(outside, 1):
        assert re.fullmatch(rf"\[ÉCOLE\] Réponse à votre envoi 1 \(partie {number} sur {len(parts)}\)", mail["Subject"])
        assert str(mail["In-Reply-To"]) == letter.message_id
        assert mail["References"].split() == [letter.message_id, *([ids[0]] if number > 1 else [])]
    opened = [world.installation.open(letter.software, raw, at) for raw in parts]
    assert [(one.part, one.parts) for one in opened] == [(n, len(parts)) for n in range(1, len(parts) + 1)]
    names = [name for one in opened for name in one.files]
    returns = [return_name(file.name) for file in letter.files]
    assert sorted(opened[0].files) == sorted([*returns, "accuse-1.xml"]), "first what a program needs at once"
    assert sorted(name for name in names if name.startswith("ATT")) == sorted(set(names) - set(opened[0].files))
    assert len(names) == len(set(names)) == 2 * len(PEOPLE) + 1
    numbers = re.findall(r"numéro unique (\w{18})", opened[0].text)
    assert len(set(numbers)) == len(PEOPLE)
    copies = [str(message_from_bytes(raw)["Message-ID"]) for raw in world.dovecot.messages(AUDIT_USER)]
    assert sorted(copies) == sorted(ids)


def test_a_desk_reads_the_parts_in_any_order_and_is_told_which_is_missing(
    world: World, letter: Letter, tmp_path: Path
) -> None:
    parts = answered(world, letter)
    files = [tmp_path / f"{number}.eml" for number, _ in enumerate(parts, 1)]
    for file, raw in zip(files, parts, strict=True):
        file.write_bytes(raw)
    certificate, key = letter.software.identity.write(tmp_path)
    service = world.installation.folder / "keys/service.pem"

    def read(*answers: Path) -> tuple[int, Sequence[str], Sequence[int], str]:
        done = world.mailflow(
            *("desk-client", "read", *map(str, answers), "--key", str(key), "--certificate", str(certificate)),
            *("--service", str(service), "--out", str(tmp_path / "read"), "--json"),
        )
        return done.code, done.json["files"], done.json["missing"], done.err

    code, names, missing, _ = read(*reversed(files), files[0])
    assert (code, len(names), missing) == (0, 2 * len(PEOPLE) + 1, [])
    assert sorted(path.name for path in (tmp_path / "read").iterdir()) == names
    code, _, missing, said = read(files[0])
    assert (code, missing) == (75, list(range(2, len(parts) + 1)))
    assert "part 2 of the answer is missing" in said


def test_a_large_answer_to_a_repeat_has_the_same_octets_in_each_file(
    world: World, letter: Letter, at: datetime
) -> None:
    first = [world.installation.open(letter.software, raw, at).files for raw in answered(world, letter)]
    both = answered(world, letter)
    assert len(both) == 2 * len(first)
    by_name: dict[str, set[bytes]] = {}
    for raw in both:
        for name, octets in world.installation.open(letter.software, raw, at).files.items():
            by_name.setdefault(name, set()).add(octets)
    told = {name for name in by_name if not name.startswith("accuse")}
    assert {name for files in first for name in files if not name.startswith("accuse")} == told
    assert all(len(by_name[name]) == 1 for name in told)
