"""Commands that hand out personal data: who has read them is on record, or nobody has."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mailflow import app
from mailflow.cli.invocation import caller
from mailflow.mail import composing, worker
from mailflow.register import Register
from tests.integration.test_cli import DONE, SET_ASIDE, Run, installation, pki, run, software, template
from tests.support.databases import VAULT
from tests.support.doors import House
from tests.support.judging import a_mail, dem_part
from tests.support.records import rows

__all__ = ["installation", "pki", "run", "software", "template"]

TEMPORARY = 75
PDF = b"%PDF-"
Opened = Callable[[], contextlib.AbstractAsyncContextManager[Register]]
Read = Callable[[], list[tuple[str, str]]]
READ = "SELECT kind, number, detail FROM journal WHERE kind IN ('person-exported', 'attestation-printed') ORDER BY id"


@pytest.fixture
def opened(register_url: str, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The register of every command, too."""

    @contextlib.asynccontextmanager
    async def of(*_: object) -> AsyncIterator[Register]:
        register = Register.open(register_url, VAULT)
        try:
            yield register
        finally:
            await register.close()

    monkeypatch.setattr(app, "register_of", of)
    return of


@pytest.fixture
def number(opened: Opened) -> str:
    """Of a request that was registered, with its attestation."""

    async def registered() -> str:
        async with opened() as register:
            house = House(register)
            await house.enrol()
            house.mailbox.deliver(a_mail(dem_part(1)))
            for stage in (worker.receive, worker.process, composing.compose):
                await stage(house.door())
            return str((await rows(register, "SELECT number FROM request"))[0].number)

    return asyncio.run(registered())


@pytest.fixture
def read(opened: Opened) -> Read:
    """What the journal says: what was read, and by whom."""

    async def found() -> list[tuple[str, str]]:
        async with opened() as register:
            return [(row.kind, json.loads(row.detail)["by"]) for row in await rows(register, READ)]

    return lambda: asyncio.run(found())


HANDED_OUT = pytest.mark.parametrize(
    ("command", "kind", "begins"),
    [
        (("person", "export"), "person-exported", b"{"),
        (("attestation",), "attestation-printed", PDF),
    ],
)


@HANDED_OUT
def test_who_reads_is_on_record_with_who_they_are(
    run: Run,
    number: str,
    read: Read,
    tmp_path: Path,
    command: tuple[str, ...],
    kind: str,
    begins: bytes,
) -> None:
    out = tmp_path / "out"
    assert run(*command, number, "--out", out)[0] == DONE
    assert out.read_bytes().startswith(begins)
    assert out.stat().st_mode & 0o077 == 0
    assert run(*command, number, "--out", out)[0] == SET_ASIDE, "nothing is overwritten"
    assert out.read_bytes().startswith(begins)
    assert run(*command, number, "--by", "anna", "--out", tmp_path / "more")[0] == DONE
    assert read() == [(kind, caller()), (kind, f"anna ({caller()})")], "whoever says to be another is named beside"


@HANDED_OUT
def test_what_cannot_be_put_on_record_is_not_handed_out(
    run: Run,
    number: str,
    read: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    kind: str,
    begins: bytes,
) -> None:
    async def lost(connection: AsyncConnection) -> None:
        await connection.rollback()
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(AsyncConnection, "commit", lost)
        assert run(*command, number, "--out", tmp_path / "out")[0] == TEMPORARY
    assert not (tmp_path / "out").exists()
    assert read() == []
