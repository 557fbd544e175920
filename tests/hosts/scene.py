"""Workers on hosts of their own, one register, one mailbox: a scene that scenarios are played on, with its timeline."""

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.registrar import ending
from tests.hosts.crew import Worker, begin
from tests.hosts.load import Load, Register, drained, watched
from tests.hosts.network import Host, Network
from tests.servers.replicas import PORT, Node
from tests.support import killed
from tests.support.letters import verdict
from tests.support.mail_world import MailWorld

SETTINGS = {
    "worker": {"chunk": 10, "attempts_max": 20, "audit_wait_minutes": 1},
    "mailbox": {"poll_seconds": 2, "timeout_seconds": 10},
    "smtp": {"connections": 2, "timeout_seconds": 10, "data_timeout_seconds": 15},
}
"""Leases are those of production, ten minutes. Mail servers that do not answer are given up sooner than in production,
and a doubtful answer is looked for during a minute only, since Postfix delivers at once."""
LOOK_SECONDS = 0.1
ARCHIVE_KEY = "archive.key"
"""File in the folder of the world: the private key that `mailflow restore` asks for."""
AMONG = 20
"""Letters of a scenario, about; half before the fault."""
POST_SECONDS = 0.5
WAIT_SECONDS_MAX = 120
LINE_CHARACTERS = 150
"""Of what is wrong: a sequence with a hole is as long as the sequence."""
DRAIN_SECONDS_MAX = 300


@dataclass(kw_only=True)
class CutAt:
    """What a worker does when it comes to a point: it cuts these ways (who speaks, who hears nothing), and goes on."""

    point: str
    ways: Sequence[tuple[Host, Host]]
    mark: Path

    def install(self) -> None:
        """In the process of the worker."""
        killed.set_up(_Points(self))


@dataclass(kw_only=True)
class InAJob:
    """A worker whose job stays where it has ended requests and not committed it, as long as the mark is there.

    All else of the worker goes on.
    """

    mark: Path

    def install(self) -> None:
        """In the process of the worker."""
        end_lapsed = ending.end_lapsed

        @functools.wraps(end_lapsed)
        async def staying(*args: Any) -> Any:
            ended = await end_lapsed(*args)
            if ended:
                self.mark.touch()
                await asyncio.to_thread(self._stay)
            return ended

        setattr(ending, "end_lapsed", staying)  # noqa: B010  mypy would not have a function assigned

    def _stay(self) -> None:
        while self.mark.exists():
            time.sleep(LOOK_SECONDS)


class _Points(killed.Points):
    def __init__(self, what: CutAt) -> None:
        super().__init__(what.point, None)
        self._what = what

    def strike(self) -> None:
        for speaks, hears in self._what.ways:
            speaks.cut(hears)
        self._what.mark.touch()


def _settle_in(host: Host, change: CutAt | InAJob | None) -> None:
    host.enter()
    if change is not None:
        change.install()


