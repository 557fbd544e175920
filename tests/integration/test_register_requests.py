"""Requests: a number once, a reference once, a person once; sequences without a hole."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.numbers import SEQUENCE_MAX, DeskCode, Territory, UniqueNumber
from mailflow.jobs import work
from mailflow.jobs.loose_keys import LOOSE_KEYS
from mailflow.register import ConstraintViolated, Register, Transaction, files, identities, journal, numbers, requests
from tests.support.jobs import TERMS
from tests.support.records import (
    DESK,
    NORD,
    NOW,
    a_file,
    a_mail,
    a_request,
    another,
    execute,
    key_rows,
    person,
    registered,
    rows,
    take_in,
)


async def _record(tx: Transaction, mail: int, record: str = "f1") -> None:
    await files.claim(tx, [a_file(record, mail, sequence=int(record[1:]))])


async def test_a_request_is_found_by_its_number(register: Register) -> None:
    number = await registered(register, payload=b"all that it says")
    async with register.read() as tx:
        found = await requests.find(tx, number)
        assert await requests.find(tx, "059112699999959123") is None
    assert found is not None
    assert (found.id, found.number, found.territory, found.desk) == ("r1", number, NORD, DESK)
    assert (found.life, found.registered_at, found.revision) == (a_request("", 1, "").life, NOW, 1)
    assert (found.payload, found.file_record) == (b"all that it says", "f1")


async def test_a_number_is_given_once(register: Register) -> None:
    number = await registered(register)

    async def again() -> None:
        async with register.begin() as tx:
            new = replace(a_request("r2", 1, "f1"), position=9)
            assert new.number == number
            await requests.insert(tx, [new], NOW)

    before = await key_rows(register)
    with pytest.raises(ConstraintViolated):
        await again()
    # A key is there before what it seals: that of what was refused is loose.
    assert len(await key_rows(register)) == len(before) + 1
    await work.run(register, LOOSE_KEYS, TERMS, NOW + timedelta(days=1))
    assert await key_rows(register) == before


async def test_a_reference_is_bound_by_the_first(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await _record(tx, mail)
        bound = await requests.bind_references(tx, [(DESK, "a", "r1", "d1"), (DESK, "b", "r2", "d2")])
        assert bound == {(DESK, "a"), (DESK, "b")}
        asked = [(DESK, "a"), (DESK, "z"), (DeskCode("62001"), "a")]
        assert await requests.known_references(tx, asked) == {
            (DESK, "a"): requests.KnownReference(request_id="r1", digest="d1", number=None, life=None, revision=None)
        }
        await requests.insert(tx, [a_request("r1", 1, "f1"), a_request("r2", 2, "f1")], NOW)
    async with register.begin() as tx:
        other = DeskCode("62001")
        bound = await requests.bind_references(tx, [(DESK, "a", "r1", "d3"), (other, "a", "r1", "d3")])
        assert bound == {(other, "a")}
        known = await requests.known_references(tx, [(DESK, "a")])
        assert known[DESK, "a"].number == a_request("r1", 1, "f1").number
        assert (known[DESK, "a"].digest, known[DESK, "a"].revision) == ("d1", 1)


async def test_of_one_reference_twice_in_a_chunk_the_first_is_bound(register: Register) -> None:
    async with register.begin() as tx:
        assert await requests.bind_references(tx, [(DESK, "a", "r1", "d1"), (DESK, "a", "r2", "d2")]) == {(DESK, "a")}
        known = await requests.known_references(tx, [(DESK, "a")])
        assert known[DESK, "a"].request_id == "r1"
        await requests.release(tx, ["r1", "r2"])


async def test_a_person_has_one_active_request_in_a_territory(register: Register) -> None:
    number = await registered(register)
    async with register.begin() as tx:
        elsewhere = replace(person("dupont", "r1"), territory=Territory("062"))
        claims = [person("martin", "r1"), person("dupont", "r1"), elsewhere]
        assert await identities.claim(tx, claims) == {0, 2}
        held = await identities.holders(tx, [(NORD, "dupont"), (NORD, "nobody")])
        assert held == {(NORD, "dupont"): identities.Holder(request_id="r1", number=number, desk=DESK)}


async def test_a_person_claimed_in_this_transaction_is_held_without_a_number(register: Register) -> None:
    async with register.begin() as tx:
        await identities.claim(tx, [person("dupont", "r1")])
        assert await identities.claim(tx, [person("dupont", "r2")]) == set()
        held = await identities.holders(tx, [(NORD, "dupont")])
        assert held[NORD, "dupont"] == identities.Holder(request_id="r1", number=None, desk=None)
        await requests.release(tx, ["r1"])
        assert await identities.holders(tx, [(NORD, "dupont")]) == {}


async def test_homonyms_are_told_apart_by_ordinal_and_nir(register: Register) -> None:
    async with register.begin() as tx:
        claims = [person("dupont", "r1", nir="1"), person("dupont", "r2", ordinal=1, nir="2")]
        assert await identities.claim(tx, claims) == {0, 1}
        assert await identities.claim(tx, [person("durand", "r3", nir="1")]) == set()
        assert (await identities.holders(tx, [(NORD, "dupont")]))[NORD, "dupont"].request_id == "r1"
        await requests.release(tx, ["r1", "r2"])


async def test_a_claim_without_its_request_fails_at_the_commit(register: Register) -> None:
    async def forget() -> None:
        async with register.begin() as tx:
            await identities.claim(tx, [person("dupont", "r1")])
            await journal.append(tx, [journal.Entry(kind="never")], NOW)

    with pytest.raises(ConstraintViolated):
        await forget()
    assert await rows(register, "SELECT * FROM journal") == []
    assert await rows(register, "SELECT * FROM active_identity") == []


async def test_one_person_from_two_desks_at_once_gets_one_number(register: Register, register_url: str) -> None:
    await take_in(register, 1)
    (mail,) = await rows(register, "SELECT id FROM intake")

    async def submit(r: Register, n: int) -> UniqueNumber | None:
        async with r.begin() as tx:
            await _record(tx, mail.id, f"f{n}")
            if not await identities.claim(tx, [person("dupont", f"r{n}")]):
                return None
            sequence = await numbers.allocate(tx, NORD, "1126", 1)
            new = replace(a_request(f"r{n}", n, f"f{n}"), number=UniqueNumber(f"0591126{sequence:06}59123"))
            await requests.insert(tx, [new], NOW)
            return new.number

    async with another(register_url) as other:
        given = await asyncio.gather(*(submit(r, n) for n, r in enumerate([register, other] * 4, 1)))
    assert [number for number in given if number] == ["059112600000159123"]
    assert len(await rows(register, "SELECT * FROM request")) == 1


async def _allocate(register: Register, count: int, month: str = "1126") -> int:
    async with register.begin() as tx:
        return await numbers.allocate(tx, NORD, month, count)


async def test_sequences_begin_with_one_and_count_on(register: Register) -> None:
    assert [await _allocate(register, n) for n in (1, 3, 1)] == [1, 2, 5]
    assert await _allocate(register, 2, "1226") == 1


async def test_sequences_are_dense_and_unique_under_concurrency(register: Register, register_url: str) -> None:
    async with another(register_url) as other:

        async def work(r: Register, worker: int) -> list[int]:
            taken: list[int] = []
            for turn in range(6):
                count = 1 + (worker + turn) % 3
                first = await _allocate(r, count)
                taken += range(first, first + count)
            return taken

        taken = await asyncio.gather(*(work(r, w) for w, r in enumerate([register, other] * 4)))
    everything = sorted(sequence for one in taken for sequence in one)
    assert everything == list(range(1, len(everything) + 1))


async def test_an_undone_transaction_leaves_no_hole(register: Register) -> None:
    async def fail() -> None:
        async with register.begin() as tx:
            assert await numbers.allocate(tx, NORD, "1126", 5) == 1
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await _allocate(register, 1) == 1


async def test_an_exhausted_sequence_stays_where_it_was_and_the_transaction_goes_on(register: Register) -> None:
    await execute(register, "INSERT INTO counter VALUES ('059', '1126', :last)", last=SEQUENCE_MAX - 2)
    async with register.begin() as tx:
        with pytest.raises(numbers.SequenceExhausted):
            await numbers.allocate(tx, NORD, "1126", 3)
        assert await numbers.allocate(tx, NORD, "1226", 1) == 1
        assert await numbers.allocate(tx, NORD, "1126", 2) == SEQUENCE_MAX - 1
        with pytest.raises(numbers.SequenceExhausted):
            await numbers.allocate(tx, NORD, "1126", 1)
        with pytest.raises(numbers.SequenceExhausted):
            await numbers.allocate(tx, NORD, "0127", SEQUENCE_MAX + 1)
    found = await rows(register, "SELECT month, last FROM counter ORDER BY month")
    assert [tuple(row) for row in found] == [("1126", SEQUENCE_MAX), ("1226", 1)]


async def test_a_thousand_requests_fit_in_one_call(register: Register) -> None:
    mail = await a_mail(register)
    count = 1_200
    async with register.begin() as tx:
        await _record(tx, mail)
        persons = [person(f"p{n}", f"r{n}") for n in range(count)]
        assert len(await identities.claim(tx, persons)) == count
        assert len(await requests.bind_references(tx, [(DESK, f"{n}", f"r{n}", "d") for n in range(count)])) == count
        await requests.insert(tx, [a_request(f"r{n}", n, "f1") for n in range(count)], NOW)
        assert len(await identities.holders(tx, [(NORD, f"p{n}") for n in range(count)])) == count
        assert len(await requests.known_references(tx, [(DESK, f"{n}") for n in range(count)])) == count
        await requests.release(tx, [f"r{n}" for n in range(count)])
        assert await identities.holders(tx, [(NORD, "p7")]) == {}
