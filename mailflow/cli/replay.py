"""`mailflow replay`: would past mails be decided as they were, by these rules and this version?"""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from mailflow import __version__, app
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_json, show_rows, wait_for
from mailflow.register import decided
from mailflow.register.decided import Selection
from mailflow.review.comparison import Compared, Difference, Summary, sentence, summary
from mailflow.review.shadow import Replayed

LIMIT = 10_000
SHOWN_MAX = 50
"""Differences that are shown one by one; `--json` has all of them."""
INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("intakes", type=int, nargs=-1)
@click.option("--since", type=INSTANT, help="Mails received then or later, in UTC.")
@click.option("--until", type=INSTANT, help="Mails received before that, in UTC.")
@click.option("--desk", help="Only mails with something of this desk.")
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="The latest so many mails.")
@json_option
@click.pass_obj
def replay(
    invocation: Invocation,
    intakes: tuple[int, ...],
    since: datetime | None,
    until: datetime | None,
    desk: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Decide past mails again, in a register that is thrown away, and compare with what was decided: INTAKES, or all.

    The register is only read. Exit code 65 when anything is decided otherwise. Installed beside the service, another
    version shows what it would change: run it with the service's settings.

    Example: mailflow replay --since 2026-11-01 --desk 59123
    """
    selection = Selection(since=_utc(since), until=_utc(until), desk=desk, ids=intakes)
    return wait_for(_replay(invocation, selection, limit, as_json=as_json))


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


async def _replay(invocation: Invocation, selection: Selection, limit: int, *, as_json: bool) -> int:
    invocation.log_to_stderr()
    async with app.shadow_of(invocation.settings) as shadow:
        kept, erased = await decided.count(shadow.tx, selection)
        chosen = await decided.choose(shadow.tx, selection, limit)
        replayed = [one async for one in shadow.replay(chosen)]
    total = summary(one.outcomes for one in replayed)
    differences = [_row(one, compared) for one in replayed for compared in one.outcomes if _is_told(compared)]
    facts = {"version": __version__, "mails": total.mails, "left_out": kept - len(chosen), "erased": erased}
    if as_json:
        show_json(facts | _sums(total) | {"differences": differences})
    else:
        _tell(facts, total, differences)
    return Exit.SET_ASIDE if total.mails_that_differ else Exit.DONE


def _is_told(one: Compared) -> bool:
    return one.difference is not Difference.SAME


def _row(replayed: Replayed, one: Compared) -> Row:
    return {
        "intake": replayed.mail.id,
        "desk": one.unit.desk,
        "file": one.unit.file,
        "request": one.unit.position or None,
        "difference": one.difference.value,
        "gone": " ".join(one.gone),
        "new": " ".join(one.new),
        "why": one.doubt.value if one.doubt else "",
    }


def _sums(total: Summary) -> dict[str, object]:
    return {
        "mails_that_differ": total.mails_that_differ,
        "requests": _words(total.requests),
        "by_desk": [{"desk": desk, **_words(found)} for desk, found in sorted(total.desks.items())],
        "by_code": [
            {"code": code, "new": found["new"], "gone": found["gone"], **_refusals(found), "sentence": sentence(code)}
            for code, found in sorted(total.codes.items())
        ],
        "not_comparable": {doubt.value: number for doubt, number in total.doubts.items()},
    }


def _words(found: dict[Difference, int]) -> dict[str, int]:
    return {difference.value.replace(" ", "_"): found.get(difference, 0) for difference in Difference}


def _refusals(found: dict[str, int]) -> dict[str, int]:
    kinds = (Difference.NEWLY_REFUSED, Difference.NEWLY_ACCEPTED)
    return {difference.value.replace(" ", "_"): found.get(difference, 0) for difference in kinds}


def _tell(facts: Row, total: Summary, differences: Sequence[Row]) -> None:
    said = f"Decided again by version {facts['version']}: {facts['mails']} mails"
    said += f", {total.requests.total()} requests; {total.mails_that_differ} mails differ."
    say(said)
    for number, why in ((facts["erased"], "were erased"), (facts["left_out"], "are beyond --limit")):
        if number:
            say(f"{number} more mails {why}.")
    sums = _sums(total)
    for name in ("by_desk", "by_code"):
        rows = sums[name]
        assert isinstance(rows, list)
        if rows:
            show_rows(rows, tuple(rows[0]), as_json=False, empty="")
    for doubt, number in sorted(total.doubts.items()):
        say(f"not comparable, {doubt.value}: {number}")
    told = [row for row in differences if row["difference"] != Difference.NOT_COMPARABLE][:SHOWN_MAX]
    columns = ("intake", "desk", "file", "request", "difference", "gone", "new")
    show_rows(told, columns, as_json=False, empty="Everything is decided as it was.")
