"""The status server beside a register that hangs, and asked by many at once."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from mailflow.app import status as app_status
from mailflow.app.status import Watch
from mailflow.mail.stages import Stages
from mailflow.ops import status
from mailflow.ops.metrics import Metrics
from mailflow.ops.snapshot import Snapshot, StageState
from mailflow.register import Register
from mailflow.settings import Settings, load
from tests.integration.test_cli import installation, pki, software, template
from tests.support.databases import VAULT, PostgresDatabases
from tests.support.doors import House
from tests.unit.test_status import snapshot, stage

__all__ = ["installation", "pki", "settings", "software", "template"]


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return load(request.getfixturevalue("installation").config)


async def get(port: int, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


@dataclass
class Counting:
    """Looks that are counted, and take a moment."""

    looks: int = 0
    found: Snapshot = field(default_factory=snapshot)

    def stages(self) -> tuple[StageState, ...]:
        return self.found.stages

    async def look(self) -> Snapshot:
        self.looks += 1
        await asyncio.sleep(0.2)
        return self.found


@asynccontextmanager
async def served(looks: status.Looks) -> AsyncIterator[int]:
    async with status.serving("127.0.0.1", 0, status.application(looks, Metrics())) as port:
        yield port


async def test_a_crowd_costs_one_look() -> None:
    counting = Counting()
    async with served(counting) as port:
        told = await asyncio.gather(*(get(port, path) for path in ("/", "/metrics", "/health/ready") * 5))
    assert {code for code, _ in told} == {200}
    assert counting.looks == 1


async def test_whether_it_lives_is_told_without_a_look() -> None:
    counting = Counting(found=snapshot(None, stage(hangs=True)))
    async with served(counting) as port:
        code, text = await get(port, "/health/live")
    assert (code, json.loads(text)["problems"], counting.looks) == (503, ["the stage receive hangs"], 0)


@pytest.mark.parametrize(
    ("method", "path", "code"), [("POST", "/", 405), ("GET", "/queue", 404), ("GET", "/../x", 404)]
)
async def test_nothing_else_is_there(method: str, path: str, code: int) -> None:
    async with served(Counting()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 %d " % code)


async def test_a_register_that_hangs_makes_nobody_wait_for_long(
    settings: Settings, postgres_server: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_status, "READING_SECONDS_MAX", 0.5)
    url = await asyncio.to_thread(postgres_server.fresh, migrated=True)
    register, other = Register.open(url, VAULT), Register.open(url, VAULT)
    stages = Stages(House(register).door(), poll_seconds=60, pause_seconds=60)
    watch = Watch(settings=settings, register=register, work=stages)
    try:
        async with served(watch) as port:
            async with other.begin() as tx:
                await tx.connection.execute(sa.text("LOCK TABLE intake IN ACCESS EXCLUSIVE MODE"))
                assert (await get(port, "/health/live"))[0] == 200
                code, text = await get(port, "/health/ready")
                assert (code, "the register cannot be read" in text) == (503, True)
            await asyncio.sleep(status.FRESH_SECONDS + 0.1)
            assert "the register cannot be read" not in (await get(port, "/health/ready"))[1]
    finally:
        await watch.close()
        await register.close()
        await other.close()
