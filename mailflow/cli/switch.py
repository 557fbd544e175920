"""`mailflow stop` and `mailflow resume`: whether unique numbers are given, by all workers on all hosts."""

import click

from mailflow import app
from mailflow.cli.acting import require_reason
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, say, show_plan, wait_for
from mailflow.cli.restore import require_up_to_date
from mailflow.ops.outlook import stopped
from mailflow.register import issuing, journal


@click.command()
@act_options
@click.pass_obj
def stop(invocation: Invocation, act: Act) -> int:
    """Have no unique number given any more, at once, on every host; no service is stopped. Undone by `resume`.

    Mails are received and kept safe; creations wait, and their time goes on. All else goes on, but dispatches. When the
    command has ended with 0 no number is given that was not given before; ends with 75 while that is not sure.

    Example: mailflow stop --why "numbers come out twice" --apply
    """
    require_reason(act)
    show_plan(["give no numbers from now on, on any host"], apply=act.apply, as_json=act.as_json)
    return wait_for(_stop(invocation, act)) if act.apply else Exit.DONE


async def _stop(invocation: Invocation, act: Act) -> int:
    async with app.register_of(invocation.settings) as register:
        before = await issuing.stop(register, journal.Act(by=act.by, why=act.why), app.now())
    if before is not None and not act.as_json:
        say(f"It was so already: {stopped(before)}")
    return Exit.DONE


@click.command()
@act_options
@click.pass_obj
def resume(invocation: Invocation, act: Act) -> int:
    """Have unique numbers given again, which `stop` or the service itself has stopped.

    Example: mailflow resume --why "the cause is mended" --apply
    """
    require_reason(act)
    return wait_for(_resume(invocation, act))


async def _resume(invocation: Invocation, act: Act) -> int:
    async with app.register_of(invocation.settings) as register:
        async with register.read() as tx:
            now, mails = await issuing.read(tx), await issuing.waiting(tx)
        if now is None:
            raise click.ClickException("numbers are given: nobody has stopped them")
        if now.by == issuing.SERVICE:
            await require_up_to_date(invocation.settings, register)
        if not act.as_json:
            say(f"Now {stopped(now)}")
        plan = ["give numbers from now on", f"go on with {mails} mails that wait for it"]
        show_plan(plan, apply=act.apply, as_json=act.as_json)
        if act.apply:
            async with register.begin() as tx:
                await issuing.resume(tx, journal.Act(by=act.by, why=act.why), app.now(), seen=now)
    return Exit.DONE
