"""`mailflow replay`: would past mails be decided as they were, by these rules and this version?"""

from collections.abc import Sequence

import click

from mailflow import __version__, app
from mailflow.cli.finding import filter_options
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_json, show_rows, wait_for
from mailflow.register import decided
from mailflow.register.cases import Filter
from mailflow.review.comparison import Difference, Summary, sentence
from mailflow.review.shadow import Replayed

LIMIT = 10_000
SHOWN_MAX, LISTED_MAX = 50, 100_000
"""Differences that are told one by one: on the terminal, and by `--json`. The sums count all of them."""


@click.command()
@filter_options
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="The latest so many mails.")
@json_option
@click.pass_obj
def replay(invocation: Invocation, which: Filter, limit: int, as_json: bool) -> int:
    """Decide past mails again, in a register that is thrown away, and compare with what was decided.

    The register is only read. Exit code 65 when anything is decided otherwise. Installed beside the service, another
    version shows what it would change: run it with the service's settings.

    Example: mailflow replay --since 2026-11-01 --desk 59123
    """
    return wait_for(_replay(invocation, which, limit, as_json=as_json))


async def _replay(invocation: Invocation, which: Filter, limit: int, *, as_json: bool) -> int:
    invocation.log_to_stderr()
    total, differences = Summary(), list[Row]()
    async with app.shadow_of(invocation.settings) as shadow:
        kept, erased = await decided.count(shadow.tx, which)
        chosen = await decided.choose(shadow.tx, which, limit)
        async for one in shadow.replay(chosen):
            total.add(one.outcomes)
            differences += rows_of(one)[: LISTED_MAX - len(differences)]
    facts = {"version": __version__, "mails": total.mails, "left_out": kept - len(chosen), "erased": erased}
    if as_json:
        show_json(facts | _sums(total) | {"differences": differences})
    else:
        _tell(facts, total, differences)
    return Exit.SET_ASIDE if total.mails_that_differ else Exit.DONE


def rows_of(replayed: Replayed) -> list[Row]:
    """What is decided otherwise, or cannot be compared."""
    return [
        {
            "intake": replayed.intake,
            "desk": one.unit.desk,
            "file": one.unit.file,
            "request": one.unit.position or None,
            "difference": one.difference.value,
            "gone": " ".join(one.gone),
            "new": " ".join(one.new),
            "why": one.doubt.value if one.doubt else "",
        }
        for one in replayed.outcomes
        if one.difference is not Difference.SAME
    ]


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
