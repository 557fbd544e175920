"""Files: a name is bound once, a receipt and a RET are written once."""

import asyncio

import pytest

from mailflow.register import ConstraintViolated, Register, files
from mailflow.register.vault import ContentKey, Vault
from tests.support.records import DESK, a_file, a_mail, another, rows, take_in

NAME = a_file("f", 1).name


async def _bound(register: Register, *claims: files.FileClaim) -> set[str]:
    async with register.begin() as tx:
        return await files.claim(tx, claims)


async def test_a_name_is_bound_by_the_first(register: Register) -> None:
    mail = await a_mail(register)
    assert await _bound(register, a_file("f1", mail), a_file("f2", mail, sequence=2)) == {"f1", "f2"}
    assert await _bound(register, a_file("f3", mail), a_file("f4", mail, sequence=4)) == {"f4"}


async def test_of_one_name_twice_in_a_chunk_the_first_is_bound(register: Register) -> None:
    mail = await a_mail(register)
    assert await _bound(register, a_file("f1", mail), a_file("f2", mail)) == {"f1"}


async def test_desks_do_not_share_names(register: Register) -> None:
    mail = await a_mail(register)
    one = a_file("f1", mail)
    other = files.FileClaim(record="f2", desk="62001", name=one.name, digest="d", intake_id=mail)
    assert await _bound(register, one, other) == {"f1", "f2"}


async def test_a_receipt_is_found_by_name_and_by_content(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", mail, digest="x"), a_file("f2", mail, sequence=2, digest="y")])
        unsettled = await files.by_name(tx, [(DESK, NAME)])
        assert unsettled[DESK, NAME].receipt == b""
        await files.settle(tx, [("f1", b"receipt 1"), ("f2", b"receipt 2")])
    async with register.read() as tx:
        named = await files.by_name(tx, [(DESK, NAME), (DESK, "other"), ("62001", NAME)])
        assert named == {(DESK, NAME): files.StoredFile(record="f1", digest="x", receipt=b"receipt 1", returned=None)}
        known = await files.by_digest(tx, [(DESK, "x"), (DESK, "y"), ("62001", "x")])
        assert {key: stored.record for key, stored in known.items()} == {(DESK, "x"): "f1", (DESK, "y"): "f2"}
        assert [stored.record for stored in await files.of_intake(tx, mail)] == ["f1", "f2"]


async def test_content_under_two_names_is_that_of_the_last_settled(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", mail), a_file("f2", mail, sequence=2)])
        await files.settle(tx, [("f1", b"receipt 1")])
        assert (await files.by_digest(tx, [(DESK, "d")]))[DESK, "d"].record == "f1"
        await files.settle(tx, [("f2", b"receipt 2")])
        assert (await files.by_digest(tx, [(DESK, "d")]))[DESK, "d"].record == "f2"


async def test_of_one_content_under_many_names_one_file_is_opened(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = await a_mail(register)
    names = [a_file(f"f{n}", mail, sequence=n) for n in range(1, 6)]
    async with register.begin() as tx:
        await files.claim(tx, [*names, a_file("other", mail, sequence=9, digest="y")])
        await files.settle(tx, [(one.record, one.record.encode()) for one in names[:4]])
    opened: list[str] = []
    open_ = Vault.open

    def counted(self: Vault, key: ContentKey, sealed: bytes, context: str) -> bytes:
        opened.append(context)
        return open_(self, key, sealed, context)

    monkeypatch.setattr(Vault, "open", counted)
    async with register.read() as tx:
        found = await files.by_digest(tx, [(DESK, "d"), (DESK, "y")])
    assert {digest: stored.receipt for (_, digest), stored in found.items()} == {"d": b"f4", "y": b""}
    assert opened == ["file.receipt:f4"]


async def test_a_claim_that_was_let_go_binds_nothing(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", mail), a_file("f2", mail, sequence=2)])
        await files.settle(tx, [("f2", b"receipt")])
        await files.release(tx, ["f1"])
        await files.release(tx, [])
    assert await _bound(register, a_file("f3", mail), a_file("f4", mail, sequence=2)) == {"f3"}


async def test_a_settled_file_is_never_let_go(register: Register) -> None:
    mail = await a_mail(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", mail)])
        await files.settle(tx, [("f1", b"receipt")])

    async def let_go() -> None:
        async with register.begin() as tx:
            await files.release(tx, ["f1"])

    with pytest.raises(ConstraintViolated, match="file_is_kept"):
        await let_go()


async def test_a_ret_is_frozen_once(register: Register) -> None:
    mail = await a_mail(register)
    await _bound(register, a_file("f1", mail), a_file("f2", mail, sequence=2))
    async with register.begin() as tx:
        assert await files.freeze_return(tx, [("f1", b"first")]) == {"f1"}
    async with register.begin() as tx:
        assert await files.freeze_return(tx, [("f2", b"second"), ("f1", b"another")]) == {"f2"}
        assert await files.freeze_return(tx, []) == set()
        assert await files.returned(tx, ["f1", "f2", "f3"]) == {"f1": b"first", "f2": b"second"}


async def test_one_name_from_two_workers_at_once_is_bound_once(register: Register, register_url: str) -> None:
    await take_in(register, 1)
    (mail,) = await rows(register, "SELECT id FROM intake")
    async with another(register_url) as other:
        bound = await asyncio.gather(
            *(_bound(r, a_file(f"f{i}", mail.id)) for i, r in enumerate([register, other] * 5))
        )
    assert len([record for records in bound for record in records]) == 1
    assert len(await rows(register, "SELECT * FROM file")) == 1


async def test_the_second_worker_waits_for_the_first_to_decide(register: Register, register_url: str) -> None:
    mail = await a_mail(register)
    claimed, decided = asyncio.Event(), asyncio.Event()

    async def first(*, fails: bool) -> None:
        async with register.begin() as tx:
            await files.claim(tx, [a_file("f1", mail)])
            claimed.set()
            await decided.wait()
            if fails:
                raise LookupError

    async def second(other: Register) -> set[str]:
        await claimed.wait()
        return await _bound(other, a_file("f2", mail))

    async with another(register_url) as other:
        failing = asyncio.create_task(first(fails=True))
        waiting = asyncio.create_task(second(other))
        await claimed.wait()
        _, pending = await asyncio.wait({waiting}, timeout=0.2)
        assert pending, "the name is not decided yet"
        decided.set()
        with pytest.raises(LookupError):
            await failing
        assert await waiting == {"f2"}
