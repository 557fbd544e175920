"""`make bench-flood`: one desk's 20,000 mails lie in the mailbox, and behind them a single one of another desk.

How long that one waits: until all before it are taken in, and from then on, when the desks have their turns. Rates of
the same run stand beside it, since machines differ, and how long it would wait in the order of reception alone.
"""

import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from bench import mails
from bench.runs import NotAsExpectedError, instants, service
from bench.world import DELIVERIES, SERVICE, SERVICE_USER, World, world
from mailflow.demo.pki import Pki
from tests.servers.dovecot import DOMAIN

CORES = os.cpu_count() or 1
LOOK_SECONDS = 0.2
NOTHING_SECONDS_MAX = 120.0
"""Without any mail taken in or answered for so long, the worker does not do what it is measured at."""
DATABASES = ("sqlite", "postgresql")
PROGRAMS = ("mailflow", "bench.bare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What became of the single mail. Seconds are from the first mail that was taken in."""

    flood: int
    """Mails that lay before it in the mailbox."""
    seconds_to_taken_in: float
    """Of the single mail, the last of all."""
    seconds_to_answered: float
    answered_before: int
    """Mails of the flood that were answered before it."""
    answered_since_taken_in: int
    """Those of them that were answered after it was taken in."""

    @property
    def taken_in_a_second(self) -> float:
        return self.flood / self.seconds_to_taken_in

    @property
    def answered_a_second(self) -> float:
        """While all this was going on."""
        return (self.answered_before + 1) / self.seconds_to_answered

    @property
    def seconds_in_order_of_reception(self) -> float:
        """What it would wait at that rate behind all of them."""
        return self.flood / self.answered_a_second


@click.command()
@click.option("--mails", "count", default=20_000, show_default=True, help="How many the one desk has sent.")
@click.option("--database", type=click.Choice(DATABASES), default="sqlite", show_default=True)
@click.option("--program", type=click.Choice(PROGRAMS), default="mailflow", show_default=True)
@click.option("--delivery", type=click.Choice([*DELIVERIES]), default="postfix", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here as well.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".cache/bench-flood"), show_default=True)
def main(count: int, database: str, program: str, delivery: str, json_file: Path | None, folder: Path) -> None:
    """Measure how long a single mail waits behind a flood; bench.bare answers without attestations."""
    at = datetime.now(UTC).replace(microsecond=0)
    shutil.rmtree(folder, ignore_errors=True)
    pki = Pki(at=at)
    software = mails.senders(pki, DOMAIN)
    print(f"making {count} signed and encrypted requests", file=sys.stderr, flush=True)
    flood, (single,) = (
        mails.make(
            some,
            number,
            at=at,
            encrypt_to=pki.service_rsa.der,
            recipient=SERVICE,
            processes=CORES,
            first=first,
        )
        for some, number, first in ((software[:1], count, 0), (software[1:2], 1, count))
    )
    with world(folder.absolute(), pki, software, database, delivery=delivery) as around:
        around.dovecot.fill(SERVICE_USER, flood)
        around.dovecot.fill(SERVICE_USER, [single])
        waited = _wait(around, count, program)
    rates = ("taken_in_a_second", "answered_a_second", "seconds_in_order_of_reception")
    facts = asdict(waited) | {name: getattr(waited, name) for name in rates}
    if json_file is not None:
        facts_of_all = {"at": at.isoformat(), "cores": CORES, "database": database, "program": program, **facts}
        json_file.write_text(json.dumps(facts_of_all, indent=2) + "\n")
    _show(waited, f"{database}, {program}, {CORES} cores")


def _wait(around: World, flood: int, program: str) -> Waited:
    """Until the single mail, which is taken in last, is answered; then the worker is stopped."""
    log = around.folder / "flood.log"
    answered = re.compile(rf"^(\S+) .* intake={flood + 1} stage=sent ", re.MULTILINE)
    seen, since = 0, time.monotonic()
    with service(around, log, program=program) as worker:
        while not (found := answered.search(text := log.read_text())):
            if len(text) > seen:
                seen, since = len(text), time.monotonic()
            elif time.monotonic() - since > NOTHING_SECONDS_MAX:
                raise NotAsExpectedError(f"the single mail is not answered; see {log}")
            time.sleep(LOOK_SECONDS)
        worker.kill()  # it would finish its turn, which nobody waits for
    end = datetime.fromisoformat(found[1]).timestamp()
    taken, sent = instants(log, "taken-in"), instants(log, "sent")
    before = [one for one in sent if one < end]
    return Waited(
        flood=flood,
        seconds_to_taken_in=taken[-1] - taken[0],
        seconds_to_answered=end - taken[0],
        answered_before=len(before),
        answered_since_taken_in=len([one for one in before if one >= taken[-1]]),
    )


def _show(waited: Waited, where: str) -> None:
    console = Console(highlight=False)
    console.print(f"{where}: one mail behind {waited.flood} of another desk")
    console.print(f"taken in after {waited.seconds_to_taken_in:.1f} s, {waited.taken_in_a_second:.0f} mails a second")
    console.print(
        f"answered after {waited.seconds_to_answered:.1f} s: {waited.answered_since_taken_in} others were answered"
        f" between, {waited.answered_before} in all, {waited.answered_a_second:.0f} a second"
    )
    console.print(f"in the order of reception it would be {waited.seconds_in_order_of_reception:.0f} s")
    console.print(f"taking in is {waited.taken_in_a_second / waited.answered_a_second:.1f} times as fast as answering")


if __name__ == "__main__":
    main()
