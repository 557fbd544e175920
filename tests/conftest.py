"""What holds for every test: hypothesis looks for wrong answers, never at the clock of a busy machine.

And the fixtures that tests of several folders share, and what makes a test a long one.
"""

import logging
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from mailflow.register import Register
from tests.support import compiled
from tests.support.available import require
from tests.support.databases import KINDS, VAULT, Databases, PostgresDatabases, SqliteFiles, postgres_databases

settings.register_profile("mailflow", deadline=None)
settings.register_profile("brief", deadline=None, max_examples=25)  # `make check`, where a test does not name a number
settings.load_profile("mailflow")
compiled.share()
_KIND = re.compile("|".join(KINDS))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Which tests are long, and what is begun with."""
    _mark_long(items)
    yield  # what is not asked for is left out
    items[:] = _slow_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _mark_long(items: Sequence[pytest.Item]) -> None:
    """Variants that a `long_on` means, of each `one_in` so many all but the first, and one of two on either database.

    Of these its name decides, so that each database has half of the tests. The register's own are short and never long:
    whether both databases do the same is what they are about.
    """
    alike: dict[str, list[pytest.Item]] = defaultdict(list)
    variants: Counter[str] = Counter()
    for item in items:
        test, _, variant = item.nodeid.partition("[")
        for mark in item.iter_markers("one_in"):
            if variants[test] % mark.args[0]:
                item.add_marker(pytest.mark.long)
        variants[test] += 1
        if any(mark.args[0] in variant for mark in item.iter_markers("long_on")):
            item.add_marker(pytest.mark.long)
        elif (kind := _KIND.search(variant)) and not item.path.name.startswith("test_register_"):
            alike[item.nodeid.replace(kind[0], "")].append(item)
    for name, several in alike.items():
        if len(several) == len(KINDS):
            several[zlib.crc32(name.encode()) % len(KINDS)].add_marker(pytest.mark.long)


def _slow_first(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Each worker begins with an equal part of them in their order: none is to come upon a slow one at the end."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = [item for item in items if not item.get_closest_marker("slow")]
    part = -(-len(fast) // workers)
    return [
        one for number in range(workers) for one in (*slow[number::workers], *fast[number * part : (number + 1) * part])
    ]


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command that a test calls in this process sets up the log, of this process: not of the tests that follow."""
    loggers = logging.getLogger(), logging.getLogger("mailflow")
    levels = [one.level for one in loggers]
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresDatabases]:
    """One server for the whole session."""
    require("postgresql")
    with postgres_databases() as made:
        yield made


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Makes databases; a test that uses it runs once on each kind."""
    if request.param == "sqlite":
        yield SqliteFiles(folder=tmp_path)
        return
    made = request.getfixturevalue("postgres_server")
    assert isinstance(made, PostgresDatabases)
    with made.dropped():
        yield made


@pytest.fixture
def register_url(databases: Databases) -> str:
    """The URL of a migrated, empty register."""
    return databases.fresh(migrated=True)


@pytest.fixture
async def register(register_url: str) -> AsyncIterator[Register]:
    """A migrated, empty register."""
    opened = Register.open(register_url, VAULT)
    yield opened
    await opened.close()
