"""The registrar when several submit at once, when there is much, and in whatever order it comes."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailflow.core.model import Outcome, Refused, Registered
from mailflow.register import Register
from tests.support.databases import VAULT, SqliteFiles, copy_register
from tests.support.processes import at_once, two_processes
from tests.support.reception import Reception, Sent, a_file, a_request, number_of, renamed, sent
from tests.support.records import another, rows


@pytest.fixture
async def reception(register: Register) -> Reception:
    """Two senders, each for a desk of its own, and one for both."""
    opened = Reception(register)
    await opened.enrol()
    await opened.enrol("conseil", "59777")
    return opened


# At once


def told(outcomes: Sequence[tuple[Outcome, ...]]) -> Counter[str]:
    """How often each was said."""
    said: Counter[str] = Counter()
    for outcome in (one for several in outcomes for one in several):
        if isinstance(outcome, Registered):
            said["replayed" if outcome.replayed else "registered"] += 1
        else:
            said[" ".join(anomaly.code.name for anomaly in outcome.anomalies)] += 1
    return said


async def test_of_one_person_at_two_desks_exactly_one_is_registered(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        mine, theirs = a_file(a_request("A", "B")), a_file(a_request("B", desk="59777"), desk="59777")
        outcomes = await at_once(processes, sent(mine), sent(theirs, sender="conseil"))
    assert told(outcomes) == {"registered": 1, "REQUEST_EXISTS": 1}
    assert len(await rows(reception.register, "SELECT * FROM request")) == 1


async def test_persons_in_opposite_order_do_not_stop_each_other(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        mine = a_file(a_request("A"), a_request("B"))
        theirs = a_file(a_request("B", desk="59777"), a_request("A", desk="59777"), desk="59777")
        outcomes = await at_once(processes, sent(mine), sent(theirs, sender="conseil"))
    assert told(outcomes) == {"registered": 2, "REQUEST_EXISTS": 2}


async def test_of_one_file_in_two_mails_exactly_one_is_decided(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        file = a_file(a_request("A"))
        ((first,), (second,)) = await at_once(processes, sent(file), sent(file))
    assert first == second
    assert len(await rows(reception.register, "SELECT * FROM request")) == 1
    kinds = [row.kind for row in await rows(reception.register, "SELECT kind FROM journal WHERE kind LIKE 'file%'")]
    assert sorted(kinds) == ["file-decided", "file-repeated"]


async def test_of_one_name_with_two_contents_exactly_one_is_decided(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        outcomes = await at_once(processes, sent(a_file(a_request("A"))), sent(a_file(a_request("B"))))
    assert told(outcomes) == {"registered": 1, "": 1}


async def test_of_one_content_under_two_names_exactly_one_is_decided(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        file = a_file(a_request("A"), a_request("B"))
        outcomes = await at_once(processes, sent(file), sent(renamed(file, 2)))
    assert told(outcomes) == {"registered": 2, "replayed": 2}


async def test_of_one_reference_exactly_one_request_is_registered(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        same = [sent(a_file(a_request("A"), a_request(name), sequence=n, references=["d-1"])) for n, name in
                enumerate("BC", 1)]  # fmt: skip
        assert told(await at_once(processes, *same)) == {"registered": 3, "replayed": 1}
        other = [sent(a_file(a_request(name), sequence=n, references=["d-2"])) for n, name in enumerate("DE", 3)]
        assert told(await at_once(processes, *other)) == {"registered": 1, "REFERENCE_TAKEN": 1}


async def test_numbers_taken_at_once_are_dense(reception: Reception, register_url: str) -> None:
    async with two_processes(reception, register_url) as processes:
        mine = a_file(*(a_request(f"Mine{letter}") for letter in "ABCDE"))
        theirs = a_file(*(a_request(f"Theirs{letter}", desk="59777") for letter in "ABCDE"), desk="59777")
        outcomes = await at_once(processes, sent(mine), sent(theirs, sender="conseil"))
    sequences = sorted(number_of(outcome)[7:13] for several in outcomes for outcome in several)
    assert sequences == [f"{n:06}" for n in range(1, 11)]


# Much


def surname(number: int) -> str:
    return "Nom" + "".join(chr(97 + int(digit)) for digit in str(number))


async def test_a_chunk_of_fifty_files(reception: Reception) -> None:
    mails = [sent(a_file(a_request(surname(n)), a_request(surname(n % 10)), sequence=n)) for n in range(50)]
    receipts = await reception.submit(*mails)
    outcomes = [file.outcomes for receipt in receipts for file in receipt.files]
    assert [number_of(first)[7:13] for first, _ in outcomes] == [f"{n:06}" for n in range(1, 51)]
    assert told([(second,) for _, second in outcomes]) == {"REQUEST_EXISTS": 50}


async def test_a_file_of_a_thousand_requests(reception: Reception) -> None:
    file = a_file(*(a_request(surname(n)) for n in range(1000)))
    outcomes = await reception.outcomes(file)
    assert [number_of(outcome)[7:13] for outcome in outcomes] == [f"{n:06}" for n in range(1, 1001)]
    assert await reception.outcomes(file) == outcomes


# Whatever comes


requests_drawn = st.builds(
    a_request,
    st.sampled_from("ABC"),
    st.none() | st.sampled_from("DE"),
    deposited=st.sampled_from(["2026-01-12", "2025-12-01"]),
    complete=st.sampled_from([True, True, True, False]),
)
files_drawn = st.builds(
    lambda forms, sequence, references: a_file(*forms, sequence=sequence, references=references),
    st.lists(requests_drawn, min_size=1, max_size=2),
    st.integers(1, 4),
    st.lists(st.sampled_from([None, None, "d-1", "d-2"]), max_size=2),
)


@st.composite
def mails_drawn(draw: st.DrawFn) -> list[Sent]:
    pool = draw(st.lists(files_drawn, min_size=1, max_size=3))
    again = st.sampled_from(pool) | st.builds(renamed, st.sampled_from(pool), st.integers(1, 6))
    return [sent(*draw(st.lists(again, min_size=1, max_size=2))) for _ in range(draw(st.integers(1, 4)))]


@pytest.fixture(scope="module")
def enrolled_register() -> Iterator[Path]:
    """A register with the enrolments and nothing else, to be copied."""
    with tempfile.TemporaryDirectory() as folder:
        url = SqliteFiles(folder=Path(folder)).fresh(migrated=True)
        asyncio.run(_enrol(url))
        yield Path(url.removeprefix("sqlite:///"))


async def _enrol(url: str) -> None:
    async with another(url) as opened:
        await Reception(opened).enrol()


async def _decide(url: str, chunks: Sequence[Sequence[Sent]]) -> list[list[object]]:
    """What is told, in order, with numbers in the order of their first appearance instead of themselves."""
    opened = Register.open(url, VAULT)
    try:
        receipts = [receipt for chunk in chunks for receipt in await Reception(opened).submit(*chunk)]
    finally:
        await opened.close()
    names: dict[str, int] = {}

    def plain(outcome: Outcome) -> object:
        if isinstance(outcome, Refused):
            return [(anomaly.code.name, anomaly.path) for anomaly in outcome.anomalies]
        return names.setdefault(outcome.number, len(names)), outcome.number[:7], outcome.replayed

    return [
        [(file.repeated, [a.code.name for a in file.anomalies], [plain(o) for o in file.outcomes]) for file in r.files]
        for r in receipts
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(mails=mails_drawn())
def test_one_by_one_and_in_one_chunk_come_to_the_same(enrolled_register: Path, mails: list[Sent]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = []
        for name, chunks in (("chunk", [mails]), ("single", [[mail] for mail in mails])):
            url = copy_register(enrolled_register, Path(folder) / f"{name}.db")
            told.append(asyncio.run(_decide(url, chunks)))
    assert told[0] == told[1]
    assert "DESK_NOT_MANDATED" not in str(told), "the enrolments are there"
