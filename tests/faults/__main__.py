"""The whole sweep, or a part of it: `python -m tests.faults --help`.

Each kind of fault is played on the servers that it is about; `again` breaks the run that mends one of the worst faults.
Needs what `tests/servers/install` installs, and root for Postfix.
"""

import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path

import click

from mailflow.selftest.points import Portion
from tests.faults import report
from tests.faults.places import PLACES, Place, swept
from tests.faults.report import Row


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted({place.kind for place in PLACES})))
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), help="Only there.")
@click.option("--mailbox", type=click.Choice(["dovecot", "cyrus"]), help="Only there.")
@click.option("--every", default=1, show_default=True, help="One of so many cases.")
@click.option("--minutes", type=float, help="No run begins later; a sweep that is cut short has seen some of all.")
@click.option("--jobs", default=2, show_default=True, help="Worlds side by side.")
@click.option("--report", "folder", type=click.Path(path_type=Path), default=Path("build/faults"), show_default=True)
def main(
    kinds: tuple[str, ...],
    database: str | None,
    mailbox: str | None,
    every: int,
    minutes: float | None,
    jobs: int,
    folder: Path,
) -> None:
    """Break the worker at every point, and say what came of it. Ends with 1 when anything was wrong."""
    places = [
        place
        for place in PLACES
        if (not kinds or place.kind in kinds)
        and database in {None, place.database}
        and mailbox in {None, place.mailbox}
    ]
    begun_at, of = datetime.now(UTC), report.version()
    until = time.time() + minutes * 60 if minutes else float("inf")
    rows: list[Row] = []
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [
            pool.submit(swept, place, Portion(every=every, share=share, shares=jobs), until)
            for place in places
            for share in range(jobs)
        ]
        for done in as_completed(shares):
            rows.append(done.result())
            click.echo(f"{rows[-1].kind} {rows[-1].database} {rows[-1].mailbox}: {rows[-1].runs} runs")
            report.write(folder, in_order(rows, places), of=of, begun_at=begun_at)
    click.echo((folder / "faults.md").read_text(encoding="utf-8"))
    sys.exit(any(row.findings for row in rows))


def in_order(rows: Sequence[Row], places: Sequence[Place]) -> list[Row]:
    """Summed, as the places are listed."""
    order = [(place.kind, place.database, place.mailbox) for place in places]
    return sorted(report.summed(rows), key=lambda row: order.index((row.kind, row.database, row.mailbox)))


if __name__ == "__main__":
    main()
