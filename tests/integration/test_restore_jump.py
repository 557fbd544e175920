"""How far counters have to jump after a loss when nobody can read which numbers went out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import click
import pytest

from mailflow import app
from mailflow.cli import restore as command
from mailflow.cli.invocation import Act
from mailflow.core import numbers
from mailflow.mail import recovery, wording
from mailflow.mail.recovery import Recovery, WentOut
from mailflow.register import Register, acts
from mailflow.register.restoring import JUMP
from mailflow.settings import Settings
from tests.support.operating import ACT, operate
from tests.support.restored import Loser, a_letter, behind, lose, recovered, resume

SETTINGS = cast(
    "Settings",
    SimpleNamespace(
        limits=SimpleNamespace(requests_max=1_000),
        mailbox=SimpleNamespace(user="service", host="imap.example", processed="Processed"),
    ),
)


async def least(loser: Loser, in_one: int = 1_000) -> int:
    loss = await behind(loser)
    _, audit = loser.trails
    return await recovery.least_jump(loser.house.register, audit, loss, sorted(loss.answers), in_one=in_one)


async def test_a_jump_is_as_long_as_what_the_lost_answers_may_tell(loser: Loser) -> None:
    told = await lose(loser)
    assert len(told) <= await least(loser) <= 8 * len(told)
    assert await least(loser, in_one=1) == 3, "no answer tells more than a mail may ask for"


async def test_an_answer_of_which_a_part_is_missing_may_tell_all_that_a_mail_asked_for(loser: Loser) -> None:
    """The first part, with the numbers, leaves before the attestations that are counted."""
    await lose(loser)
    loss = await behind(loser)
    _, audit = loser.trails
    first, *_ = sorted(loss.answers)
    whole = await least(loser)
    audit.bodiless.add(first)
    assert await least(loser) >= whole + 900, "nor of one that cannot be read"
    audit.bodiless.clear()
    assert wording.parts_of(wording.part_subject("Réponse", 2, 3)) == 3
    assert wording.parts_of(wording.part_subject("Réponse", 1, 1)) == 1


async def test_what_an_earlier_life_of_the_backup_has_jumped_over_counts(loser: Loser) -> None:
    await lose(loser)
    await loser.work()
    await recovered(loser, jump=True)
    await resume(loser)
    await operate(loser.house.register, acts.Verb.RELEASE, loser.house.now, states=["held"])
    loser.house.mailbox.deliver(a_letter(6))
    await loser.work()
    gone_out = {number for _, _, number in loser.told()}
    assert max(numbers.parse(number).sequence for number in gone_out) > JUMP
    await loser.house.register.close()
    loser.use(loser.second)
    await loser.work()
    loss, far = await behind(loser), await least(loser)
    assert far > JUMP
    processed, _ = loser.trails
    todo = Recovery(loss=loss, went_out=WentOut(), jump=far)
    await recovery.recover(loser.house.register, processed, "service", todo, ACT, loser.house.now)
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(7))
    await loser.work()
    (_, _, new) = loser.told()[-1]
    assert new not in gone_out


async def test_a_jump_that_may_be_too_short_is_refused_and_told_how_long_it_has_to_be(
    loser: Loser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def register_of(_: Settings) -> AsyncIterator[Register]:
        yield loser.house.register

    await lose(loser)
    monkeypatch.setattr(app, "trails_of", lambda _: loser.trails)
    monkeypatch.setattr(app, "register_of", register_of)
    plan = Act(by="anna", why="the disk is lost", apply=False, as_json=False)
    with pytest.raises(click.ClickException, match=r"type --jump 1000$"):
        await command._restore(SETTINGS, None, 2, None, plan)
    await command._restore(SETTINGS, None, 1_000, None, plan)
    assert "let every counter leave 1000 numbers out" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "jump"), [([], 0), (["--jump"], JUMP), (["--jump", "25000"], 25_000)])
def test_a_jump_is_said_with_or_without_a_number(given: list[str], jump: int) -> None:
    context = command.restore.make_context("restore", [*given, "--why", "the disk is lost"])
    assert context.params["jump"] == jump
