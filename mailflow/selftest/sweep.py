"""The whole of a self-test: what can go wrong at each point of an undisturbed run, one run each."""

import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from mailflow import __version__, app
from mailflow.errors import MailflowError
from mailflow.register import schemas
from mailflow.selftest import grounds, lines
from mailflow.selftest.boxes import Boxes, emptied
from mailflow.selftest.course import (
    AT_ONCE,
    CREWS,
    DISCONNECTED,
    KILLED,
    LINES,
    MOMENT,
    MOMENTS,
    ONE_KILLED,
    TOGETHER,
    Course,
    Played,
    course,
)
from mailflow.selftest.crew import COMMAND
from mailflow.selftest.points import Fault, Point, Portion
from mailflow.selftest.report import Report, Row
from mailflow.settings import Settings

UNDISTURBED = "undisturbed"
KINDS = (*dict.fromkeys(LINES.values()), MOMENT, TOGETHER)
BANNER_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is played."""

    every: int = 1
    """One of so many cases of each kind."""
    runs: int | None = None
    """At most so many, beside the undisturbed ones."""
    until: float = float("inf")
    """By the monotonic clock: no run begins later."""
    logs: Path | None = None
    """Where what the workers of a run said is left when something was found."""
    command: Sequence[str] = COMMAND
    """What the worker is started with."""


async def selftest(settings: Settings, bounds: Bounds, say: Callable[[str], None]) -> Report:
    """Play it with these accounts of its own (`grounds.own`). `say` hears of each run.

    Raises MailflowError when it cannot begin: then nothing was found either way.
    """
    begun_at = app.now()
    async with (
        emptied(settings) as boxes,
        grounds.ground(settings) as ground,
        course(settings, ground, boxes, bounds.command) as played_on,
    ):
        sweep = _Sweep(played_on, bounds, say, with_sessions=not ground.register_url.startswith(grounds.SQLITE))
        await sweep.play()
        servers = _servers(settings, played_on.greetings)
        servers["register"] = await schemas.server_version(ground.register_url)
        return sweep.report(begun_at, servers)


async def plan(settings: Settings) -> list[str]:
    """What would be done on whose servers. Raises MailflowError when it would not begin."""
    boxes = Boxes(settings)
    try:
        left = await boxes.count_left()
    finally:
        await boxes.close()
    mailbox, audit, smtp = settings.mailbox, settings.audit, settings.smtp
    return [
        f"use the account {mailbox.user} on {mailbox.host} and {audit.user} on {audit.host}, with all their folders",
        *([f"delete {left} mails that an earlier self-test has left in them"] if left else []),
        f"send requests from {audit.address} to {settings.service.address} by {smtp.host}, and have them answered",
        f"make a register in {grounds.planned(settings)}, and drop it",
    ]


class _Sweep:
    def __init__(self, played_on: Course, bounds: Bounds, say: Callable[[str], None], *, with_sessions: bool) -> None:
        self._with_sessions = with_sessions
        self._course = played_on
        self._bounds = bounds
        self._say = say
        self._rows = {kind: Row(kind=kind) for kind in (UNDISTURBED, *KINDS)}
        self._findings: list[str] = []
        self._failed = ""
        self._left = 0

    async def play(self) -> None:
        """Run after run, until all are played, the time is over, or a server fails. Raises as the first run does."""
        await self._course.probe()
        before, _ = await self._course.trace()  # this one makes folders, and does the jobs of the day
        self._note(UNDISTURBED, UNDISTURBED, before)
        traced, passed = await self._course.trace()
        self._note(UNDISTURBED, UNDISTURBED, traced)
        cases = self._cases(passed)
        if self._findings:
            return  # whatever a broken run left would say nothing
        for number, case in enumerate(cases, 1):
            self._left = len(cases) - number + 1
            if time.monotonic() > self._bounds.until:
                return
            try:
                played = await self._course.play(case)
            except MailflowError as error:
                self._failed = f"{case}: {error}"
                return
            self._note(case.point.kind, f"{number}/{len(cases)} {case}", played)
        self._left = 0

    def _cases(self, passed: Sequence[Point]) -> Sequence[Fault]:
        """Those that are played, in an order of chance: what is cut short has seen something of each kind."""
        chosen: list[tuple[float, Fault]] = []
        for kind in KINDS:
            reached = _points(kind, passed)
            hows = partial(_hows, with_sessions=self._with_sessions)
            cases = [Fault(point=point, how=how) for point in reached for how in hows(point)]
            self._rows[kind].points, self._rows[kind].cases = len(reached), len(cases)
            some = Portion(every=self._bounds.every).of(cases, f"self-test {kind}")
            chosen += [(number / len(some), case) for number, case in enumerate(some)]
        return [case for _, case in sorted(chosen, key=lambda one: one[0])][: self._bounds.runs]

    def _note(self, kind: str, what: str, played: Played) -> None:
        self._rows[kind].add(played)
        self._say(f"{what}: {'; '.join(map(str, played.findings)) or 'right'} ({played.seconds:.1f} s)")
        if played.findings:
            self._findings.append("\n  ".join([what, *map(str, played.findings)]))
            if self._bounds.logs is not None:
                self._bounds.logs.mkdir(parents=True, exist_ok=True)
                shutil.copy(played.log, self._bounds.logs)

    def report(self, begun_at: datetime, servers: dict[str, str]) -> Report:
        """What it came to."""
        return Report(
            version=__version__,
            begun_at=begun_at,
            ended_at=app.now(),
            servers=servers,
            rows=tuple(self._rows.values()),
            findings=self._findings,
            failed=self._failed,
            left=self._left,
        )


def _points(kind: str, passed: Sequence[Point]) -> list[Point]:
    """Those of this kind, where `passed` are those of an undisturbed run."""
    if kind == MOMENT:
        return [Point(kind=kind, name=f"{percent} % of a run", nth=1) for percent in MOMENTS]
    if kind == TOGETHER:
        return [Point(kind=kind, name=f"{crew} workers", nth=1) for crew in CREWS]
    return [point for point in passed if point.kind == kind]


def _hows(point: Point, *, with_sessions: bool) -> Sequence[str]:
    """What can go wrong there; `with_sessions`: of a database server."""
    if point.kind == MOMENT:
        return (KILLED, DISCONNECTED) if with_sessions else (KILLED,)
    if point.kind == TOGETHER:
        return AT_ONCE, ONE_KILLED
    return (*lines.hows(point), KILLED)


def _servers(settings: Settings, greetings: Mapping[str, bytes]) -> dict[str, str]:
    """How each is reached, and how it greets."""
    return {
        name: f"{one.host}:{one.port} ({one.security}) {_told(greetings.get(name, b''))}".strip()
        for name, one in (("mailbox", settings.mailbox), ("audit", settings.audit), ("smtp", settings.smtp))
    }


def _told(greeting: bytes) -> str:
    words = re.sub(r"^(\* OK|220)|\[.*?\]", "", greeting.decode("ascii", "replace"))
    return " ".join(words.split())[:BANNER_LENGTH_MAX]
