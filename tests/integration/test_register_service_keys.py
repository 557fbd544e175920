"""When each key of the service serves: staged once, retired once, kept for ever; each a new generation and an entry."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.service_keys import KeyUse, ServiceKey
from mailflow.register import ConstraintViolated, Register, directory, service_keys
from mailflow.register.journal import Act
from tests.support.records import NOW, execute, rows, take_in

ACT = Act(by="anna", why="yearly")
KEY = ServiceKey(fingerprint="f" * 64, use=KeyUse.DECRYPTION, active_from=NOW + timedelta(days=3))


async def stage(register: Register, key: ServiceKey = KEY) -> bool:
    async with register.begin() as tx:
        return await service_keys.stage(tx, key, ACT, NOW)


async def retire(register: Register, key: ServiceKey = KEY) -> None:
    async with register.begin() as tx:
        await service_keys.retire(tx, key, ACT, NOW)


async def test_each_step_is_a_generation_and_an_entry(register: Register) -> None:
    async def generation() -> int:
        async with register.read() as tx:
            return await directory.generation(tx)

    before = await generation()
    assert await stage(register)
    assert not await stage(register), "once"
    assert await stage(register, replace(KEY, use=KeyUse.SIGNING)), "one certificate for two uses"
    await retire(register)
    assert await generation() == before + 3
    async with register.read() as tx:
        known = {(key.use, key.retired_at) for key in (await directory.read(tx)).service_keys}
    assert known == {(KeyUse.DECRYPTION, NOW), (KeyUse.SIGNING, None)}
    entries = await rows(register, "SELECT kind, detail FROM journal ORDER BY id")
    assert [entry.kind for entry in entries] == ["service-key-staged"] * 2 + ["service-key-retired"]
    assert all('"by": "anna"' in entry.detail and KEY.fingerprint in entry.detail for entry in entries)


async def test_a_key_of_the_settings_is_put_on_record_by_being_retired(register: Register) -> None:
    await retire(register)
    async with register.read() as tx:
        assert [key.retired_at for key in await service_keys.read(tx)] == [NOW]


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        ("DELETE FROM service_key", "service_key_is_kept"),
        ("UPDATE service_key SET retired_at = NULL", "service_key_retired_is_final"),
        ("UPDATE service_key SET use = 'signing'", "service_key_use_never_changes"),
        ("UPDATE service_key SET fingerprint = 'e'", "service_key_fingerprint_never_changes"),
    ],
)
async def test_what_is_on_record_stays(register: Register, statement: str, promise: str) -> None:
    await stage(register)
    await retire(register)
    with pytest.raises(ConstraintViolated, match=promise):
        await execute(register, statement)


async def test_mails_that_came_while_a_key_was_in_use_and_are_undecided_are_counted(register: Register) -> None:
    async def undecided(days: int) -> int:
        async with register.read() as tx:
            return await service_keys.undecided_before(tx, NOW + timedelta(days=days))

    await take_in(register, 1)
    assert (await undecided(-1), await undecided(1)) == (0, 1)
    for change, counted in (
        ("state = 'undetermined'", 1),
        ("state = 'held', next_at = NULL", 1),
        ("state = 'set_aside'", 0),
        ("reason = 'operator'", 1),
        ("reason = 'CTRL_SYS_0001'", 1),
        ("raw = NULL", 0),
        ("state = 'answered'", 0),
    ):
        await execute(register, f"UPDATE intake SET {change}")
        assert await undecided(1) == counted, change
