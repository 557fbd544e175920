"""`mailflow upgrade`: the second step to a new version of the tables, once nobody works by the former program."""

from datetime import timedelta

import click

from mailflow import app
from mailflow.cli.acting import require_reason
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, say, show_plan, wait_for, warn
from mailflow.register import journal, migrations, watching


@click.command()
@act_options
@click.pass_obj
def upgrade(invocation: Invocation, act: Act) -> int:
    """Finish an upgrade that `init` has begun, when no worker of the former version runs any more.

    Until then both versions work on one register, and the former one can be taken again. Afterwards only a restore
    leads back. Ends with 75 while a worker of the former version gives signs of life.

    Example: mailflow upgrade --why "0.2.0 runs on both hosts" --apply
    """
    require_reason(act)
    return wait_for(_upgrade(invocation, act))


async def _upgrade(invocation: Invocation, act: Act) -> int:
    at, alerts = app.now(), invocation.settings.alerts
    async with app.register_of(invocation.settings) as register:
        async with register.read() as tx:
            found = await tx.connection.run_sync(migrations.revision)
            alive = await watching.older_workers(tx, at - timedelta(minutes=alerts.silent_minutes))
        if not migrations.is_half_way(found):
            say(f"The tables are of version {found}: nothing is left to be done.")
            return Exit.DONE
        show_plan(
            [f"take the second step to version {migrations.NEWEST}"], apply=act.apply and not alive, as_json=act.as_json
        )
        for host in alive:
            warn(f"a worker of the former version runs on {host}: stop it first")
        if alive or not act.apply:
            return Exit.TEMPORARY if alive else Exit.DONE
        async with register.begin() as tx:
            await tx.connection.run_sync(migrations.finish)
            done = journal.Entry(
                kind="tables-upgraded", detail={"by": act.by, "why": act.why, "version": migrations.NEWEST}
            )
            await journal.append(tx, [done], at)
    say(f"The tables are of version {migrations.NEWEST}.")
    return Exit.DONE
