"""An operator at a terminal: types commands in this very process, lets time pass, and knows what the alarms say.

A trouble is a generator. Up to its `yield` something goes wrong; then whoever plays it looks for the alarm, and for the
trouble in the output of a command; after the `yield` the operator mends it by what that said.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailflow.cli.main import call
from mailflow.demo.applications import Person
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Authority
from mailflow.mail import pool
from mailflow.ops.alarms import Alarm, catalogue
from tests.acceptance.world import Done, World
from tests.servers.process import free_ports
from tests.support.clock import shifted
from tests.support.letters import Fate, Letter, Writer

BATCH = "run --once"
SETTLED = timedelta(minutes=11)
"""After the end of its cause an alarm is over."""


class Here:
    """Does in this process, at once, what the processes of the pool do: to start them is most of what a batch costs."""

    def __init__(self, *, initargs: tuple[Any, ...], **_: object) -> None:
        _, shared, *makers = initargs
        pool._here["judge"], pool._here["composer"] = pool._make(shared.read(), *makers)

    def schedule(self, task: Callable[..., Any], *, args: tuple[Any, ...], timeout: float) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(task(*args))
        except Exception as error:  # noqa: BLE001  whatever it is, it is what came of the task
            future.set_exception(error)
        return future

    def close(self, _timeout: float | None = None) -> None:
        """Nothing is under way."""

    join = stop = close


@dataclass(slots=True, kw_only=True)
class Operator:
    """Whoever runs the service of this world."""

    world: World
    at: datetime
    patch: pytest.MonkeyPatch
    folder: Path
    """For files of their own."""
    ahead: timedelta = timedelta()
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Writer(self.world.installation, self.at)
        self.patch.setattr("mailflow.log.configure", lambda **_: None)
        self.patch.setattr(pool, "ProcessPool", Here)

    # At the terminal

    def types(self, line: str) -> Done:
        """A command, without `mailflow`."""
        out, err = io.StringIO(), io.StringIO()
        arguments = ["--config", str(self.world.installation.config), *shlex.split(line)]
        with shifted(self.ahead), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = call(arguments)
        return Done(code=code, out=out.getvalue(), err=err.getvalue())

    def does(self, line: str) -> Done:
        """An act, which has its effect."""
        done = self.types(f"{line} --why 'it went wrong' --apply")
        assert done.code == 0, (line, done.out, done.err)
        return done

    def sees(self, line: str, pattern: str) -> None:
        """What a command shows."""
        done = self.types(line)
        assert re.search(pattern, done.out + done.err, re.DOTALL), (line, pattern, done.out, done.err)

    def later(self, **length: float) -> None:
        """Time passes, and nobody does anything."""
        self.ahead += timedelta(**length)

    def batch(self) -> dict[str, int]:
        """The timer runs the service once; its counts."""
        done = self.types(f"{BATCH} --json")
        assert done.code in (0, 65, 75), done.err
        self.world.settle()
        counts: dict[str, int] = done.json
        return counts

    # Alarms

    def hears(self, alarm: Alarm) -> str:
        """The alarm comes once it has lasted; what it says to type first."""
        self.types("watch")
        self.ahead += catalogue()[alarm].lasting
        self.types("watch")
        said = self.types("alarms list")
        raised = {one["alarm"]: one for one in self.types("alarms list --json").json if not one["acknowledged_by"]}
        assert alarm in raised, (raised.keys(), said.out)
        assert said.code == 65, "nobody has acknowledged it"
        command = str(raised[alarm]["command"])
        assert f"type   {command}\n" in said.out
        return command

    def is_well(self) -> None:
        """Once all has been quiet for a while nothing is told any more."""
        self.batch()
        self.ahead += SETTLED
        self.types("watch")
        said = self.types("alarms list")
        assert said.code == 0, said.out

    def knows_what_is_old(self) -> None:
        """One authority of this world publishes no lists any more, on purpose: somebody sees to it."""
        self.hears(Alarm.LIST_ENDS)
        for one in self.types("alarms list --json").json:
            self.does(f"alarms acknowledge {one['id']}")

    # The world

    @property
    def lille(self) -> DeskSoftware:
        return self.world.software[0]

    def letter(self, who: Person, desk: DeskSoftware | None = None, fate: Fate = Fate.NUMBER) -> Letter:
        """One request."""
        software = desk or self.lille
        return self.writer.letter("one person", software, self.writer.file(software, who, fate=fate))

    def comes(self, *letters: Letter) -> tuple[Letter, ...]:
        """Mails come in now."""
        self.world.post([letter.raw for letter in letters], self.at + self.ahead)
        return letters

    def answers(self, letter: Letter) -> int:
        """How often the desk has the answer."""
        return len(self._returned(letter))

    def numbers(self, letter: Letter) -> list[str]:
        """Those in all its answers."""
        return [
            found for octets in self._returned(letter) for found in re.findall(r"numUnique>(\w+)<", octets.decode())
        ]

    def _returned(self, letter: Letter) -> list[bytes]:
        found = self.world.answers(letter.software).get(letter.message_id, [])
        opened = [self.world.installation.open(letter.software, raw, self.at) for raw in found]
        return [octets for one in opened for name, octets in one.files.items() if name.startswith("RET")]

    @contextlib.contextmanager
    def settings(self, *changes: tuple[str, str]) -> Iterator[None]:
        """Other settings for a while."""
        with self.world.changed_settings(*changes) as config:
            usual, self.world.installation.config = self.world.installation.config, config
            try:
                yield
            finally:
                self.world.installation.config = usual

    @contextlib.contextmanager
    def no_server(self, port: int) -> Iterator[None]:
        """Nobody listens where this server is for a while."""
        (closed,) = free_ports(1)
        with self.settings((f"port = {port}", f"port = {closed}")):
            yield

    @contextlib.contextmanager
    def files_as_they_were(self, folder: Path) -> Iterator[None]:
        """At the end the folder holds what it held."""
        kept = {file: (file.read_bytes(), file.stat().st_mode) for file in folder.iterdir() if file.is_file()}
        try:
            yield
        finally:
            for file in (file for file in folder.iterdir() if file.is_file()):
                file.unlink()
            for file, (octets, mode) in kept.items():
                file.write_bytes(octets)
                file.chmod(mode)

    @contextlib.contextmanager
    def no_lists(self) -> Iterator[None]:
        """Without revocation lists nothing can be judged."""
        lists = self.world.installation.folder / "trust/crls"
        with self.files_as_they_were(lists):
            for authority in self._publishing:
                (lists / f"{authority.identity.name}.pem").unlink()
            yield

    def publish_lists(self, published: datetime) -> None:
        """The revocation lists of that day."""
        for authority in self._publishing:
            file = self.world.installation.folder / f"trust/crls/{authority.identity.name}.crl"
            file.write_bytes(self.world.pki.crl(authority, published=published))

    @property
    def _publishing(self) -> tuple[Authority, ...]:
        pki = self.world.pki
        return pki.root, pki.issuing_rsa, pki.issuing_ec


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that goes wrong, and how an operator without other knowledge finds it."""

    title: str
    alarm: Alarm | None
    """None: nothing of ours is wrong, and a desk calls."""
    view: str
    """What to type. Empty: what the alarm says."""
    shows: str
    """A pattern of what it shows then."""
    course: Callable[[Operator], Iterator[None]] = field(repr=False)


TROUBLES: list[Trouble] = []


def trouble(
    title: str, *, shows: str, alarm: Alarm | None = None, view: str = ""
) -> Callable[[Callable[[Operator], Iterator[None]]], Callable[[Operator], Iterator[None]]]:
    """Put a story among those that are played."""

    def keep(course: Callable[[Operator], Iterator[None]]) -> Callable[[Operator], Iterator[None]]:
        TROUBLES.append(Trouble(title=title, alarm=alarm, view=view, shows=shows, course=course))
        return course

    return keep


def play(told: Trouble, operator: Operator) -> None:
    """It goes wrong, is heard of and seen, is mended, and is over."""
    with contextlib.closing(told.course(operator)) as course:  # type: ignore[type-var]  # a generator can be closed
        next(course)
        said = operator.hears(told.alarm) if told.alarm else ""
        operator.sees(told.view or said.removeprefix("mailflow "), told.shows)
        assert next(course, None) is None
    operator.is_well()
