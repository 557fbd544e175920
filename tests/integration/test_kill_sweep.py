"""The real worker is killed at each of its named points, against Dovecot and Postfix: nothing is lost or doubled.

`tests.support.killed` knows the points, `tests.support.letters` what must have come of it in the end.
"""

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest

from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from tests.servers.postgres import PostgresServer
from tests.support.available import require
from tests.support.databases import KINDS, PostgresDatabases
from tests.support.letters import Letter, Writer, a_batch, many, verdict
from tests.support.mail_world import LATER_MINUTES, SERVICE_USER, MailWorld

KILLED = -9
SIDE_BY_SIDE = 2
"""Worlds, one for each core."""
ONE_BY_ONE = {"smtp": {"connections": 1}, "worker": {"processes": 1}}
"""One connection, so that every run passes the same points; one process, because each run begins by starting it."""
THINNED = 5
"""On PostgreSQL every fifth point: what differs is the database alone."""
CUT_OFF = "smtp.data.written:1"
"""The worst moment: the server has the whole answer, and we do not know it."""
WORST = (CUT_OFF, "intake.settle.after-commit:1")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Worlds side by side, and what is played in each of them."""

    worlds: tuple[MailWorld, ...]
    letters: tuple[Letter, ...]
    at: datetime


@pytest.fixture(scope="module")
def at() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pki(at: datetime) -> Pki:
    require("dovecot")
    require("postfix")
    return Pki(at=at)


@pytest.fixture(scope="module")
def software(pki: Pki) -> tuple[DeskSoftware, ...]:
    return desks(pki)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """None: SQLite."""
    if request.param == "sqlite":
        return None
    databases = request.getfixturevalue("postgres_server")
    assert isinstance(databases, PostgresDatabases)
    return databases.server


@pytest.fixture(scope="module")
def stage(
    pki: Pki,
    software: tuple[DeskSoftware, ...],
    at: datetime,
    server: PostgresServer | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    with ExitStack() as stack:
        worlds = []
        for _ in range(SIDE_BY_SIDE):
            folder = tmp_path_factory.mktemp("world")
            world = MailWorld(folder, pki, software, postgres=server, changes=ONE_BY_ONE)
            worlds.append(stack.enter_context(world))
        letters = a_batch(Writer(worlds[0].installation, at), software)
        yield Stage(worlds=tuple(worlds), letters=tuple(letters), at=at)


@dataclass(frozen=True, kw_only=True)
class Case:
    """The worker is killed at these points, each time when it is started anew; then it may finish."""

    kills: tuple[str, ...]
    codes: tuple[int, ...]
    wrong: list[str]
    said: str
    """By all runs."""

    @property
    def reached(self) -> bool:
        return all(code == KILLED for code in self.codes)

    def __str__(self) -> str:
        return "\n".join([" then ".join(self.kills), *self.wrong, f"exit codes {self.codes}", self.said])


def play(world: MailWorld, stage: Stage, *kills: str) -> Case:
    world.begin_anew()
    world.post([letter.raw for letter in stage.letters])
    codes, texts = [], []
    for number, kill in enumerate(kills):
        code, said = world.run("--kill", kill, "--later", str(number * LATER_MINUTES))
        codes.append(code)
        texts.append(said)
        world.settle()
    texts.append(world.finish(later=len(kills) * LATER_MINUTES))
    wrong = verdict(world, stage.letters, stage.at)
    return Case(kills=kills, codes=tuple(codes), wrong=wrong, said="".join(texts))


def play_all(stage: Stage, cases: Sequence[tuple[str, ...]]) -> list[Case]:
    """All cases, spread over the worlds; none went wrong."""
    free: SimpleQueue[MailWorld] = SimpleQueue()
    for world in stage.worlds:
        free.put(world)

    def one(kills: tuple[str, ...]) -> Case:
        world = free.get()
        try:
            return play(world, stage, *kills)
        finally:
            free.put(world)

    with ThreadPoolExecutor(len(stage.worlds)) as threads:
        played = list(threads.map(one, cases))
    if wrong := [case for case in played if case.wrong]:
        pytest.fail("\n\n".join(map(str, wrong)))
    return played


def record(stage: Stage, folder: Path, *kills: str) -> list[str]:
    """The points that a run passes from end to end, after the worker was killed at `kills`."""
    world, file = stage.worlds[0], folder / "points"
    world.begin_anew()
    world.post([letter.raw for letter in stage.letters])
    for kill in kills:
        code, said = world.run("--kill", kill)
        assert code == KILLED, said
        world.settle()
    code, said = world.run("--record", str(file), "--later", str(len(kills) * LATER_MINUTES))
    world.settle()
    assert not verdict(world, stage.letters, stage.at), said
    return file.read_text().split()


def one_each(points: Sequence[str]) -> list[str]:
    """Every point once; of one that is passed for each mail the middle: some are through then, some are not."""
    passed: dict[str, list[str]] = {}
    for point in points:
        passed.setdefault(point.rpartition(":")[0], []).append(point)
    return [times[len(times) // 2] for times in passed.values()]


def play_each(stage: Stage, cases: Sequence[tuple[str, ...]]) -> None:
    """All cases, and each was reached. A point that is passed once a turn is passed less often when turns do more."""
    missed = [case.kills for case in play_all(stage, cases) if not case.reached]
    first = [(*kills[:-1], f"{kills[-1].rpartition(':')[0]}:1") for kills in missed]
    assert not [case.kills for case in play_all(stage, first) if not case.reached]


def test_a_worker_killed_at_the_worst_moments_answers_once(stage: Stage) -> None:
    played = play_all(stage, [(point,) for point in WORST])
    assert all(case.reached for case in played)


@pytest.mark.slow
def test_a_worker_killed_at_any_point_loses_nothing_and_doubles_nothing(
    stage: Stage, server: PostgresServer | None, tmp_path: Path
) -> None:
    points = one_each(record(stage, tmp_path))
    play_each(stage, [(point,) for point in (points[::THINNED] if server else points)])


@pytest.mark.slow
def test_a_worker_killed_while_it_recovers_loses_nothing_and_doubles_nothing(
    stage: Stage, server: PostgresServer | None, tmp_path: Path
) -> None:
    clean = set(record(stage, tmp_path))
    (tmp_path / "points").unlink()
    only_then = one_each([point for point in record(stage, tmp_path, CUT_OFF) if point not in clean])
    worst = ["copies.find.before:1", "outbox.resolve.before-commit:1"]
    assert set(worst) <= set(only_then)
    play_each(stage, [(CUT_OFF, point) for point in (worst if server else only_then)])


KILLS = 5
LETTERS = 60
SEED = 20261125
POINTS_MAX = 60
"""Far enough into the work of one portion to be anywhere in it."""
DRAIN_SECONDS = 30
POST_SECONDS = 0.2
"""Between two mails: IDLE wakes both workers for each of them."""
SHORT_LEASES = {
    "worker": {"processes": 1, "chunk": 10, "lease_seconds": 6, "task_seconds_max": 5, "attempts_max": 20},
    "mailbox": {"poll_seconds": 1},
}
"""The living worker takes over within seconds. A mail may be in the hands of a killed one more often than thrice."""


@pytest.mark.slow
def test_two_workers_on_one_mailbox_of_which_one_is_killed_again_and_again(
    pki: Pki,
    software: tuple[DeskSoftware, ...],
    at: datetime,
    server: PostgresServer | None,
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    with MailWorld(tmp_path, pki, software, postgres=server, changes=SHORT_LEASES) as world:
        letters = many(Writer(world.installation, at), software, LETTERS)
        portions = [letters[start :: KILLS + 1] for start in range(KILLS + 1)]
        world.begin_anew()
        world.post([letter.raw for letter in portions.pop()])
        steady = world.start(arguments=("run",))
        try:
            for portion in portions:
                victim = world.start("--kill", f"any:{chance.randint(1, POINTS_MAX)}", arguments=("run",))
                for letter in portion:
                    world.post([letter.raw])
                    time.sleep(POST_SECONDS)
                assert victim.wait()[0] == KILLED
            until = time.monotonic() + DRAIN_SECONDS
            while world.dovecot.messages(SERVICE_USER) and time.monotonic() < until:
                time.sleep(0.2)
            assert steady.stop()[0] == 0
        finally:
            steady.kill()
        world.finish()
        assert not verdict(world, letters, at)
