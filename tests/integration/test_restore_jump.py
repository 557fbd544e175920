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
from mailflow.register import Register, acts, restoring
from mailflow.register.restoring import JUMP
from mailflow.settings import Settings
from tests.support.fake_mailer import Fate
from tests.support.judging import dem_part, mailed, signed
from tests.support.operating import operate
from tests.support.restored import Loser, a_letter, behind, lose, recover, recovered, resume

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


async def test_a_jump_is_as_long_as_what_the_lost_answers_may_tell(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await lose(loser)
    assert await least(loser) == JUMP, "a number that was told may come after many that never left"
    monkeypatch.setattr(restoring, "JUMP", 0)
    assert len(told) <= await least(loser) <= 8 * len(told)
    assert await least(loser, in_one=1) == 3, "no answer tells more than a mail may ask for"


async def test_an_answer_of_which_a_part_is_missing_may_tell_all_that_a_mail_asked_for(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part, with the numbers, leaves before the attestations that are counted."""
    monkeypatch.setattr(restoring, "JUMP", 0)
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


async def begin_second_life(loser: Loser) -> None:
    """The backup is restored by a jump, and what was held is decided."""
    await lose(loser)
    await loser.work()
    await recovered(loser, jump=True)
    await resume(loser)
    await operate(loser.house.register, acts.Verb.RELEASE, loser.house.now, states=["held"])


async def first_number_of_the_third(loser: Loser) -> str:
    """The same backup is restored once more, by the least jump."""
    await loser.house.register.close()
    loser.use(loser.second)
    await loser.work()
    loss, far = await behind(loser), await least(loser)
    await recover(loser, Recovery(loss=loss, went_out=WentOut(), jump=far))
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(7))
    await loser.work()
    return loser.told()[-1][-1]


async def test_what_an_earlier_life_of_the_backup_has_jumped_over_counts(loser: Loser) -> None:
    await begin_second_life(loser)
    loser.house.mailbox.deliver(a_letter(6))
    await loser.work()
    gone_out = {number for *_, number in loser.told()}
    assert max(numbers.parse(number).sequence for number in gone_out) > JUMP
    assert await first_number_of_the_third(loser) not in gone_out


async def test_a_number_that_went_out_after_many_that_never_left_is_not_given_again(loser: Loser) -> None:
    """No answer tells of those, but the counter was beyond them."""
    many = "abcde"
    await begin_second_life(loser)
    await loser.work()
    loser.house.mailer.fates += [Fate.DEFER_AT_ONCE] * len(many)
    for name in many:
        raw = mailed(signed(dem_part(ord(name), surname=f"Nom{name}", count=20)))
        loser.house.mailbox.deliver(raw.replace(b"<1@mairie.example>", f"<{name}@mairie.example>".encode()))
    await loser.work()
    loser.house.mailbox.deliver(a_letter(6))
    await loser.work()
    last = numbers.parse(loser.told()[-1][-1]).sequence
    assert last > JUMP + 20 * len(many)
    assert numbers.parse(await first_number_of_the_third(loser)).sequence > last


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
    with pytest.raises(click.ClickException, match=r"type --jump 10000$"):
        await command._restore(SETTINGS, None, JUMP - 1, None, plan)
    await command._restore(SETTINGS, None, JUMP, None, plan)
    assert f"let every counter leave {JUMP} numbers out" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "jump"), [([], 0), (["--jump"], JUMP), (["--jump", "25000"], 25_000)])
def test_a_jump_is_said_with_or_without_a_number(given: list[str], jump: int) -> None:
    context = command.restore.make_context("restore", [*given, "--why", "the disk is lost"])
    assert context.params["jump"] == jump
