"""The whole sweep, or a part of it: `python -m tests.faults --help`.

Each kind of fault is played on the servers that it is about; `again` breaks the run that mends one of the worst faults.
Needs what `tests/servers/install` installs, and root for Postfix.
"""

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mailflow.selftest.points import Portion
from tests.faults import report
from tests.faults.places import AGAIN, PLACES, swept
from tests.faults.progress import Progress
from tests.faults.report import Row
from tests.support.version import version_of

PROGRESS = Path("build/faults/progress.jsonl")
SWEPT = ("mailflow", "tests/faults", "tests/support/letters.py", "tests/support/mail_world.py")
"""What makes a row what it is: whatever else changes, it was played."""


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted({place.kind for place in PLACES})))
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), help="Only there.")
@click.option("--mailbox", type=click.Choice(sorted({place.mailbox for place in PLACES})), help="Only there.")
@click.option("--every", default=1, show_default=True, help="One of so many cases.")
@click.option("--every-way", is_flag=True, help="Second faults too in each way, not in one of them by chance (days).")
@click.option("--minutes", type=float, help="No run begins later; a sweep that is cut short has seen some of all.")
@click.option("--after", default="", help="Only second faults, after a first one that this is a part of.")
@click.option("--jobs", default=4, show_default=True, help="Worlds side by side: two for each core keep it busy.")
@click.option("--report", "folder", type=click.Path(path_type=Path), default=Path("build/faults"), show_default=True)
def main(
    kinds: tuple[str, ...],
    database: str | None,
    mailbox: str | None,
    every: int,
    every_way: bool,
    minutes: float | None,
    after: str,
    jobs: int,
    folder: Path,
) -> None:
    """Break the worker at every point, and say what came of it. Ends with 1 when anything was wrong.

    Rows of the report that are not played now stay as they are, and a whole one until another is whole. What was cut
    off is gone on with, as long as neither the service nor the sweep has changed.
    """
    places = [
        place
        for place in PLACES
        if (not kinds or place.kind in kinds)
        and database in {None, place.database}
        and mailbox in {None, place.mailbox}
        and after in str(place.first or "")
    ]
    before = report.kept(folder)
    version, day = version_of(*SWEPT), str(datetime.now(UTC).date())
    kept_in = None if version.endswith("+") else PROGRESS
    until = time.time() + minutes * 60 if minutes else float("inf")
    rows: list[Row] = []
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [
            pool.submit(
                swept,
                place,
                Portion(every=every, share=share, shares=jobs),
                until,
                place.kind == AGAIN and not every_way,
                Progress(file=kept_in, place=" ".join(filter(None, place.row.place)), version=version),
            )
            for place in places
            for share in range(jobs)
        ]
        for done in as_completed(shares):
            rows.append(replace(done.result(), version=version, day=day))
            click.echo(f"{' '.join(filter(None, rows[-1].place))}: {rows[-1].runs} runs")
            came = Counter(row.place for row in rows)
            report.write(folder, in_order(before, [row for row in rows if came[row.place] == jobs]))
    click.echo((folder / report.MARKDOWN).read_text(encoding="utf-8"))
    sys.exit(any(row.findings for row in rows))


def in_order(before: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """Summed, as the places are listed; those of before where there are none now, or only a part of a whole one."""
    rows = {row.place: row for row in before}
    rows |= {row.place: row for row in report.summed(now) if row.is_whole or not rows.get(row.place, row).is_whole}
    return [rows.get(place.row.place, place.row) for place in PLACES]


if __name__ == "__main__":
    main()
