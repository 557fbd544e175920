"""`mailflow alarms` and `mailflow watch`: what is wrong, who sees to it, whether anybody would hear of it."""

import click

from mailflow import app
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    apply_option,
    json_option,
    say,
    show_json,
    show_plan,
    show_rows,
    wait_for,
)
from mailflow.core.alerting import KeptAlarm
from mailflow.core.calendar import PARIS
from mailflow.ops.alarms import catalogue, is_known
from mailflow.ops.messages import found_of
from mailflow.register import alarms as register_alarms
from mailflow.register import journal, watching

SHOWN = 100
NOBODY = "tell nobody: [alerts] in the settings names nobody"


@click.group()
def alarms() -> None:
    """What is wrong, and who sees to it."""


@alarms.command("list")
@click.option("--all", "everything", is_flag=True, help="Those too that are over, the latest first.")
@json_option
@click.pass_obj
def list_(invocation: Invocation, everything: bool, as_json: bool) -> int:
    """The alarms that last, each with what it means, what to do, and what to type first.

    Ends with 65 when one of them is acknowledged by nobody.

    Example: mailflow alarms list
    """
    kept = wait_for(_kept(invocation, everything=everything))
    if as_json:
        show_json([_facts(one) for one in kept])
    elif everything:
        rows = [_facts(one) for one in kept]
        columns = ("id", "severity", "happened", "raised", "acknowledged_by", "cleared")
        show_rows(rows, columns, as_json=False, empty="There was no alarm.")
    else:
        _print(kept)
    unheeded = [one for one in kept if one.acknowledged_at is None and one.cleared_at is None]
    return Exit.SET_ASIDE if unheeded else Exit.DONE


async def _kept(invocation: Invocation, *, everything: bool) -> list[KeptAlarm]:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        kept = await (register_alarms.latest(tx, SHOWN) if everything else register_alarms.lasting(tx))
    return [one for one in kept if one.raised_at is not None and is_known(one.code)]


def _facts(one: KeptAlarm) -> dict[str, object]:
    found = found_of(one)
    meant = catalogue()[found.alarm]
    return {
        "id": one.id,
        "alarm": found.alarm.value,
        "severity": meant.severity.value,
        "about": dict(found.about),
        "happened": found.happened,
        "meaning": meant.meaning,
        "action": meant.action,
        "command": found.command,
        "since": one.since.astimezone(PARIS).isoformat(timespec="minutes"),
        "raised": one.raised_at and one.raised_at.astimezone(PARIS).isoformat(timespec="minutes"),
        "told": sorted(channel.value for channel in one.told),
        "escalated": one.escalated_at and one.escalated_at.astimezone(PARIS).isoformat(timespec="minutes"),
        "acknowledged_by": one.acknowledged_by,
        "acknowledged_why": one.acknowledged_why,
        "cleared": one.cleared_at and one.cleared_at.astimezone(PARIS).isoformat(timespec="minutes"),
    }


def _print(kept: list[KeptAlarm]) -> None:
    if not kept:
        say("There is no alarm.")
    for one in kept:
        found, facts = found_of(one), _facts(one)
        say(f"{one.id}  {str(facts['severity']).upper()}: {found.happened}")
        say(f"    alarm  {found.alarm}{''.join(f', {name} {value}' for name, value in found.about.items())}")
        say(f"    since  {one.since.astimezone(PARIS):%d/%m/%Y %H:%M}")
        say(f"    means  {facts['meaning']}")
        say(f"    do     {facts['action']}")
        say(f"    type   {facts['command']}")
        seen_to = f"by {one.acknowledged_by}: {one.acknowledged_why}" if one.acknowledged_by else "by nobody"
        say(f"    acknowledged {seen_to}")


@alarms.command()
@click.argument("number", type=int)
@act_options
@click.pass_obj
def acknowledge(invocation: Invocation, number: int, act: Act) -> int:
    """Say that you see to alarm NUMBER: nobody is reminded of it, and it is not passed on.

    Example: mailflow alarms acknowledge 7 --why "the provider has been called" --apply
    """
    if act.apply and not act.why:
        raise click.UsageError("--why: say what is done about it")
    show_plan([f"acknowledge alarm {number}"], apply=act.apply, as_json=act.as_json)
    if act.apply and not wait_for(_acknowledge(invocation, number, act)):
        raise click.ClickException(f"alarm {number} does not last, or is acknowledged already")
    return Exit.DONE


async def _acknowledge(invocation: Invocation, number: int, act: Act) -> bool:
    async with app.register_of(invocation.settings) as register, register.begin() as tx:
        return await register_alarms.acknowledge(tx, number, journal.Act(by=act.by, why=act.why), app.now())


@alarms.command("forget-host")
@click.argument("host")
@apply_option
@json_option
@click.pass_obj
def forget_host(invocation: Invocation, host: str, apply: bool, as_json: bool) -> int:
    """No worker runs on HOST any more: nobody is told that none gives a sign of life there.

    Example: mailflow alarms forget-host old-server --apply
    """
    show_plan([f"expect no sign of life from {host}"], apply=apply, as_json=as_json)
    if apply and not wait_for(_forget(invocation, host)):
        raise click.ClickException(f"no worker of {host} is known")
    return Exit.DONE


async def _forget(invocation: Invocation, host: str) -> bool:
    async with app.register_of(invocation.settings) as register, register.begin() as tx:
        return await watching.forget_host(tx, host)


@alarms.command("test")
@apply_option
@json_option
@click.pass_obj
def test(invocation: Invocation, apply: bool, as_json: bool) -> int:
    """Send a trial to everybody who would be told: first and second addresses, webhook, dead-man's switch.

    Example: mailflow alarms test --apply
    """
    alerts = invocation.settings.alerts
    plan = [f"mail {address}" for address in (*alerts.mail_to, *alerts.escalation_mail_to)]
    plan += ["post to the webhook"] if alerts.webhook_url_file else []
    plan += ["ping the dead-man's switch"] if alerts.ping_url_file else []
    if not apply:
        show_plan(plan or [NOBODY], apply=False, as_json=as_json)
        return Exit.DONE
    if not plan:
        raise click.ClickException(NOBODY)
    ends = wait_for(app.try_channels(invocation.settings))
    show_rows(
        [{"channel": name, "result": end} for name, end in ends.items()],
        ("channel", "result"),
        as_json=as_json,
        empty="",
    )
    return Exit.DONE if set(ends.values()) == {app.TOLD} else Exit.TEMPORARY


@click.command()
@click.pass_obj
def watch(invocation: Invocation) -> int:
    """Look once whether all is well, and tell who is to be told: for a timer, so that a dead worker is told of too.

    Ends with 75 when somebody could not be told, or the register not be read: call again.

    Example: mailflow watch
    """
    invocation.log_to_stderr()
    return Exit.DONE if wait_for(app.watch_once(invocation.settings)) else Exit.TEMPORARY
