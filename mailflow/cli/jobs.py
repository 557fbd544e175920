"""`mailflow jobs`: what time does, previewed or done by hand."""

from datetime import datetime, time
from functools import partial

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, say, show_json, show_rows, wait_for
from mailflow.core.calendar import PARIS, legal_day
from mailflow.jobs.daily import JOBS
from mailflow.jobs.work import Job
from mailflow.mail.hindsight import Hindsight

NAMES = [job.name for job in JOBS]


@click.group()
def jobs() -> None:
    """What time does: the jobs of each day."""


@jobs.command("list")
@json_option
@click.pass_obj
def list_(invocation: Invocation, as_json: bool) -> int:
    """The jobs in their order, with what is due of each now.

    Example: mailflow jobs list
    """
    rows = wait_for(_list(invocation))
    show_rows(rows, ("job", "due", "what"), as_json=as_json, empty="There are no jobs.")
    return Exit.DONE


async def _list(invocation: Invocation) -> list[dict[str, object]]:
    terms, at = app.job_terms(invocation.settings), app.now()
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        return [{"job": job.name, "due": (await job.due(tx, terms, at)).count, "what": job.what} for job in JOBS]


@jobs.command("run")
@click.argument("name", type=click.Choice(NAMES))
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="As of the end of that day in Paris; by default: now.")
@apply_option
@json_option
@click.pass_obj
def run(invocation: Invocation, name: str, day: datetime | None, apply: bool, as_json: bool) -> int:
    """Show what is due of a job, by default now; or do it. A day to come can only be shown.

    Example: mailflow jobs run retention --day 2026-12-24
    """
    at = now = app.now()
    if day is not None:
        at = datetime.combine(day, time(23, 59, 59), PARIS)
        if apply and legal_day(at) > legal_day(now):
            raise click.UsageError("a day to come can only be shown")
        at = min(at, now) if apply else at
    job = next(job for job in JOBS if job.name == name)
    return wait_for((_apply if apply else _preview)(invocation, job, at, as_json=as_json))


async def _preview(invocation: Invocation, job: Job, at: datetime, *, as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        due = await job.due(tx, app.job_terms(invocation.settings), at)
    if as_json:
        show_json({"job": job.name, "due": due.count, "plan": due.examples, "applied": False})
        return Exit.DONE
    say(f"{job.name}: {due.count} due")
    for example in due.examples:
        say(f"  {example}")
    if due.count > len(due.examples):
        say(f"  and {due.count - len(due.examples)} more")
    say("Nothing was changed. Add --apply to do it.")
    return Exit.DONE


async def _apply(invocation: Invocation, job: Job, at: datetime, *, as_json: bool) -> int:
    invocation.log_to_stderr()
    async with app.register_of(invocation.settings) as register:
        behind = Hindsight(partial(app.trails_of, invocation.settings), tolerant=True)
        await behind.look(register, app.now())  # no job is done in a register that was found behind
        ran = await app.run_job(register, job, app.job_terms(invocation.settings), at)
    if as_json:
        show_json({"job": job.name, "done": ran.done, "goes_on": ran.goes_on, "applied": True})
    else:
        say(f"{job.name}: {ran.done} done" + ("; more is due, and the next run goes on" if ran.goes_on else ""))
    return Exit.DONE
