"""`mailflow desk` and `mandate`: who may act for whom. Every change is recorded with who and why."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    json_option,
    show_plan,
    show_rows,
    wait_for,
)
from mailflow.core import calendar, numbers
from mailflow.core.model import Directory, Environment, Mandate, Right, SenderCode, Standing
from mailflow.core.numbers import DeskCode, Territory
from mailflow.enrolment.reader import desk_fault
from mailflow.register import Transaction, directory
from mailflow.register.directory import Change

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
DAY = click.DateTime(["%Y-%m-%d"])
Work = Callable[[Transaction, Change], Awaitable[None]]


@click.group()
def desk() -> None:
    """Desks: where applicants file their requests."""


@click.group()
def mandate() -> None:
    """Mandates: which sender may act for which desk, where, and what it may do."""


def add_standing_commands(group: click.Group, change_standing: Callable[..., Awaitable[None]]) -> None:
    """`suspend` and `release` of senders and desks are one act with another word."""
    example = f"Example: mailflow {group.name}"
    _standing_command(
        group, "suspend", Standing.SUSPENDED, f"Take nothing more. {example} suspend CODE --apply", change_standing
    )
    _standing_command(
        group, "release", Standing.ACTIVE, f"Let it act again. {example} release CODE --apply", change_standing
    )


def _standing_command(
    group: click.Group, name: str, standing: Standing, help_text: str, change_standing: Callable[..., Awaitable[None]]
) -> None:
    @group.command(name, help=help_text)
    @click.argument("code")
    @act_options
    @click.pass_obj
    def command(invocation: Invocation, code: str, *, act: Act) -> int:
        async def work(tx: Transaction, change: Change) -> None:
            await change_standing(tx, code, standing, change)

        return perform(invocation, [f"{name} the {group.name} {code}"], work, act)


add_standing_commands(desk, directory.set_desk_standing)


# Desks


@desk.command("add")
@click.argument("code")
@click.option("--name", required=True, help="Name of the desk, as attestations are to state it.")
@click.option("--address", required=True, help="Its postal address on one line, as attestations are to state it.")
@act_options
@click.pass_obj
def add_desk(invocation: Invocation, code: str, name: str, address: str, *, act: Act) -> int:
    """Put a desk on record.

    Example: mailflow desk add 59123 --name "Mairie de Lille" --address "Place Augustin Laurent, 59000 Lille" --apply
    """
    _check_desk(code, invocation.settings.environment)

    async def work(tx: Transaction, change: Change) -> None:
        await directory.add_desk(tx, DeskCode(code), name=name, address=address, change=change)

    return perform(invocation, [f"put the desk {code} ({name}, {address}) on record"], work, act)


@desk.command("amend")
@click.argument("code")
@click.option("--name", help="Its new name.")
@click.option("--address", help="Its new postal address, on one line.")
@act_options
@click.pass_obj
def amend_desk(invocation: Invocation, code: str, name: str | None, address: str | None, *, act: Act) -> int:
    """Give a desk another name or address; attestations made before keep the old one.

    Example: mailflow desk amend 59123 --address "1 place de la République, 59000 Lille" --apply
    """
    given = [f"{what} {value}" for what, value in (("name", name), ("address", address)) if value]
    if not given:
        raise click.UsageError("give --name, --address or both")

    async def work(tx: Transaction, change: Change) -> None:
        await directory.amend_desk(tx, DeskCode(code), name=name or None, address=address or None, change=change)

    return perform(invocation, [f"give the desk {code} the {' and the '.join(given)}"], work, act)


def _check_desk(code: str, environment: Environment) -> None:
    if fault := desk_fault(code, environment):
        raise click.BadParameter(fault)


@desk.command("list")
@json_option
@click.pass_obj
def list_desks(invocation: Invocation, as_json: bool) -> int:
    """Every desk. Example: mailflow desk list"""

    rows = [
        {"code": d.code, "name": d.name, "address": d.address, "standing": d.standing.value}
        for d in enrolments(invocation).desks.values()
    ]
    show_rows(rows, ("code", "name", "address", "standing"), as_json=as_json, empty="No desk is on record.")
    return Exit.DONE


# Mandates


@mandate.command("add")
@click.argument("sender_code", metavar="SENDER")
@click.argument("desk_code", metavar="DESK")
@click.argument("territory")
@click.option("--right", "rights", multiple=True, type=click.Choice([r.value for r in Right]), help="Default: CRE.")
@click.option("--from", "starts_on", type=DAY, help="First day; by default today.")
@click.option("--until", "ends_on", type=DAY, help="Last day; by default none.")
@act_options
@click.pass_obj
def add_mandate(
    invocation: Invocation,
    sender_code: str,
    desk_code: str,
    territory: str,
    rights: tuple[str, ...],
    starts_on: datetime | None,
    ends_on: datetime | None,
    *,
    act: Act,
) -> int:
    """Let SENDER act for DESK in TERRITORY (three characters: 059, 02A, 111 for Île-de-France).

    Example: mailflow mandate add ville-lille 59123 059 --right CRE --right consulter --apply
    """
    _check_desk(desk_code, invocation.settings.environment)
    if territory not in numbers.TERRITORIES:
        raise click.BadParameter(f"{territory} is no territory")
    added = Mandate(
        desk=DeskCode(desk_code),
        territory=Territory(territory),
        rights=frozenset(Right(right) for right in rights or (Right.CREATION,)),
        starts_on=starts_on.date() if starts_on else _today(),
        ends_on=ends_on.date() if ends_on else None,
    )

    async def work(tx: Transaction, change: Change) -> None:
        await directory.add_mandate(tx, SenderCode(sender_code), added, change)

    allowed = " ".join(sorted(right.value for right in added.rights))
    plan = [f"let {sender_code} act for {desk_code} in {territory}: {allowed}, from {added.starts_on}"]
    return perform(invocation, plan, work, act)


@mandate.command("list")
@json_option
@click.pass_obj
def list_mandates(invocation: Invocation, as_json: bool) -> int:
    """Every mandate. Example: mailflow mandate list"""

    rows = [
        {
            "sender": s.code,
            "desk": m.desk,
            "territory": m.territory,
            "rights": " ".join(sorted(right.value for right in m.rights)),
            "from": m.starts_on,
            "until": m.ends_on,
        }
        for s in enrolments(invocation).senders
        for m in s.mandates
    ]
    columns = ("sender", "desk", "territory", "rights", "from", "until")
    show_rows(rows, columns, as_json=as_json, empty="There is no mandate.")
    return Exit.DONE


@mandate.command("suspend")
@click.argument("sender_code", metavar="SENDER")
@click.argument("desk_code", metavar="DESK")
@click.argument("territory")
@click.option("--on", "ends_on", type=DAY, help="Last day of the mandate; by default yesterday, so at once.")
@click.option(
    "--from", "starts_on", type=DAY, help="First day of the one that is meant; by default each that has begun."
)
@act_options
@click.pass_obj
def end_mandate(
    invocation: Invocation,
    sender_code: str,
    desk_code: str,
    territory: str,
    ends_on: datetime | None,
    starts_on: datetime | None,
    *,
    act: Act,
) -> int:
    """End a mandate. A new one can be added, with another first day; one that begins later stays.

    Example: mailflow mandate suspend ville-lille 59123 059 --why "contract ended" --apply
    """
    last, first = ends_on.date() if ends_on else _today() - timedelta(days=1), starts_on.date() if starts_on else None
    theirs = [one for s in enrolments(invocation).senders if s.code == sender_code for one in s.mandates]
    later = [
        one.starts_on
        for one in theirs
        if (one.desk, one.territory) == (desk_code, territory) and one.starts_on > max(last, _today()) and not first
    ]

    async def work(tx: Transaction, change: Change) -> None:
        names = (SenderCode(sender_code), DeskCode(desk_code), Territory(territory))
        await directory.end_mandate(tx, *names, ends_on=last, change=change, starts_on=first)

    plan = [f"end the mandate of {sender_code} for {desk_code} in {territory} with {last}"]
    plan += [f"leave the one that begins on {day} as it is (--from {day} ends it)" for day in sorted(later)]
    return perform(invocation, plan, work, act)


def _today() -> date:
    return calendar.legal_day(app.now())


def enrolments(invocation: Invocation) -> Directory:
    """All of them, as they stand."""

    async def known() -> Directory:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return await directory.read(tx)

    return wait_for(known())


def perform(invocation: Invocation, plan: list[str], work: Work, act: Act) -> int:
    """Print the plan; carry it out in one transaction when told to."""

    async def at_once() -> None:
        async with app.register_of(invocation.settings) as register, register.begin() as tx:
            await work(tx, Change(by=act.by, why=act.why, at=app.now()))

    if act.apply:
        wait_for(at_once())
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE
