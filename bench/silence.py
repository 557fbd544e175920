"""How long a mail lies in the inbox whose sender is not proven, for each reason why: is one seen from another?

A mail that is answered by silence leaves nothing outside but the instant at which it leaves the inbox, which who can
look into the mailbox may see. One kind after the other is handed to an idle worker, in an order of chance.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.runs import NotAsExpectedError
from mailflow import app
from mailflow.core.anomalies import Code
from mailflow.demo.pki import Pki
from mailflow.register import backlog
from mailflow.settings import load
from tests.support.mail_world import INBOX, SERVICE_USER, MailWorld
from tests.support.silent_mails import WHY, Writer, desks

MAILS_A_KIND = 50
LOOK_SECONDS = 0.001
REST_SECONDS = 0.2
LEAVES_SECONDS_MAX = 60
CHANGES = {"mailbox": {"poll_seconds": 5}}
"""Far above what is measured: a mail that was found by polling would be seen in the figures."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.silence", description=__doc__)
    parser.add_argument("--mails", type=int, default=MAILS_A_KIND, help="of each kind")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    with (
        tempfile.TemporaryDirectory() as folder,
        MailWorld(Path(folder), pki, desks(pki), changes=CHANGES) as world,
    ):
        good, revoked = world.software
        writer = Writer(installation=world.installation, good=good, revoked=revoked, at=at)
        seconds = _measure(world, writer, options.mails)
        reasons = asyncio.run(_reasons(world))
    if reasons != dict.fromkeys(WHY, options.mails + 1):
        raise NotAsExpectedError(f"mails were set aside for other reasons: {reasons}")
    if options.json is not None:
        options.json.write_text(json.dumps({"at": at.isoformat(), "seconds": seconds}, indent=2) + "\n")
    _show(seconds)


def _measure(world: MailWorld, writer: Writer, mails: int) -> Mapping[Code, Sequence[float]]:
    seconds: dict[Code, list[float]] = {why: [] for why in WHY}
    kinds = list(WHY) * (mails + 1)  # the first of each warms up and does not count
    random.Random(5).shuffle(kinds)
    lot = [(why, writer.silent(why, number)) for number, why in enumerate(kinds, 1)]
    worker = world.start(arguments=["run"])
    try:
        with world.mailbox.session(SERVICE_USER) as client:
            for why, raw in lot:
                handed_in = time.monotonic()
                client.append(INBOX, "", "", raw)
                while client.status(INBOX, "(MESSAGES)")[1] != [f"{INBOX} (MESSAGES 0)".encode()]:
                    if time.monotonic() - handed_in > LEAVES_SECONDS_MAX:
                        raise NotAsExpectedError(f"a mail lies in the inbox: {why}")
                    time.sleep(LOOK_SECONDS)
                seconds[why].append(time.monotonic() - handed_in)
                time.sleep(REST_SECONDS)
    finally:
        worker.stop()
    return {why: found[1:] for why, found in seconds.items()}


async def _reasons(world: MailWorld) -> Mapping[str, int]:
    """For which reasons how many mails were set aside."""
    settings = load(world.installation.config)
    async with app.register_of(settings) as register, register.read() as tx:
        return await backlog.set_aside_reasons(tx)


def _show(seconds: Mapping[Code, Sequence[float]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("ms in the inbox", "mails", "median", "a tenth below", "a tenth above", "worst"):
        table.add_column(title, justify="left" if title == "ms in the inbox" else "right")
    medians = []
    for why, found in seconds.items():
        tenths = statistics.quantiles(found, n=10)
        medians.append(statistics.median(found))
        figures = (medians[-1], tenths[0], tenths[-1], max(found))
        table.add_row(why.name.lower().replace("_", " "), str(len(found)), *(f"{1000 * one:.0f}" for one in figures))
    Console().print(table)
    Console().print(f"longest median to shortest: {max(medians) / min(medians):.3f}")


if __name__ == "__main__":
    main()
