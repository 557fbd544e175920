"""Mails at which their server fails while a register is restored: none is left out and counted as accounted for."""

from dataclasses import replace
from typing import cast

import pytest

from mailflow import app
from mailflow.cli.restore import require_up_to_date
from mailflow.errors import Unavailable
from mailflow.mail import recovery
from mailflow.mail.hindsight import require_told, survey
from mailflow.mail.recovery import Recovery
from mailflow.settings import Settings
from tests.support.judging import mairie
from tests.support.operating import ACT
from tests.support.pki import shared_pki
from tests.support.restored import Loser, behind, lose, recovered, resume, stopped


@pytest.mark.parametrize("folder", ["Processed", "audit"])
async def test_a_mail_without_a_header_is_not_left_out(loser: Loser, folder: str) -> None:
    told = await lose(loser)
    loser.headless[folder].add(2)
    with pytest.raises(Unavailable, match=rf"1 mails in {folder} cannot be read now \(UID 2\)"):
        await behind(loser)
    loser.headless[folder].clear()
    await _brought_back(loser, told)


async def test_a_mail_that_may_be_a_lost_one_is_not_left_out(loser: Loser) -> None:
    told = await lose(loser)
    loser.bodiless["Processed"].add(3)
    with pytest.raises(Unavailable, match=r"\(UID 3\)"):
        await behind(loser)
    loser.bodiless["Processed"].clear()
    await _brought_back(loser, told)


@pytest.mark.long_on("postgresql")
async def test_a_mail_that_is_not_taken_in_is_not_accounted_for(loser: Loser) -> None:
    """The server was well when it was asked what is lost."""
    told = await lose(loser)
    register, now = loser.house.register, loser.house.now
    processed, audit = loser.trails
    loss = await survey(register, processed, audit)
    went_out = await recovery.read_answers(audit, loss, [mairie().decryption_key], [shared_pki().service_ec.der], now)
    processed.bodiless.add(3)
    todo = Recovery(loss=loss, went_out=went_out, jump=0)
    with pytest.raises(Unavailable, match=r"\(UID 3\)"):
        await recovery.recover(register, processed, todo, ACT, now)
    processed.bodiless.clear()
    answers, loss = loss.answers, await behind(loser)
    assert len(loss.mails) == 1, "the other one was taken in"
    assert loss.answers == answers, "though what was taken in has moved the numbering of mails on"
    done = await recovery.recover(register, processed, replace(todo, loss=loss), ACT, now)
    assert done.taken_in == 1
    await resume(loser)
    await loser.work()
    assert set(told) <= set(loser.told()[1 + len(told) :])


async def _brought_back(loser: Loser, told: list[tuple[str, int, str]]) -> None:
    await recovered(loser, jump=False)
    await resume(loser)
    await loser.work()
    assert set(told) <= set(loser.told()[1 + len(told) :])


async def test_numbers_are_not_resumed_while_a_mail_cannot_be_read(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(loser)
    await recovered(loser, jump=False)
    loser.house.mailbox.folders["Processed"].append(loser.house.mailbox.folders["Processed"][0])
    loser.headless["Processed"].add(len(loser.house.mailbox.folders["Processed"]))
    monkeypatch.setattr(app, "trails_of", lambda _: loser.trails)
    with pytest.raises(Unavailable):
        await require_up_to_date(cast("Settings", None), loser.house.register)


async def test_a_worker_that_begins_is_not_kept_waiting_by_one_mail(loser: Loser) -> None:
    """Of the latest ones that can be read each would show that something is lost."""
    await lose(loser)
    await recovered(loser, jump=False)
    await resume(loser)
    await loser.work()
    loser.headless["Processed"].add(1)
    loser.headless["audit"].add(1)
    await loser.work(loser.door())
    assert await stopped(loser) == ""


async def test_what_somebody_took_away_meanwhile_is_not_missing(loser: Loser) -> None:
    await lose(loser)
    processed, _ = loser.trails
    listing = await processed.list()
    wanted = listing.uids
    del loser.house.mailbox.folders["Processed"][-1]
    await require_told(processed, listing, wanted, wanted[:-1])
    with pytest.raises(Unavailable):
        await require_told(processed, listing, wanted, wanted[1:])
    with pytest.raises(Unavailable, match="2 mails"):
        await require_told(processed, replace(listing, uidvalidity=2), wanted, wanted[2:])
