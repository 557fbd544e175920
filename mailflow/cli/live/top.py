"""`mailflow top`: starts the live view."""

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, by_option, wait_for

LIMIT = 200


@click.command()
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(min=0.5), help="Between two looks.")
@by_option
@click.pass_obj
def top(invocation: Invocation, seconds: float, by: str) -> int:
    """The queue as it moves: deadlines, mails, ages by desk; one mail with its history; the usual acts.

    Example: mailflow top --seconds 5
    """
    return wait_for(_top(invocation, seconds, by))


async def _top(invocation: Invocation, seconds: float, by: str) -> int:
    # Here, so that no other command waits for a library that draws.
    from mailflow.cli.live.board import Source
    from mailflow.cli.live.view import LiveView

    settings = invocation.settings
    async with app.register_of(settings) as register:
        source = Source(register=register, settings=settings, by=by, limit=LIMIT)
        await LiveView(source, seconds=seconds).run_async()
    return Exit.DONE
