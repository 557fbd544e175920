"""`mailflow selftest`: the fault suite against an installation's own servers, in mailboxes and a register apart."""

import time
from functools import partial
from pathlib import Path

import click

from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, say, show_json, show_plan, wait_for


@click.command()
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="One of so many cases.")
@click.option("--runs", type=click.IntRange(min=0), help="At most so many runs are broken.")
@click.option("--minutes", type=float, default=60.0, show_default=True, help="No run begins later.")
@click.option("--logs", type=click.Path(path_type=Path, file_okay=False), help="Where the logs of bad runs are left.")
@apply_option
@json_option
@click.pass_obj
def selftest(
    invocation: Invocation, every: int, runs: int | None, minutes: float, logs: Path | None, apply: bool, as_json: bool
) -> int:
    """Break a worker at every point on the installation's own servers, and say whether anything was lost or doubled.

    In the mailboxes of [selftest] and a register of its own, which are emptied and dropped at the end. Ends with 65
    when anything was wrong, with 75 when it could not be played.

    Example: mailflow selftest --every 10 --minutes 30
    """
    # With the demo's PKI and installation it stands above the commands: only this one knows of it.
    from mailflow.selftest import grounds, sweep

    settings = grounds.own(invocation.settings)
    with grounds.alone(settings):
        plan = [
            *wait_for(sweep.plan(settings)),
            f"run a worker for one of {every} cases, for {minutes:g} minutes at most",
        ]
        if not apply or not as_json:
            show_plan(plan, apply=apply, as_json=as_json)
        if not apply:
            return Exit.DONE
        bounds = sweep.Bounds(every=every, runs=runs, until=time.monotonic() + minutes * 60, logs=logs)
        report = wait_for(sweep.selftest(settings, bounds, partial(click.echo, err=True)))
    if as_json:
        show_json(report.facts())
    else:
        say(report.text())
    if report.findings:
        return Exit.SET_ASIDE
    return Exit.TEMPORARY if report.failed else Exit.DONE
