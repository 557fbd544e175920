"""The world is started once; every story begins with empty mailboxes and a register that only knows the enrolments."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailflow.demo.pki import Pki
from tests.acceptance.world import World
from tests.support.available import require
from tests.support.databases import PostgresDatabases


@pytest.fixture(scope="session")
def pki() -> Pki:
    return Pki(at=datetime.now(UTC))


@pytest.fixture(scope="session")
def shared_world(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On SQLite."""
    for server in ("dovecot", "postfix", "openssl"):
        require(server)
    with World(tmp_path_factory.mktemp("world"), pki) as world:
        yield world


@pytest.fixture(scope="session")
def postgres_world(
    pki: Pki, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresDatabases
) -> Iterator[World]:
    """The same on PostgreSQL."""
    for server in ("dovecot", "postfix", "openssl"):
        require(server)
    with World(tmp_path_factory.mktemp("world"), pki, postgres=postgres_server.server) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> World:
    """Empty mailboxes and a fresh register, for one story."""
    shared_world.begin_anew()
    return shared_world


@pytest.fixture(params=["sqlite", "postgresql"])
def either_world(request: pytest.FixtureRequest) -> World:
    """The same, once on each database."""
    made: World = request.getfixturevalue("shared_world" if request.param == "sqlite" else "postgres_world")
    made.begin_anew()
    return made


@pytest.fixture
def at() -> datetime:
    """When the mails of a story are written."""
    return datetime.now(UTC).replace(microsecond=0)
