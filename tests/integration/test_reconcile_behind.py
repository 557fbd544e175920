"""Reconciliation of a register that is behind its mailboxes: it takes nothing in, which is for `mailflow restore`."""

import re
from collections import Counter
from datetime import timedelta

import pytest

from mailflow.cli import reconcile
from mailflow.core.calendar import PARIS
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.errors import MailflowError
from mailflow.ledger.differences import Kind
from mailflow.register import issuing, restoring
from mailflow.register.issuing import SERVICE, Behind
from mailflow.register.journal import Act
from tests.support.operating import ACT
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, lose, recovered, resume, stopped
from tests.support.sheets import mend, read_sheet


async def _taken_in(loser: Loser) -> int:
    return len(await rows(loser.house.register, "SELECT id FROM intake"))


async def test_it_takes_nothing_in_while_the_register_is_behind_and_stops_everything(loser: Loser) -> None:
    told = await lose(loser)
    sheet = await read_sheet(loser)
    assert sheet.found[Kind.UNKNOWN] == 2
    before = await _taken_in(loser)
    with pytest.raises(MailflowError, match="see mailflow restore"):
        await mend(loser, sheet, {Kind.UNKNOWN})
    assert (await _taken_in(loser), await stopped(loser)) == (before, SERVICE)
    assert (await recovered(loser, jump=False)).taken_in == 2
    await resume(loser)
    await loser.work()
    assert set(told) <= set(loser.told()[1 + len(told) :])
    assert not (await read_sheet(loser)).found[Kind.UNKNOWN]


async def test_what_is_unknown_in_a_register_that_is_not_behind_is_taken_in_and_held(loser: Loser) -> None:
    loser.house.mailbox.deliver(a_letter(1))
    await loser.work()
    loser.house.mailbox.deliver(a_letter(6))
    _, laid_there = loser.house.mailbox.inbox.popitem()
    loser.house.mailbox.folders.setdefault("Quarantine", []).append(laid_there)
    sheet = await read_sheet(loser)
    stop = Act(by=SERVICE, why="behind")
    await issuing.stop(loser.house.register, stop, loser.house.now)
    with pytest.raises(Behind):
        await mend(loser, sheet, {Kind.UNKNOWN})
    await resume(loser)
    assert (await mend(loser, sheet, {Kind.UNKNOWN}))[Kind.UNKNOWN] == 1
    assert [row.state for row in await rows(loser.house.register, "SELECT state FROM intake ORDER BY id")] == [
        "answered",
        "held",
    ]


async def test_numbers_that_are_kept_and_not_given_again_are_passed_over_and_not_unexplained(loser: Loser) -> None:
    await lose(loser)
    del loser.house.mailbox.folders["Processed"][-1]  # its request never comes again
    await loser.work()
    await recovered(loser, jump=False)
    sheet = await read_sheet(loser)
    assert not sheet.found[Kind.HOLE]
    (row,) = reconcile.numbers(sheet)
    assert (row["given"], row["used"], row["passed over"], row["unexplained"]) == (5, 1, 4, 0)
    await resume(loser)
    await loser.work()
    (row,) = reconcile.numbers(await read_sheet(loser))
    assert (row["given"], row["used"], row["passed over"], row["unexplained"]) == (5, 4, 1, 0)


async def test_each_stretch_that_is_passed_over_is_told_with_why_when_and_by_whom(
    loser: Loser, capsys: pytest.CaptureFixture[str]
) -> None:
    loser.house.mailbox.deliver(a_letter(1))
    await loser.work()
    (first,) = await loser.numbers()
    name, at, later = f"{first[:3]} {first[3:7]}", loser.house.now, loser.house.now + timedelta(hours=1)
    async with loser.house.register.begin() as tx:
        kept = [
            (restoring.Place(desk=DeskCode("59123"), digest=f"{one:064}", position=0), sequence_of(first, one))
            for one in (4, 5, 7)
        ]
        await restoring.reserve(tx, kept, Act(by="anna", why="the disk"), at)
        await restoring.jump(tx, 10, Act(by="paul", why="no key"), later)
    sheet = await read_sheet(loser)
    (row,) = [one for one in reconcile.numbers(sheet) if one["territory"] == name[:3]]
    told = [one for one in reconcile.passed_over(sheet) if one["territory"] == name[:3]]
    here = [one for one in told if one["month"] == name[4:]]
    assert [
        (one["first"], one["last"], one["count"], one["cause"], one["at"], one["by"], one["why"]) for one in here
    ] == [
        (2, 3, 2, "never-left", at, "anna", "the disk"),
        (6, 6, 1, "never-left", at, "anna", "the disk"),
        (8, 17, 10, "jump", later, "paul", "no key"),
        (4, 5, 2, "kept", None, "", ""),
        (7, 7, 1, "kept", None, "", ""),
    ]
    assert sum(int(str(one["count"])) for one in told) == row["passed over"], "the sum is of these"
    reconcile._print_passed_over(sheet)
    said = capsys.readouterr().out
    assert f"  - {name}: 2-3\n  - {name}: 6\n" in said
    assert f"{later.astimezone(PARIS):%d/%m/%Y %H:%M} by paul: no key\n" in said
    assert re.search(r"\n  and \d+ more\n", said), "a jump is of each territory and month"
    assert said.count("\n") < 3 * (reconcile.SHOWN_MAX + 3), "of each act the terminal has the first"


async def test_of_many_stretches_the_first_of_each_territory_are_told(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "STRETCHES_MAX", 2)
    async with loser.house.register.begin() as tx:
        for _ in range(3):
            await restoring.jump(tx, 10, ACT, loser.house.now)
    sheet = await read_sheet(loser)
    told = Counter(row["territory"] for row in reconcile.passed_over(sheet))
    assert set(told.values()) == {2}
    assert len(told) == len({name[:3] for name in sheet.passed_over})


def sequence_of(number: str, sequence: int) -> UniqueNumber:
    """The one of the same territory, month and desk with that sequence."""
    return UniqueNumber(f"{number[:7]}{sequence:06}{number[13:]}")