@dataclass(kw_only=True)
class Scene:
    """One scenario at a time; `anew` empties everything."""

    network: Network
    world: MailWorld
    at: datetime
    nodes: list[Node]
    """The first is primary at the beginning."""
    register: Register
    workers: dict[str, Worker] = field(default_factory=dict)
    timeline: list[tuple[float, str]] = field(default_factory=list)
    _begun: float = 0.0

    @property
    def mark(self) -> Path:
        """Is there once a worker came to its point."""
        return self.world.folder / "reached"

    def anew(self) -> None:
        self.network.heal()
        self.world.begin_anew()
        self.mark.unlink(missing_ok=True)
        for log in self.world.folder.glob("*.log"):
            log.unlink()
        self.timeline.clear()
        self.register.look_at(self.nodes[0].server.url(self.world.database))
        self._begun = time.monotonic()

    def note(self, text: str) -> None:
        """Something happened, just now."""
        self.timeline.append((time.monotonic() - self._begun, text))

    def host(self, name: str) -> Host:
        return self.network.host(name)

    def start(self, name: str, change: CutAt | InAJob | None = None, *, mail_alone: bool = True) -> Worker:
        """A worker on the host of that name."""
        config = self._config(name)
        before = partial(_settle_in, self.host(name), change)
        worker = begin(config, self._log(name), before=before, mail_alone=mail_alone)
        self.workers[name] = worker
        return worker

    def said(self, name: str) -> str:
        """What the workers on that host have logged."""
        return self._log(name).read_text(encoding="utf-8")

    def _log(self, name: str) -> Path:
        return self.world.folder / f"{name}.log"

    def mailflow(self, name: str, *arguments: str) -> tuple[int, str]:
        """A command on that host: its exit code and what it said."""
        command = [sys.executable, "-m", "mailflow", "--config", str(self._config(name)), *arguments]
        done = subprocess.run(self.host(name).command(*command), check=False, capture_output=True, text=True)
        return done.returncode, done.stdout

    def _config(self, name: str) -> Path:
        """The settings as that host has them: every server by its address, and every node of the database."""
        text = self.world.installation.config.read_text(encoding="utf-8")
        nodes = "&".join(f"host={node.host.address}:{PORT}" for node in self.nodes)
        url = f"postgresql://postgres@/{self.world.database}?{nodes}&connect_timeout=3"
        dovecot, mail = self.world.dovecot, f'host = "{self.network.mail.address}"'
        plain = f'host = "127.0.0.1"\nport = {dovecot.imap_port}\nsecurity = "plain"'
        tls = f'{mail}\nport = {dovecot.imaps_port}\nsecurity = "tls"\nca_file = "{dovecot.certificate.certificate}"'
        text = text.replace(self.world.database_url, url).replace(plain, tls).replace('host = "127.0.0.1"', mail)
        config = self.world.installation.config.with_name(f"{name}.toml")
        config.write_text(text, encoding="utf-8")
        return config

    def holds(self, name: str) -> int:
        """How many mails the worker of that host has leased."""
        return self.register.holders().get(self.workers[name].pid, 0)

    def wait(self, what: str, until: Callable[[], bool], seconds: float = WAIT_SECONDS_MAX) -> bool:
        """Until that is so; the timeline tells when, or that it did not come to it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until():
                self.note(what)
                return True
            time.sleep(LOOK_SECONDS)
        self.note(f"NOT within {seconds:.0f} s: {what}")
        return False

    def check(self, what: str, holds: bool) -> None:
        """The timeline tells it, and whether it is not so."""
        self.note(what if holds else f"NOT so: {what}")

    def wait_for_mark(self) -> bool:
        return self.wait("the worker on a came to that point and was cut off", self.mark.exists)

    def wait_until_free(self, name: str) -> bool:
        return self.wait(f"what {name} held is free", lambda: not self.holds(name))

    def wait_for_answers(self, number: int) -> bool:
        """So many more than now."""
        before = self.register.sent()
        return self.wait(f"{number} more answers have left", lambda: self.register.sent() >= before + number)

    @contextlib.contextmanager
    def load(self) -> Iterator[Load]:
        with Load(world=self.world, at=self.at, pause_seconds=POST_SECONDS, ahead_max=AMONG * 10) as load:
            yield load

    def finish(self, load: Load, *, restored: bool = False) -> list[str]:
        """Everybody is back; once all is done, what is wrong with what came of the letters."""
        done = drained(self.world, self.register, DRAIN_SECONDS_MAX)
        self.note("nothing is left to do" if done else "NOT: nothing is left to do")
        for name, worker in self.workers.items():
            if worker.ended:
                self.note(f"the worker on {name} had ended with {worker.process.exitcode}")
        self.end_workers()
        self.world.settle()
        return verdict(self.world, load.letters, self.at, restored=restored)

    def end_workers(self) -> None:
        for worker in self.workers.values():
            if not worker.ended:
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self.workers.values():
            worker.process.join(10)
            worker.kill()
        self.workers.clear()


@contextlib.contextmanager
def scene(folder: Path, names: Sequence[str]) -> Iterator[Scene]:
    """Mail servers on one host and a node of PostgreSQL on each that is named, the first being primary."""
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network())
        nodes = [Node(host=network.host(name)) for name in names]
        for node in nodes:
            stack.callback(node.close)
        nodes[0].create()
        nodes[0].start()
        certificate = folder / "archive.pem"
        certificate.write_bytes(pki.archive.pem)
        (folder / ARCHIVE_KEY).write_bytes(pki.archive.key_pem)
        changes: dict[str, dict[str, Any]] = {**SETTINGS, "keys": {"archive_certificate_file": str(certificate)}}
        world = MailWorld(
            folder, pki, desks(pki), postgres=nodes[0].server, changes=changes, address=network.mail.address
        )
        stack.enter_context(world)
        register = stack.enter_context(watched(""))
        played = Scene(network=network, world=world, at=at, nodes=nodes, register=register)
        stack.callback(played.end_workers)
        stack.callback(network.heal)
        yield played


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a scenario."""

    title: str
    timeline: Sequence[tuple[float, str]]
    letters: int
    wrong: Sequence[str]
    as_expected: bool

    def text(self) -> str:
        """As the report has it."""
        steps = [f"| {seconds:.1f} | {what} |" for seconds, what in self.timeline]
        end = f"{self.letters} letters; lost, doubled, answered twice:{'' if self.wrong else ' none.'}"
        wrong = [f"- {one[:LINE_CHARACTERS]}" for one in self.wrong]
        lines = [f"### {self.title}", "", "| s | what |", "|--:|---|", *steps, "", end, *([""] * bool(wrong)), *wrong]
        return "\n".join(lines)


def title_of(scenario: Callable[[Scene], None]) -> str:
    """Its first line."""
    return (scenario.__doc__ or scenario.__name__).strip()
