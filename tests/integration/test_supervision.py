"""What systemd hears of the service: ready after the first look, alive only while no stage hangs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailflow.app.supervision import ServiceManager, keep_told
from mailflow.mail import stages
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.stages import Stages
from mailflow.register import Register
from tests.support.databases import VAULT, SqliteFiles
from tests.support.doors import House
from tests.support.listening import Ear, service_manager

NEVER_SECONDS = 3600.0
WATCHDOG_SECONDS = 0.3
HANGS_AFTER_SECONDS = 0.5
PATIENCE_SECONDS = 60


@pytest.fixture
def url(tmp_path: Path) -> str:
    return SqliteFiles(folder=tmp_path).fresh(migrated=True)


@pytest.fixture
async def house(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.05)
    register = Register.open(url, VAULT)
    made = House(register)
    await made.enrol()
    yield made
    await register.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    with service_manager(tmp_path / "notify") as listening:
        yield listening


@asynccontextmanager
async def at_work(work: Stages, ear: Ear) -> AsyncIterator[asyncio.Event]:
    """The stages at work, the ear told of it; the event stops them."""
    stop = asyncio.Event()
    manager = ServiceManager(address=ear.address, watchdog_seconds=WATCHDOG_SECONDS)
    running = asyncio.create_task(work.run(NEVER_SECONDS, stop))
    told = asyncio.create_task(keep_told(manager, work, stop, HANGS_AFTER_SECONDS))
    try:
        yield stop
    finally:
        for task in (running, told):
            task.cancel()
        await asyncio.wait({running, told})


async def hears(ear: Ear, name: str) -> dict[str, str]:
    return await asyncio.to_thread(ear.wait_for, name, PATIENCE_SECONDS)


def stages_of(house: House) -> Stages:
    return Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)


async def test_ready_comes_with_the_first_look_and_stopping_with_the_signal(house: House, ear: Ear) -> None:
    looking, look = asyncio.Event(), asyncio.Event()
    work = stages_of(house)
    first = work.receive.turn

    async def hesitate(door: MailDoor) -> Progress:
        looking.set()
        await look.wait()
        return await first(door)

    work.receive.turn = hesitate
    async with at_work(work, ear) as stop:
        await looking.wait()
        assert not any("READY" in said for said in await asyncio.to_thread(ear.hear, 0.4))
        look.set()
        assert (await hears(ear, "READY"))["READY"] == "1"
        assert (await hears(ear, "WATCHDOG"))["STATUS"] == "received 0, answered 0, sent 0, set aside 0"
        stop.set()
        assert (await hears(ear, "STOPPING"))["STOPPING"] == "1"


async def test_a_mail_server_that_is_down_keeps_nobody_from_being_ready_and_is_named(house: House, ear: Ear) -> None:
    house.troubles += ["list"] * 1000
    async with at_work(stages_of(house), ear):
        await hears(ear, "READY")
        said = await hears(ear, "WATCHDOG")
        assert "receive fails" in said["STATUS"]


async def test_while_a_stage_hangs_the_watchdog_hears_nothing(house: House, ear: Ear) -> None:
    hanging, go_on = asyncio.Event(), asyncio.Event()
    work = stages_of(house)

    async def hang(door: MailDoor) -> Progress:
        hanging.set()
        await go_on.wait()
        return Progress()

    work.deliver.turn = hang
    async with at_work(work, ear):
        await hears(ear, "READY")
        await hanging.wait()
        await asyncio.sleep(HANGS_AFTER_SECONDS + WATCHDOG_SECONDS)
        ear.so_far()
        said = await asyncio.to_thread(ear.hear, 3 * WATCHDOG_SECONDS)
        assert said
        assert not any("WATCHDOG" in one for one in said)
        assert said[-1]["STATUS"].endswith("; deliver hangs")
        go_on.set()
        await hears(ear, "WATCHDOG")


async def test_while_the_event_loop_hangs_the_watchdog_hears_nothing(house: House, ear: Ear) -> None:
    async with at_work(stages_of(house), ear):
        await hears(ear, "WATCHDOG")
        ear.so_far()
        time.sleep(3 * WATCHDOG_SECONDS)  # noqa: ASYNC251  this is the hanging
        assert ear.so_far() == []
        await hears(ear, "WATCHDOG")


def test_what_systemd_gives_is_taken_out_of_the_environment() -> None:
    given = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    manager = ServiceManager.of(given)
    assert (manager.address, manager.watchdog_seconds, manager.interval_seconds) == ("/run/x", 30.0, 10.0)
    assert given == {"PATH": "/bin"}


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_a_watchdog_that_is_not_meant_for_us_is_not_fed(environment: dict[str, str]) -> None:
    assert ServiceManager.of(dict(environment)).watchdog_seconds is None


def test_nobody_listening_stops_nothing(tmp_path: Path) -> None:
    ServiceManager().tell(READY=1)
    ServiceManager(address=str(tmp_path / "gone")).tell(READY=1)


def test_the_socket_may_be_an_abstract_one() -> None:
    with service_manager(f"@mailflow-test-{os.getpid()}") as listening:
        ServiceManager(address=listening.address).tell(READY=1, STATUS="a b")
        assert listening.so_far() == [{"READY": "1", "STATUS": "a b"}]
