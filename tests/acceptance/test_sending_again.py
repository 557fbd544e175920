"""Sending again is always safe: whatever comes twice, a person has one number (decisions 6 and 7)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from mailflow.demo.story import LEFEBVRE, MARTIN, NGUYEN
from mailflow.mail.desk import OpenedAnswer
from mailflow.wire.names import return_name
from tests.acceptance.world import World, finished
from tests.support.letters import Fate, Letter, Writer, many, verdict
from tests.support.mail_world import INBOX, PROCESSED, SERVICE_USER


def answers_to(world: World, letter: Letter, at: datetime) -> list[OpenedAnswer]:
    """What came to the desk that wrote the letter."""
    found = world.answers(letter.software).get(letter.message_id, [])
    return [world.installation.open(letter.software, raw, at) for raw in found]


def run(world: World, mails: Sequence[bytes]) -> dict[str, int]:
    """Lay mails into the mailbox, run the service once; its counts."""
    world.post(mails)
    done = world.mailflow("run", "--once", "--json")
    assert done.code == 0, done.err
    world.settle()
    counts: dict[str, int] = done.json
    return counts


def test_the_same_mail_and_the_same_file_in_another_mail_have_the_same_answer(world: World, at: datetime) -> None:
    writer, lille = Writer(world.installation, at), world.software[0]
    file = writer.file(lille, MARTIN)
    first = writer.letter("the first", lille, file)
    other = writer.letter("the same file", lille, file, opaque=True)
    counts = run(world, [first.raw, first.raw, other.raw])
    assert (counts["registered"], counts["replayed"], counts["answered"]) == (1, 2, 3)
    counts = run(world, [other.raw, first.raw])
    assert (counts["registered"], counts["replayed"], counts["answered"]) == (0, 2, 2)
    opened = [*answers_to(world, first, at), *answers_to(world, other, at)]
    assert len(opened) == 5
    assert len({answer.files[return_name(file.name)] for answer in opened}) == 1
    assert verdict(world, [first, first, other, other, first], at) == []


def test_a_name_with_other_content_is_refused_and_content_under_another_name_has_the_same_number(
    world: World, at: datetime
) -> None:
    writer, lille = Writer(world.installation, at), world.software[0]
    file = writer.file(lille, MARTIN)
    other_name = replace(writer.file(lille, NGUYEN), octets=file.octets)
    other_content = replace(writer.file(lille, LEFEBVRE), name=file.name)
    first = writer.letter("the first", lille, file)
    renamed = writer.letter("another name", lille, other_name)
    changed = writer.letter("other content", lille, other_content)
    counts = run(world, [first.raw])
    assert counts["registered"] == 1
    counts = run(world, [renamed.raw, changed.raw])
    assert (counts["registered"], counts["replayed"], counts["refused"]) == (0, 1, 1)
    (told_first,), (told_renamed,), (told_changed,) = (answers_to(world, one, at) for one in (first, renamed, changed))
    number = told_first.files[return_name(file.name)].partition(b"numUnique>")[2][:18]
    assert number.isalnum()
    again = told_renamed.files[return_name(other_name.name)]
    assert number in again
    assert b"CTRL_ENV_0003" in again
    refused = told_changed.files[return_name(file.name)]
    assert b"CTRL_ENV_0002" in refused
    assert b"numUnique" not in refused


def test_mails_that_come_back_with_another_uidvalidity_are_put_away_without_an_answer(
    world: World, at: datetime
) -> None:
    writer, lille = Writer(world.installation, at), world.software[0]
    letter = writer.letter("one person", lille, writer.file(lille, MARTIN))
    run(world, [letter.raw])
    before = world.uidvalidity()
    with world.dovecot.session(SERVICE_USER) as client:
        client.select(PROCESSED, readonly=True)
        client.copy("1", INBOX)
    world.dovecot.forget_uids(SERVICE_USER)
    assert world.uidvalidity() != before
    counts = run(world, [])
    assert (counts["received"], counts["answered"], counts["sent"]) == (1, 0, 0)
    assert len(answers_to(world, letter, at)) == 1
    assert world.dovecot.messages(SERVICE_USER, INBOX) == []
    # What comes by SMTP again is a new delivery, with new Received fields, and answered again.
    world.send(letter.raw, lille)
    counts = run(world, [])
    assert (counts["received"], counts["replayed"], counts["sent"]) == (1, 1, 1)
    assert len(answers_to(world, letter, at)) == 2


@pytest.mark.long
def test_two_workers_give_one_number_to_a_person_of_two_desks(either_world: World, at: datetime) -> None:
    world = either_world
    writer, (lille, _, editor) = Writer(world.installation, at), world.software
    couples = [
        (desk, writer.file(desk, replace(MARTIN, surname=f"Rival{chr(97 + number)}"), fate=Fate.RIVAL))
        for number in range(12)
        for desk in (lille, editor)
    ]
    letters = [writer.letter("rival", desk, file) for desk, file in couples]
    letters += many(writer, world.software, 10)
    world.post([letter.raw for letter in letters])
    with world.changed_settings(("processes = 1", "processes = 1\nchunk = 3")) as config:
        workers = [world.spawn("run", "--once", "--json", config=config) for _ in range(2)]
        done = [finished(worker) for worker in workers]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    world.settle()
    assert sum(one.json["answered"] for one in done) == len(letters)
    assert verdict(world, letters, at) == []
