"""What the sweep is there to find, it finds: each defect is planted into the worker, and must be told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import composing
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.smtp import SmtpMailer
from mailflow.register import numbers
from mailflow.selftest.points import Fault, Point
from tests.faults import kills, memory
from tests.faults.stage import Stage
from tests.support.available import require
from tests.support.mail_world import SERVICE_USER, MailWorld

Plant = Callable[[pytest.MonkeyPatch, MailWorld], None]


def an_answer_goes_out_twice(patch: pytest.MonkeyPatch, _: MailWorld) -> None:
    send = SmtpMailer.send

    async def twice(self: SmtpMailer, outgoing: Any, before_data: Any) -> Any:
        async def ours() -> bool:
            return True

        result = await send(self, outgoing, before_data)
        patch.setattr(SmtpMailer, "send", send)
        await send(self, outgoing, ours)
        return result

    patch.setattr(SmtpMailer, "send", twice)


def a_number_is_given_to_nobody(patch: pytest.MonkeyPatch, _: MailWorld) -> None:
    allocate = numbers.allocate

    async def one_more(tx: Any, territory: str, month: str, count: int) -> int:
        return await allocate(tx, territory, month, count + 1)

    patch.setattr(numbers, "allocate", one_more)


def a_mail_is_gone_once_it_was_moved(patch: pytest.MonkeyPatch, world: MailWorld) -> None:
    move = ImapMailbox.move

    async def losing(self: ImapMailbox, listing: Any, uids: Any, folder: str) -> None:
        await move(self, listing, uids, folder)
        with world.mailbox.session(SERVICE_USER) as client:
            client.select(folder)
            client.store("1", "+FLAGS.SILENT", r"(\Deleted)")
            client.expunge()

    patch.setattr(ImapMailbox, "move", losing)


def no_answer_is_composed_in_the_first_batch(error: Exception) -> Plant:
    def plant(patch: pytest.MonkeyPatch, _: MailWorld) -> None:
        compose = composing.compose

        async def failing(door: Any) -> Any:
            patch.setattr(composing, "compose", compose)  # what the next batch is made with
            raise error

        patch.setattr(composing, "compose", failing)

    return plant


PLANTED: dict[str, Plant] = {
    "1 identical copies of an answer": an_answer_goes_out_twice,
    "the register has requests and numbers": a_number_is_given_to_nobody,
    "Processed: 1 mails are missing": a_mail_is_gone_once_it_was_moved,
    "unforeseen: stage=turn-failed": no_answer_is_composed_in_the_first_batch(KeyError("planted")),
    "could not work though nothing was broken": no_answer_is_composed_in_the_first_batch(Unavailable("planted")),
}


@pytest.mark.long
async def test_each_planted_defect_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("dovecot")
    require("postfix")
    async with Stage(tmp_path) as stage:
        assert not (await stage.play()).wrong
        for told, plant in PLANTED.items():
            with monkeypatch.context() as patch:
                plant(patch, stage.world)
                played = await stage.play()
            assert any(told in sentence for sentence in played.wrong), (told, played.wrong)
        assert not (await stage.play()).wrong


@pytest.mark.long
async def test_a_receipt_goes_before_answers_that_two_faults_made_late(tmp_path: Path) -> None:
    require("dovecot")
    require("postfix")
    killed = Fault(point=Point(kind="kill", name="intake.settle.after-commit", nth=1), how=kills.KILLED)
    exhausted = Fault(point=Point(kind="memory", name="typeset", nth=1), how=memory.EXHAUSTED)
    async with Stage(tmp_path) as stage:
        played = await stage.play(killed, exhausted)
        came = [raw for software in stage.world.software for raw in stage.world.dovecot.messages(software.sender)]
    assert played.reached
    assert not played.wrong
    assert len(came) > len([letter for letter in stage.letters if letter.files])
