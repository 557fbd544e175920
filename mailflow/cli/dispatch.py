"""`mailflow dispatch`: what desks were told of others' acts, and telling it again."""

from dataclasses import asdict

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, show_plan, show_rows, wait_for
from mailflow.jobs.dispatch import resend as tell_again
from mailflow.register import directory, dispatches

LIMIT = 50


@click.group()
def dispatch() -> None:
    """What desks were told of others' acts (DIS files)."""


@dispatch.command("list")
@click.option("--desk", help="Of this desk only.")
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="Most rows to show.")
@json_option
@click.pass_obj
def list_(invocation: Invocation, desk: str | None, limit: int, as_json: bool) -> int:
    """The latest dispatches.

    Example: mailflow dispatch list --desk 59123
    """
    rows = wait_for(_list(invocation, desk, limit))
    columns = ("desk", "number", "sender", "territory", "requests", "made_at")
    show_rows(rows, columns, as_json=as_json, empty="No desk was told anything yet.")
    return Exit.DONE


async def _list(invocation: Invocation, desk: str | None, limit: int) -> list[dict[str, object]]:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        return [asdict(made) for made in await dispatches.of_desk(tx, desk, limit)]


@dispatch.command()
@click.option("--desk", required=True, help="The desk that misses it.")
@click.option("--number", required=True, type=click.IntRange(min=1), help="Its number, as in the file name.")
@apply_option
@json_option
@click.pass_obj
def resend(invocation: Invocation, desk: str, number: int, apply: bool, as_json: bool) -> int:
    """Tell a desk again what a dispatch told, under the same number, as the requests stand now.

    Example: mailflow dispatch resend --desk 59123 --number 12 --apply
    """
    return wait_for(_resend(invocation, desk, number, apply=apply, as_json=as_json))


async def _resend(invocation: Invocation, desk: str, number: int, *, apply: bool, as_json: bool) -> int:
    terms, at = app.job_terms(invocation.settings), app.now()
    async with app.register_of(invocation.settings) as register:
        async with register.read() as tx:
            found, known = await dispatches.find(tx, desk, number), await directory.read(tx)
        if not found:
            raise click.ClickException(f"there is no dispatch {number} of desk {desk}")
        plan = [f"tell {made.sender} again of {made.requests} requests in {made.territory}" for made in found]
        if apply and not all([await tell_again(register, made, known, terms, at) for made in found]):
            raise click.ClickException("its sender may not consult in that territory any more: nothing was sent")
    show_plan(plan, apply=apply, as_json=as_json)
    return Exit.DONE
