"""Whatever is done to requests, in whatever order: a chunk comes to the same as its mails one by one, and all that is
kept of a request stays in step: content, history, the persons that it holds, those that are found by near matches, NIR.
"""

import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailflow.core.form import HousingRequest
from mailflow.core.model import Outcome, Refused, RequestState
from mailflow.core.signers import signers
from mailflow.register import Register, history, nir, requests
from mailflow.wire.envelope import RequestElement
from tests.support.databases import VAULT, SqliteFiles, copy_register
from tests.support.lives import registered, three_desks, with_nir
from tests.support.reception import Reception, Sent, a_request, about, an_order, number_of, sent
from tests.support.records import another, rows
from tests.support.requests import RECEIVED_AT

NAMES = ("Durand", "Petit", "Moreau", "Lefort")
NIRS = ("290025935012387", "290025935012486")
DEPOSITED = "2025-02-01"
"""So that a request can be renewed on 15 January 2026."""
KNOWN = 3
"""Requests that are there from the beginning."""
MOTIVES = ("RADABA", "RADCON", None)


@pytest.fixture(scope="module")
def beginning() -> Iterator[Path]:
    """A register with a couple's request, one of a single person, and one that has ended; to be copied."""
    with tempfile.TemporaryDirectory() as folder:
        url = SqliteFiles(folder=Path(folder)).fresh(migrated=True)
        asyncio.run(_begin(url))
        yield Path(url.removeprefix("sqlite:///"))


async def _begin(url: str) -> None:
    async with another(url) as opened:
        reception = await three_desks(opened)
        await registered(reception, with_nir(a_request("Durand", "Petit", deposited=DEPOSITED), NIRS[0]), 1)
        await registered(reception, a_request("Moreau", deposited=DEPOSITED), 2)
        ended = await registered(reception, a_request("Lefort", deposited=DEPOSITED), 3)
        (outcome,) = await reception.act("RAD", about(ended, "Lefort", motive="RADABA"), sequence=4)
        assert number_of(outcome) == ended


@st.composite
def forms_drawn(draw: st.DrawFn, desk: str) -> HousingRequest:
    applicant, other = draw(st.permutations(NAMES).map(lambda names: names[:2]))
    couple = draw(st.booleans())
    form = a_request(applicant, other if couple else None, desk=desk, deposited=DEPOSITED)
    number = draw(st.sampled_from([None, None, *NIRS]))
    return with_nir(form, number) if number else form


@st.composite
def files_drawn(draw: st.DrawFn) -> tuple[str, str, list[RequestElement]]:
    """Operation, desk, and what is asked; of requests that are there or not, by their holders or others."""
    operation = draw(st.sampled_from(["CRE", "CRS", "MOD", "MOD", "REN", "RAD", "RAD", "SUP"]))
    desk = draw(st.sampled_from(["59123", "59777"]))
    elements = []
    for _ in range(draw(st.integers(1, 3))):
        if operation == "CRE":
            elements.append(RequestElement(form=draw(forms_drawn(desk))))
            continue
        number = f"059022500000{draw(st.integers(1, KNOWN))}59123"
        brings_form = operation in ("CRS", "MOD") or (operation == "REN" and draw(st.booleans()))
        element = about(
            number,
            draw(st.sampled_from(NAMES)),
            form=draw(forms_drawn(desk)) if brings_form else None,
            motive=draw(st.sampled_from(MOTIVES)) if operation == "RAD" else None,
        )
        elements.append(element)
    return operation, desk, elements


@st.composite
def mails_drawn(draw: st.DrawFn) -> list[Sent]:
    mails = []
    for sequence, (operation, desk, elements) in enumerate(draw(st.lists(files_drawn(), min_size=2, max_size=7)), 10):
        late = draw(st.sampled_from([0, 0, 0, 15]))
        dated_at = RECEIVED_AT + timedelta(seconds=sequence - late)
        file = an_order(operation, *elements, sequence=sequence, desk=desk, dated_at=dated_at)
        mails.append(sent(file, sender={"59123": "mairie", "59777": "conseil"}[desk]))
    return mails


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(mails=mails_drawn())
def test_a_chunk_comes_to_the_same_as_its_mails_one_by_one(beginning: Path, mails: list[Sent]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = []
        for name, chunks in (("chunk", [mails]), ("single", [[mail] for mail in mails])):
            url = copy_register(beginning, Path(folder) / f"{name}.db")
            told.append(asyncio.run(_decide(url, chunks)))
    assert told[0] == told[1]


async def _decide(url: str, chunks: Sequence[Sequence[Sent]]) -> tuple[object, object]:
    """What is told, and how every request stands at the end; numbers as they come up."""
    opened = Register.open(url, VAULT)
    names = {f"059022500000{n}59123": f"known {n}" for n in range(1, KNOWN + 1)}

    def plain(outcome: Outcome) -> object:
        if isinstance(outcome, Refused):
            return [(anomaly.code.name, anomaly.path) for anomaly in outcome.anomalies]
        name = names.setdefault(outcome.number, f"new {len(names)}")
        return name, outcome.state, outcome.expires_on, outcome.replayed, [a.code.name for a in outcome.anomalies]

    try:
        reception = Reception(opened)
        receipts = [receipt for chunk in chunks for receipt in await reception.submit(*chunk)]
        told = [[plain(o) for file in receipt.files for o in file.outcomes] for receipt in receipts]
        return told, await _standing(reception, names)
    finally:
        await opened.close()


async def _standing(reception: Reception, names: dict[str, str]) -> object:
    """Every request with all that is kept of it, each thing held against the others."""
    numbers_of: dict[str, list[str | None]] = defaultdict(list)
    found: dict[str, object] = {}
    holding = Counter(row.request_id for row in await rows(reception.register, "SELECT * FROM active_identity"))
    near = Counter(row.request_id for row in await rows(reception.register, "SELECT * FROM near_person"))
    tokens = await rows(reception.register, "SELECT DISTINCT person FROM near_token")
    assert len(tokens) == sum(near.values())
    async with reception.register.read() as tx:
        stored = await requests.find_all(tx, [row.number for row in await _numbers(reception)])
        kept = await nir.of(tx, [one.id for one in stored.values()])
        for number, one in stored.items():
            form = HousingRequest.model_validate_json(one.payload or b"")
            holders = signers(form, kept.get(one.id, {})) if one.life.state is RequestState.ACTIVE else ()
            for holder in holders:
                numbers_of[holder.key].append(holder.nir)
            assert holding[one.id] == near[one.id] == len(holders)
            past = [entry.entry for entry in await history.of_number(tx, number)]
            assert [entry.revision for entry in past] == list(range(1, one.revision + 1))
            assert past[-1].life == one.life
            found[names[number]] = (
                one.life,
                one.dated_at,
                form,
                kept.get(one.id, {}),
                [(entry.operation, entry.life, entry.dated_at, entry.content_before) for entry in past],
            )
    homonyms = [given for given in numbers_of.values() if len(given) > 1]
    assert all(None not in given and len(set(given)) == len(given) for given in homonyms), "by NIR alone"
    return sorted(found.items(), key=lambda item: item[0])


async def _numbers(reception: Reception) -> Sequence[Any]:
    return await rows(reception.register, "SELECT number FROM request ORDER BY number")
