"""What the database holds of persons can only be read with keys that it does not hold, and not at all without them."""

import re

import pytest
import sqlalchemy as sa

from mailflow.errors import Misconfigured
from mailflow.register import Register, files, history, identities, intake, keys, outbox, queues, requests
from mailflow.register.columns import key_metadata
from mailflow.register.tables import metadata
from mailflow.register.vault import SealBroken, Vault
from tests.support.records import (
    DESK,
    NORD,
    NOW,
    a_draft,
    a_file,
    a_request,
    an_entry,
    arrival,
    claim,
    execute,
    frozen,
    key_rows,
    person,
    registered,
    rows,
    settlement,
    take_in,
)

CANARIES = ("KERMADEC", "Yvonnick", "1987-03-14", "14031987", "187032912345678", "rue des Canaris", "REF-PRIVEE-77")


async def _everything(register: Register) -> str:
    """Every value of every column of every table."""
    found = []
    async with register.read() as tx, register.keys.read() as store:
        for one, tables in ((tx, metadata.sorted_tables), (store, key_metadata.sorted_tables)):
            for table in tables:
                for row in (await one.connection.execute(sa.text(f"SELECT * FROM {table.name}"))).all():
                    found += [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in row]
    return "\n".join(found)


async def test_nothing_of_a_person_can_be_read_in_any_column(register: Register) -> None:
    text = " ".join(CANARIES)
    octets = text.encode()
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(1, octets)], NOW)
    (mail,) = await claim(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", mail.id)])
        await requests.bind_references(tx, [(DESK, "REF-PRIVEE-77", "r1", "d")])
        await identities.claim(tx, [person("KERMADEC|Yvonnick|1987-03-14", "r1", nir="187032912345678")])
        new = a_request("r1", 1, "f1", payload=octets)
        content_keys = await requests.insert(tx, [new], NOW)
        await history.append(tx, [an_entry(new, said=octets, content_before=octets)], content_keys, NOW)
        await files.settle(tx, [("f1", octets)])
        await files.freeze_return(tx, [("f1", octets)])
        await outbox.queue(tx, [a_draft(mail.id, payload=octets), a_draft(None, key="n", payload=octets)], NOW)
        ids = [row.id for row in await outbox.claim_queued(tx, "me", 9, NOW, NOW)]
        await outbox.freeze(tx, {id_: [outbox.Octets(message_id="", raw=octets, body_digest="digest")] for id_ in ids})
        await intake.settle(tx, "me", [settlement(mail.id)], NOW)
    dump = await _everything(register)
    assert a_request("r1", 1, "f1").number in dump
    assert [canary for canary in CANARIES if re.search(re.escape(canary), dump, re.IGNORECASE)] == []


async def test_a_sealed_value_opens_in_its_own_row_only(register: Register) -> None:
    await take_in(register, 2)
    one, two = await rows(register, "SELECT id, raw, key_id FROM intake ORDER BY id")
    await execute(register, "UPDATE intake SET raw = NULL")
    swapped = "UPDATE intake SET raw = :raw, key_id = :key WHERE id = :id"
    await execute(register, swapped, raw=two.raw, key=two.key_id, id=one.id)
    assert await claim(register) == []
    assert await rows(register, "SELECT DISTINCT state, detail FROM intake") == [("set_aside", "seal broken")]


async def test_a_sealed_value_opens_in_its_own_column_only(register: Register) -> None:
    await registered(register)
    async with register.begin() as tx:
        await files.freeze_return(tx, [("f1", b"returned")])
    await execute(register, "UPDATE file SET receipt = NULL")
    await execute(register, "UPDATE file SET receipt = returned")
    async with register.read() as tx:
        with pytest.raises(SealBroken, match=r"file\.receipt"):
            await files.by_digest(tx, [(DESK, "d")])


async def test_a_request_under_another_number_does_not_open(register: Register) -> None:
    number = await registered(register)
    await execute(
        register,
        """
        INSERT INTO request (number, id, territory, desk, sender, state, deposited_on, expires_on, registered_at,
            revision, dated_at, key_id, payload, file_record, position)
        SELECT '059112600000259123', 'r2', territory, desk, sender, state, deposited_on, expires_on, registered_at,
            revision, dated_at, key_id, payload, file_record, 9 FROM request
        """,
    )
    async with register.read() as tx:
        assert await requests.find(tx, number) is not None
        with pytest.raises(SealBroken):
            await requests.find(tx, "059112600000259123")


async def test_the_octets_of_an_answer_cannot_be_swapped(register: Register) -> None:
    one, two = await frozen(register, 2)
    await execute(
        register,
        "UPDATE outbox SET key_id = (SELECT key_id FROM outbox WHERE id <> :id) WHERE id = :id",
        id=one,
    )
    async with register.begin() as tx:
        assert [row.id for row in await outbox.claim_composed(tx, "me", 9, NOW, NOW, size_bytes_max=1 << 20)] == [two]
    assert await rows(register, f"SELECT state, reason FROM outbox WHERE id = {one}") == [("held", "seal broken")]


async def test_deleting_a_content_key_erases_what_it_sealed(register: Register) -> None:
    number = await registered(register)
    async with register.begin() as tx:
        (mail,) = await rows(register, "SELECT id, key_id FROM intake")
        (request,) = await rows(register, "SELECT key_id FROM request")
        keys.erase(tx, [mail.key_id, request.key_id])
    async with register.read() as tx:
        found = await requests.find(tx, number)
        assert found is not None
        assert found.payload is None
        assert await queues.raw(tx, mail.id) is None
        stored = (await files.by_digest(tx, [(DESK, "d")]))[DESK, "d"]
        assert (stored.receipt, stored.returned) == (b"", None)
        assert await identities.holders(tx, [(NORD, "dupont")]) != {}
    assert await key_rows(register) == []


async def test_another_master_key_opens_nothing(register: Register, register_url: str) -> None:
    number = await registered(register)
    for masters, refusal in (({"test": b"x" * 32}, "is another one"), ({"new": b"m" * 32}, "was not given")):
        stranger = Register.open(register_url, Vault(masters, first=next(iter(masters)), lookup_key=b"l" * 32))
        async with stranger.read() as tx:
            with pytest.raises(Misconfigured, match=refusal):
                await requests.find(tx, number)
        await stranger.close()


async def test_another_lookup_key_finds_nobody(register: Register, register_url: str) -> None:
    await registered(register)
    stranger = Register.open(register_url, Vault({"test": b"m" * 32}, first="test", lookup_key=b"x" * 32))
    async with stranger.read() as tx:
        assert await identities.holders(tx, [(NORD, "dupont")]) == {}
        assert await requests.known_references(tx, [(DESK, "ref")]) == {}
    await stranger.close()
