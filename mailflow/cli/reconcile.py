"""`mailflow reconcile`: the account sheet of mailboxes and register; what does not add up, and mending it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import click

from mailflow import app
from mailflow.cli.invocation import Act, Exit, Invocation, Row, act_options, say, show_json, show_rows, wait_for
from mailflow.core.accounts import Cause, PassedOver
from mailflow.core.calendar import PARIS
from mailflow.core.numbers import CANARY_TERRITORY
from mailflow.ledger import reckoning
from mailflow.ledger.differences import MEANINGS, Difference, Kind
from mailflow.ledger.reading import Sheet
from mailflow.register import journal

SETTLED_MINUTES = 15
SHOWN_MAX = 20
"""Differences of a kind that the terminal shows one by one (`--json`: up to a thousand), and stretches of one act."""
STRETCHES_MAX = 1_000
"""Of numbers that are passed over, those of a territory that `--json` tells one by one."""
CAUSES = {
    Cause.JUMP: "left out by a jump after a restore, since nobody could tell which had gone out",
    Cause.NEVER_LEFT: "of the time that a restore lost, in no answer that left",
    Cause.KEPT: "kept for the requests that had them in a lost time, until these come again",
}
KINDS = [kind.value for kind in Kind]


@click.command()
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    help="Mend, and tell, these kinds only, as the sheet names them; the verdict is of all kinds.",
)
@click.option(
    "--settled",
    default=SETTLED_MINUTES,
    show_default=True,
    type=click.IntRange(min=0),
    help="Minutes: what happened within them is in motion, and no difference.",
)
@click.option("--octets", is_flag=True, help="Read every copy in the audit mailbox, and compare its SHA-256. Slow.")
@act_options
@click.pass_obj
def reconcile(invocation: Invocation, kinds: Sequence[str], settled: int, *, octets: bool, act: Act) -> int:
    """Account for every mail, request, number, answer and copy; name what does not add up, and what helps.

    Works beside the service or without it. Exit code 65 when something does not add up that is not explained by
    itself. With --apply what can be mended is, and the sheet is that of afterwards. A register that is behind its
    mailboxes takes no unknown mail in: that is for `mailflow restore`.

    Example: mailflow reconcile --kind sent-unrecorded --why "restored last night" --apply
    """
    if act.apply and not act.why:
        raise click.UsageError("say why, with --why: the reason is kept in the journal")
    wanted = frozenset(Kind(kind) for kind in kinds) or frozenset(Kind)
    sheet, mended = wait_for(_reconcile(invocation, wanted, timedelta(minutes=settled), act, octets=octets))
    found = [kind for kind in Kind if sheet.found[kind] and kind in wanted]
    if act.as_json:
        show_json(_facts(sheet, mended, found, act))
    else:
        _print(sheet, mended, found, act)
    return Exit.DONE if adds_up(sheet) else Exit.SET_ASIDE


async def _reconcile(
    invocation: Invocation, wanted: frozenset[Kind], settled: timedelta, act: Act, *, octets: bool
) -> tuple[Sheet, Counter[Kind]]:
    async with app.ledger_of(invocation.settings, settled, octets=octets, mends=act.apply) as ledger:
        sheet = await ledger.reading().sheet()
        if not act.apply:
            return sheet, Counter()
        mending = ledger.mending(journal.Act(by=act.by, why=act.why))
        mended = await mending.mend(sheet, wanted)
        return await ledger.reading().sheet() if mended else sheet, mended


def adds_up(sheet: Sheet) -> bool:
    """The verdict, of all that was found: also of kinds that nobody asked about, where numbers may go twice."""
    return all(MEANINGS[kind].adds_up for kind, count in sheet.found.items() if count)


def _of_other_kinds(sheet: Sheet, found: Sequence[Kind]) -> int:
    """Differences that are not shown."""
    return sheet.found.total() - sum(sheet.found[kind] for kind in found)


def lines(sheet: Sheet) -> Iterator[Row]:
    """The account: every count with what it is of."""
    for (place, status), count in sorted(sheet.mails.items()):
        yield {"of": f"mails in {sheet.folders[place]}", "what": status.value, "count": count}
    for (state,), count in sheet.totals.mails:
        yield {"of": "mails on record", "what": state, "count": count}
    for (kind, state), count in sheet.totals.outgoing:
        yield {"of": f"outgoing, {kind}", "what": state, "count": count}
    yield {"of": "copies", "what": "of this service", "count": sheet.copies_of_ours}
    yield {"of": "copies", "what": "of others", "count": sheet.copies_of_others}
    yield {"of": "dispatches", "what": "on record", "count": sheet.totals.dispatches}
    for (state,), count in sheet.totals.requests:
        yield {"of": "requests", "what": state, "count": count}


def numbers(sheet: Sheet) -> Iterator[Row]:
    """By territory, how many numbers were given, and what became of them."""
    territories = sorted({one.name.partition(" ")[0] for one in sheet.numbers})
    for territory in territories:
        mine = [one for one in sheet.numbers if one.name.partition(" ")[0] == territory]
        given, rows = sum(one.counter or 0 for one in mine), sum(one.rows for one in mine)
        removed, left_out = sum(one.removed for one in mine), [sheet.passed_over.get(one.name, ()) for one in mine]
        void = sum(reckoning.covered([one.stretch for one in some]) for some in left_out)
        yield {
            "territory": f"{territory} (canary)" if territory == CANARY_TERRITORY else territory,
            "given": given,
            "used": rows - removed,
            "removed (SUP)": removed,
            "passed over": void,
            "unexplained": given - rows - void,
        }


def passed_over(sheet: Sheet) -> Iterator[Row]:
    """Each stretch of numbers that no request has, with why, when and by whom, by territory and month."""
    told: Counter[str] = Counter()
    for name, some in sorted(sheet.passed_over.items()):
        territory, _, month = name.partition(" ")
        for one in some[: STRETCHES_MAX - told[territory]]:
            told[territory] += 1
            yield {
                "territory": territory,
                "month": month,
                "first": one.stretch.first,
                "last": one.stretch.last,
                "count": one.stretch.length,
                "cause": one.cause.value,
                "at": one.at,
                "by": one.by,
                "why": one.why,
            }


def _facts(sheet: Sheet, mended: Counter[Kind], found: Sequence[Kind], act: Act) -> dict[str, object]:
    def row(one: Difference) -> dict[str, object]:
        return {"about": one.subject, "intake": one.intake, "outgoing": one.outgoing}

    return {
        "at": sheet.at,
        "applied": act.apply,
        "adds_up": adds_up(sheet),
        "account": list(lines(sheet)),
        "numbers": list(numbers(sheet)),
        "passed_over": list(passed_over(sheet)),
        "differences": [
            {
                "kind": kind.value,
                "count": sheet.found[kind],
                "explanation": MEANINGS[kind].explanation,
                "remedy": MEANINGS[kind].remedy,
                "mends": MEANINGS[kind].mends,
                "adds_up": MEANINGS[kind].adds_up,
                "examples": [row(one) for one in sheet.told if one.kind is kind],
            }
            for kind in found
        ],
        "of_other_kinds": _of_other_kinds(sheet, found),
        "mended": {kind.value: count for kind, count in mended.items()},
    }


def _print(sheet: Sheet, mended: Counter[Kind], found: Sequence[Kind], act: Act) -> None:
    show_rows(list(lines(sheet)), ("of", "what", "count"), as_json=False, empty="")
    columns = ("territory", "given", "used", "removed (SUP)", "passed over", "unexplained")
    show_rows(list(numbers(sheet)), columns, as_json=False, empty="No number was given yet.")
    _print_passed_over(sheet)
    for kind, count in mended.items():
        say(f"mended: {count} {kind}")
    for kind in found:
        meaning = MEANINGS[kind]
        say(f"{kind}: {sheet.found[kind]}. {meaning.explanation}")
        say(f"  remedy: {meaning.remedy}")
        if meaning.mends:
            say(f"  --apply: {meaning.mends}")
        told = [one.subject for one in sheet.told if one.kind is kind]
        for subject in told[:SHOWN_MAX]:
            say(f"  - {subject}")
        if sheet.found[kind] > SHOWN_MAX:
            say(f"  and {sheet.found[kind] - SHOWN_MAX} more")
    if others := _of_other_kinds(sheet, found):
        say(f"differences of other kinds: {others}. `mailflow reconcile` without --kind shows them.")
    if adds_up(sheet):
        say("Everything adds up.")
    elif not act.apply and any(MEANINGS[kind].mends for kind in found):
        say("Nothing was changed. Add --apply and --why to mend what can be.")


def _print_passed_over(sheet: Sheet) -> None:
    """By who did it when: one jump is of all territories and many months."""
    acts: defaultdict[tuple[Cause, datetime | None, str, str], list[tuple[str, PassedOver]]] = defaultdict(list)
    for name, some in sorted(sheet.passed_over.items()):
        for one in some:
            acts[one.cause, one.at, one.by, one.why].append((name, one))
    for (cause, at, by, why), left_out in acts.items():
        say(f"passed over: {sum(one.stretch.length for _, one in left_out)} numbers, {CAUSES[cause]}")
        if at is not None:
            say(f"  {at.astimezone(PARIS):%d/%m/%Y %H:%M} by {by}: {why}")
        for name, one in left_out[:SHOWN_MAX]:
            say(f"  - {name}: {one.stretch}")
        if len(left_out) > SHOWN_MAX:
            say(f"  and {len(left_out) - SHOWN_MAX} more")
