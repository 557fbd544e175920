"""Servers and folders that the tests of the adapters share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from mailflow.register import Register
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import USERS, Dovecot
from tests.support.available import require
from tests.support.databases import VAULT, Databases
from tests.support.doors import House
from tests.support.mailbox_places import FakePlace, Place, ServerPlace, a_name
from tests.support.restored import Loser

ODD_PASSWORDS = {"quotes": 'a "quoted\\ word', "umlaut": "pässwörd"}


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(tmp_path_factory.mktemp("dovecot"), users={**USERS, **ODD_PASSWORDS}) as server:
        yield server


@pytest.fixture(scope="session")
def cyrus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cyrus]:
    require("cyrus")
    with Cyrus(tmp_path_factory.mktemp("cyrus"), keeps_deleted=True) as server:
        yield server


@pytest.fixture(params=["dovecot", "cyrus", "fake"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "fake":
        return FakePlace()
    return ServerPlace(request.getfixturevalue(request.param), a_name("In"))


@pytest.fixture
def folder(dovecot: Dovecot) -> ServerPlace:
    """An empty folder on Dovecot."""
    return ServerPlace(dovecot, a_name("In"))


@pytest.fixture
async def house(register: Register) -> House:
    """A mail door without servers, with one sender enrolled and no mail."""
    made = House(register)
    await made.enrol()
    return made


@pytest.fixture
async def loser(databases: Databases, register_url: str) -> AsyncIterator[Loser]:
    """A service that may lose its register."""
    made = Loser(databases, register_url, House(Register.open(register_url, VAULT)))
    await made.house.enrol()
    yield made
    for register in (made.house.register, *made.opened):
        await register.close()
