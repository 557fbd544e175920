"""What a story in bad weather leaves behind adds up: cut moves and sends are explained, and nothing else is told. And
what is read of its mails by other means agrees with what was issued."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow.core.service_keys import KeyUse
from mailflow.ledger.differences import MEANINGS, Kind
from mailflow.ledger.reading import Places, Reading, Sheet, Terms
from mailflow.ledger.reckoning import Place, Status
from mailflow.mail.cms import open_decryption_key
from mailflow.register import evidence
from mailflow.register.evidence import Period
from mailflow.review.archive import Archive
from mailflow.review.rederiving import rederive
from tests.simulation.own_keys import key_files
from tests.simulation.registers import SqliteCopies
from tests.simulation.run import Run
from tests.simulation.service import MAKE_JUDGE
from tests.simulation.simulation import WHOLE_EVERY, play
from tests.simulation.story import Story
from tests.support.fake_folder import ACCOUNT, FakeFolder

NAMES = {Place.INBOX: "INBOX", Place.PROCESSED: "Processed", Place.QUARANTINE: "Quarantine"}
EXPECTED = (Kind.COPY_ALTERED, Kind.UNANSWERED)
"""The world forges copies under the Message-IDs of ours; the mail of the first requests was decided without a door."""
MAILS_MAX = 1_000
COPIES_TAKE = timedelta(hours=2)
"""Longer than any copy of the world is on its way."""


async def sheet_of(run: Run, *, octets: bool) -> Sheet:
    world = run.world
    places = Places(
        mailbox={place: FakeFolder(world.mailbox, name) for place, name in NAMES.items()},
        audit=FakeFolder(world.audit, "INBOX"),
        copies=world.audit,
    )
    terms = Terms(
        account=ACCOUNT,
        domain="service.example",
        settled=timedelta(0),
        keeps=timedelta(days=90),
        copy_takes=COPIES_TAKE,
        octets=octets,
    )
    world.pass_time(COPIES_TAKE)
    return await Reading(register=run.house.register, places=places, terms=terms, at=world.now).sheet()


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, pytest.param(2, marks=pytest.mark.long)])
def test_a_story_adds_up(number: int, tmp_path: Path) -> None:
    sheets: list[Sheet] = []
    read: list[int] = []

    async def reconcile(run: Run) -> list[str]:
        sheets.append(await sheet_of(run, octets=True))
        register = run.house.register
        async with register.read() as tx:
            accepted, _ = await evidence.acceptances(tx, Period(), (), 0, MAILS_MAX)
        read.extend(one.intake for one in accepted)
        keys = tuple(open_decryption_key(one.pair()) for one in key_files().all() if one.use is KeyUse.DECRYPTION)
        archive = Archive(register, lambda trust: replace(MAKE_JUDGE(trust), keys=keys))
        doubts = await rederive(register, archive, read)
        left = [one for one in sheets[0].told if not MEANINGS[one.kind].adds_up and one.kind not in EXPECTED]
        return [str(one) for one in (*left, *doubts)]

    assert play(Story(number * WHOLE_EVERY), SqliteCopies(folder=tmp_path).fresh(), reconcile) == []
    (sheet,) = sheets
    lying = Counter(dict.fromkeys(Status, 0))
    for (_, status), count in sheet.mails.items():
        lying[status] += count
    assert lying[Status.KNOWN] > 20
    assert (lying[Status.WAITING], lying[Status.UNKNOWN]) == (0, 0)
    assert sheet.copies_of_ours > 10
    assert sheet.found[Kind.UNANSWERED] == 1
    assert len(read) > 5
