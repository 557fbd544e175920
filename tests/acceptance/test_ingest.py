"""`mailflow ingest`: mails from files come to the same end as those in the mailbox, and a second time to nothing."""

import mailbox
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from mailflow.demo.story import MARTIN, NGUYEN
from tests.acceptance.world import Done, World
from tests.support.letters import Letter, Writer

Store = Callable[[Path, list[bytes]], list[str]]


def as_files(folder: Path, mails: list[bytes]) -> list[str]:
    paths = [folder / f"{number}.eml" for number in range(len(mails))]
    for path, raw in zip(paths, mails, strict=True):
        path.write_bytes(raw)
    return [str(path) for path in paths]


def as_mbox(folder: Path, mails: list[bytes]) -> list[str]:
    box = mailbox.mbox(folder / "mbox")
    for raw in mails:
        box.add(raw)
    box.close()
    return [str(folder / "mbox")]


def as_maildir(folder: Path, mails: list[bytes]) -> list[str]:
    box = mailbox.Maildir(folder / "maildir")
    for raw in mails:
        box.add(raw)
    return [str(folder / "maildir")]


def as_standard_input(folder: Path, mails: list[bytes]) -> list[str]:
    return ["-"]


def letters(world: World, at: datetime) -> list[Letter]:
    """One that gets its number, one that is refused by name, one that nobody is answered."""
    writer, (lille, region, editor) = Writer(world.installation, at), world.software
    return [
        writer.letter("good", lille, writer.file(lille, MARTIN)),
        writer.letter("a desk without mandate", editor, writer.file(region, NGUYEN)),
        writer.unsigned("unsigned", lille, "Bonjour"),
    ]


@pytest.mark.parametrize("store", [as_files, as_mbox, as_maildir, as_standard_input])
def test_files_come_to_the_same_end_as_the_mailbox_and_only_once(
    world: World, at: datetime, tmp_path: Path, store: Store
) -> None:
    written = letters(world, at)
    if store is as_standard_input:
        written = written[:1]
    mails = [letter.raw for letter in written]
    arguments = store(tmp_path, mails)

    def ingest() -> Done:
        return world.mailflow("ingest", *arguments, "--apply", "--json", stdin=mails[0])

    first = ingest()
    assert first.code == (65 if len(mails) > 1 else 0), first.err
    assert first.json["received"] == len(mails)
    rest = len(mails) // 2
    assert (first.json["registered"], first.json["refused"], first.json["set_aside"]) == (1, rest, rest)
    answered = {letter.message_id for letter in written if letter.files}
    assert first.json["sent"] == len(answered)
    world.settle()
    second = ingest()
    assert (second.code, second.json["answered"], second.json["set_aside"]) == (0, 0, 0), second.err
    world.settle()
    told = [id_ for desk in world.software for id_, mails in world.answers(desk).items() for _ in mails]
    assert sorted(told) == sorted(answered)
