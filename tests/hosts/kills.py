"""`python -m tests.hosts.kills --kills N`: workers are killed (SIGKILL) at random moments under a load, and restarted.

Two to four workers, real Dovecot, Postfix and PostgreSQL. What was sent decides in the end what must have come of it:
every letter answered exactly once, one number for a person, sequences without a hole.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailflow import __version__
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from tests.hosts.crew import Worker, begin, stop_all
from tests.hosts.load import Load, Register, drained, watched
from tests.hosts.report import keep, spread
from tests.servers.postgres import postgres
from tests.support.letters import verdict
from tests.support.mail_world import MailWorld

CREW_MIN, CREW_MAX = 2, 4
CREW_LASTS = 50
"""After so many kills there are as many workers as chance says."""
WHOLE_EVERY = 5
"""Every fifth worker, by chance, begins with the jobs of the day as well: that costs more than all its mails."""
LOOK_SECONDS = 0.05
LIVES_SECONDS_MIN = 0.05
DRAIN_SECONDS_MAX = 600
UNFORESEEN = "stage=turn-failed"
"""What a worker logs of an exception that nobody foresaw, and survives."""
SETTINGS = {
    "worker": {"chunk": 10, "attempts_max": 1000, "audit_wait_minutes": 1},
    "mailbox": {"poll_seconds": 2},
    "smtp": {"connections": 4, "data_timeout_seconds": 15},
}
"""Leases are those of production, ten minutes: nobody waits for them to run out. A mail may be in the hands of many
killed workers; Postfix delivers within seconds, so that a doubtful answer need not be looked for during an hour."""


@dataclass(kw_only=True)
class Killing:
    """The kills of one run, with what they came to."""

    world: MailWorld
    register: Register
    chance: random.Random
    pause_seconds: float
    """Between two kills, on average."""
    workers: list[Worker] = field(default_factory=list)
    kills: int = 0
    held: int = 0
    """Of the killed, those that had mails in their hands."""
    hand_overs: list[float] = field(default_factory=list)
    """Seconds from such a kill until nobody waits for the dead any more."""
    died: Counter[str] = field(default_factory=Counter)
    """Workers that ended without being killed, by their exit codes."""
    _dead: dict[int, float] = field(default_factory=dict)
    """By pid: when those died that still hold something."""

    def start(self) -> Worker:
        alone = bool(self.chance.randrange(WHOLE_EVERY))
        return begin(self.world.installation.config, self.world.folder / "workers.log", mail_alone=alone)

    def run(self, load: Load, kills: int, until: float) -> None:
        """Kill until there were so many, or it is that late."""
        following = time.monotonic()
        while self.kills < kills and time.monotonic() < until:
            self._man()
            now = time.monotonic()
            if now >= following:
                self._kill(self.chance.choice(self.workers))
                following = now + self.chance.expovariate(1 / self.pause_seconds)
            self._look(load)
            time.sleep(LOOK_SECONDS)

    def _man(self) -> None:
        """As many workers as there are to be; one that ended by itself is started anew, and told."""
        for worker in [one for one in self.workers if one.ended]:
            self.died[str(worker.process.exitcode)] += 1
            self.workers.remove(worker)
        wanted = CREW_MIN + random.Random(self.kills // CREW_LASTS).randint(0, CREW_MAX - CREW_MIN)
        while len(self.workers) > wanted:
            self._kill(self.workers[0])
        while len(self.workers) < wanted:
            self.workers.append(self.start())

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        self.workers.remove(worker)
        self.kills += 1
        if worker.pid in self.register.holders():
            self.held += 1
            self._dead[worker.pid] = time.monotonic()

    def _look(self, load: Load) -> None:
        now, holders = time.monotonic(), self.register.holders()
        for pid in [pid for pid in self._dead if pid not in holders]:
            self.hand_overs.append(now - self._dead.pop(pid))
        if not self.kills % 10:
            load.answered = self.register.sent()

    def finish(self) -> list[str]:
        """Nobody is killed any more; what is left is done. What is wrong with how they ended."""
        self._man()
        done = drained(self.world, self.register, DRAIN_SECONDS_MAX)
        for code in stop_all(self.workers):
            self.died[f"stopped {code}"] += 1
        wrong = [f"a worker ended by itself, or badly: {how}" for how in self.died if how != "stopped 0"]
        log = (self.world.folder / "workers.log").read_text(encoding="utf-8", errors="replace")
        wrong += [f"unforeseen: {line}" for line in log.splitlines() if UNFORESEEN in line]
        return wrong if done else [*wrong, f"something is left to do after {DRAIN_SECONDS_MAX} s"]


def play(
    folder: Path, *, kills: int, seconds: float, seed: int, kill_pause: float, post_pause: float
) -> tuple[str, list[str]]:
    """The report, and what is wrong."""
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres())
        world = stack.enter_context(MailWorld(folder, pki, desks(pki), postgres=server, changes=SETTINGS))
        world.begin_anew()
        register = stack.enter_context(watched(world.database_url))
        killing = Killing(world=world, register=register, chance=random.Random(seed), pause_seconds=kill_pause)
        begun = time.monotonic()
        try:
            with Load(world=world, at=at, pause_seconds=post_pause) as load:
                killing.run(load, kills, begun + seconds)
            lasted = time.monotonic() - begun
            wrong = killing.finish()
        finally:
            for worker in killing.workers:
                worker.kill()
        world.settle()
        _, _, aside = register.rest()
        wrong += verdict(world, load.letters, at)
        report = _report(killing, load, register, seed, lasted, aside, wrong)
    return report, wrong


def _report(
    killing: Killing, load: Load, register: Register, seed: int, lasted: float, aside: int, wrong: Sequence[str]
) -> str:
    lines = [
        f"mailflow {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}",
        "",
        f"{killing.kills} workers killed in {lasted:.0f} s, two to four at a time, each restarted at once;",
        f"{killing.held} of them had mails in their hands.",
        f"Letters sent: {len(load.letters)}; set aside or held: {aside}.",
        f"Time until what a killed worker held was another's: {spread(killing.hand_overs)}.",
        f"Time from reception to the answer, kills included: {spread(register.waits())}.",
        f"Workers that ended otherwise, by exit code: {dict(killing.died) or 'none'}.",
        "",
        "Lost, doubled, answered twice, holes in the sequences: " + ("none." if not wrong else f"{len(wrong)}"),
        *wrong[:50],
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="end earlier, if it is that late")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--kill-pause", type=float, default=0.3, metavar="SECONDS")
    parser.add_argument("--post-pause", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailflow-kills-") as folder:
        report, wrong = play(
            Path(folder),
            kills=options.kills,
            seconds=options.minutes * 60,
            seed=options.seed,
            kill_pause=options.kill_pause,
            post_pause=options.post_pause,
        )
    sys.stdout.write(report + "\n")
    if options.report:
        keep(report + "\n", options.report)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
