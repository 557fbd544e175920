"""`mailflow forecast` and `mailflow report`: whether all is answered in time, and whether it was."""

import math
from dataclasses import asdict
from datetime import date, datetime, timedelta

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_json, show_rows, wait_for
from mailflow.core.calendar import PARIS
from mailflow.mail.kinds import ANSWER
from mailflow.ops.outlook import Bar, Outlook, age_labels, duration, sentences
from mailflow.ops.reading import read_outlook
from mailflow.ops.times import Times, month_of, times, took
from mailflow.register import Transaction, backlog
from mailflow.settings import Settings

PLOT_WIDTH = 40


async def read_view(tx: Transaction, settings: Settings, at: datetime) -> Outlook:
    """How the queue stands, by the settings. Raises Unavailable."""
    service = settings.service
    deadline = timedelta(hours=service.deadline_hours)
    return await read_outlook(tx, ANSWER, at, deadline=deadline, percents=service.warning_percents)


@click.command()
@json_option
@click.pass_obj
def forecast(invocation: Invocation, as_json: bool) -> int:
    """Whether all that waits is answered in time at the present rate, and who waits how long.

    Ends with 65 when a deadline has passed or will. Of a mail that is not judged nothing is known but its age.

    Example: mailflow forecast --json
    """
    return wait_for(_forecast(invocation, as_json=as_json))


async def _forecast(invocation: Invocation, *, as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        view = await read_view(tx, invocation.settings, app.now())
    if as_json:
        show_json(_facts(view))
    else:
        for line in sentences(view):
            say(line)
        labels = age_labels(view.deadline)
        columns = ("state", "sender", "desk", "all", *labels)
        show_rows([_bar(bar, labels) for bar in view.bars], columns, as_json=False, empty="")
    missed = view.forecast.missed if view.forecast else 0
    return Exit.SET_ASIDE if view.late or missed else Exit.DONE


def _bar(bar: Bar, labels: list[str]) -> Row:
    known = {"state": bar.state, "sender": bar.sender, "desk": bar.desk, "all": bar.total}
    return known | {label: count or "" for label, count in zip(labels, bar.counts, strict=True)}


def _facts(view: Outlook) -> Row:
    ahead = view.forecast
    return {
        "at": view.at.isoformat(),
        "deadline_seconds": view.deadline.total_seconds(),
        "waiting": view.waiting,
        "late": view.late,
        "stopped": view.stopped and asdict(view.stopped),
        "oldest_received_at": view.oldest and view.oldest.isoformat(),
        "left_seconds": view.left and view.left.total_seconds(),
        "rate_per_second": view.rate,
        "cleared_at": ahead and ahead.cleared_at and ahead.cleared_at.isoformat(),
        "least_left_seconds": ahead and ahead.least_left and ahead.least_left.total_seconds(),
        "missed": ahead and ahead.missed,
        "shares": [asdict(share) for share in view.shares],
        "stuck": [asdict(one) | {"oldest": one.oldest.isoformat()} for one in view.stuck],
        "ages": age_labels(view.deadline),
        "histogram": [asdict(bar) for bar in view.bars],
    }


@click.command()
@click.option("--month", type=click.DateTime(["%Y-%m"]), help="By default the last one that is over.")
@json_option
@click.pass_obj
def report(invocation: Invocation, month: datetime | None, as_json: bool) -> int:
    """Times to answer of a month: their distribution, the worst, and the breaches of the deadline.

    Counted are the answers that left in the month (in Paris). Ends with 65 when a deadline was not kept.

    Example: mailflow report --month 2026-11
    """
    first = month.date() if month else _last_month(app.now().astimezone(PARIS).date())
    return wait_for(_report(invocation, first, as_json=as_json))


def _last_month(today: date) -> date:
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


async def _report(invocation: Invocation, first: date, *, as_json: bool) -> int:
    since, until = month_of(first)
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        left = await backlog.answered(tx, ANSWER, since, until)
    found = times(left, timedelta(hours=invocation.settings.service.deadline_hours))
    if as_json:
        show_json(_report_facts(first, found))
    else:
        _print_report(first, found)
    return Exit.SET_ASIDE if found.breaches else Exit.DONE


def _report_facts(first: date, found: Times) -> Row:
    return {
        "month": f"{first:%Y-%m}",
        "deadline_seconds": found.deadline.total_seconds(),
        "answers": found.answers,
        "breaches": found.breaches,
        "percentiles": {str(percent): length.total_seconds() for percent, length in found.percentiles},
        "distribution": [
            {"at_most_seconds": span.at_most and span.at_most.total_seconds(), "count": span.count}
            for span in found.spans
        ],
        "worst": [
            {
                "intake": answer.intake_id,
                "received_at": answer.received_at.isoformat(),
                "sent_at": answer.sent_at.isoformat(),
                "seconds": took(answer).total_seconds(),
            }
            for answer in found.worst
        ],
    }


def _print_report(first: date, found: Times) -> None:
    say(f"{first:%m/%Y}: {found.answers} answers, {found.breaches} after their deadline.")
    if not found.answers:
        return
    say(", ".join(f"{percent} % within {_length(length)}" for percent, length in found.percentiles) + ".")
    most = max(span.count for span in found.spans)
    rows: list[Row] = [
        {
            "time": f"<= {_length(span.at_most)}" if span.at_most else "late",
            "answers": span.count,
            "": "█" * -(-span.count * PLOT_WIDTH // most),
        }
        for span in found.spans
    ]
    show_rows(rows, ("time", "answers", ""), as_json=False, empty="")
    worst: list[Row] = [
        {
            "intake": answer.intake_id,
            "received": f"{answer.received_at.astimezone(PARIS):%d/%m %H:%M:%S}",
            "took": _length(took(answer)),
        }
        for answer in found.worst
    ]
    say("The longest:")
    show_rows(worst, ("intake", "received", "took"), as_json=False, empty="")


def _length(length: timedelta) -> str:
    """As short as it can be said: seconds below two minutes, minutes below two hours; rounded up."""
    seconds = length.total_seconds()
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 7200 else duration(length)
