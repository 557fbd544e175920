"""`mailflow canary`: the service's own request, which goes the whole way and never becomes a real one."""

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, show_plan, show_rows, wait_for
from mailflow.core.calendar import PARIS
from mailflow.core.canary import CanaryOutcome, CanaryRun
from mailflow.register import canary as runs

SHOWN = 50
COLUMNS = ("begun", "outcome", "seconds", "number", "file")


@click.group()
def canary() -> None:
    """A request of our own that goes the whole way, again and again, and never becomes a real one."""


@canary.command("list")
@json_option
@click.pass_obj
def list_(invocation: Invocation, as_json: bool) -> int:
    """The latest canary requests: how each ended, and how long it took. Ends with 65 when the last one failed.

    Example: mailflow canary list
    """
    found = wait_for(_latest(invocation))
    show_rows([_facts(run) for run in found], COLUMNS, as_json=as_json, empty="No canary request was sent yet.")
    ended = [run for run in found if run.outcome is not None]
    return Exit.SET_ASIDE if ended and ended[0].outcome is not CanaryOutcome.ANSWERED else Exit.DONE


async def _latest(invocation: Invocation) -> list[CanaryRun]:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        return await runs.latest(tx, SHOWN)


def _facts(run: CanaryRun) -> dict[str, object]:
    took = run.ended_at and round((run.ended_at - run.begun_at).total_seconds())
    return {
        "begun": run.begun_at.astimezone(PARIS).isoformat(timespec="seconds"),
        "outcome": run.outcome.value if run.outcome else ("on its way" if run.sent_at else "being sent"),
        "seconds": took,
        "number": run.number,
        "file": run.file_name,
    }


@canary.command("send")
@apply_option
@json_option
@click.pass_obj
def send(invocation: Invocation, apply: bool, as_json: bool) -> int:
    """Send one now; the worker that runs finds its answer. Ends with 75 when one is on its way, or it was not taken.

    Example: mailflow canary send --apply
    """
    show_plan(["send a canary request"], apply=apply, as_json=as_json)
    return Exit.DONE if not apply or wait_for(app.send_canary(invocation.settings)) else Exit.TEMPORARY
