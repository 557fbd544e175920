"""A worker that is killed (SIGKILL) at a named point, in a process of its own, with its own pool.

`tests.support.killed` knows the points; it puts them on the seams between the worker and the world.
"""

import os
import signal
from collections.abc import Sequence
from datetime import timedelta

from mailflow.selftest.points import Point
from tests.support.mail_world import MailWorld

KILLED = "killed"
EXIT_CODE = -signal.SIGKILL
TO_THE_END = {0, os.EX_DATAERR, os.EX_TEMPFAIL}
"""Exit codes of a batch that nobody killed: done, something set aside, something left."""


def hows(_: Point) -> Sequence[str]:
    """What can go wrong at a point."""
    return (KILLED,)


def killed(world: MailWorld, point: Point, later: timedelta) -> bool:
    """Whether a worker that begins so much later was killed there; if not, it came to its end."""
    code, said = world.run("--kill", f"{point.name}:{point.nth}", "--later", _minutes(later))
    assert code in {EXIT_CODE, *TO_THE_END}, said
    return code == EXIT_CODE


def passed(world: MailWorld, later: timedelta) -> list[Point]:
    """The points that a worker passes that begins so much later."""
    file = world.folder / "points"
    file.unlink(missing_ok=True)
    code, said = world.run("--record", str(file), "--later", _minutes(later))
    assert code in TO_THE_END, said
    named = [line.rpartition(":") for line in file.read_text(encoding="utf-8").split()]
    return [Point(kind="kill", name=name, nth=int(nth)) for name, _, nth in named]


def _minutes(later: timedelta) -> str:
    return str(later / timedelta(minutes=1))
