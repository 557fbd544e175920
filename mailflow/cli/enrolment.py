"""`mailflow sender`, `desk` and `mandate`: who may act for whom. Every change is recorded with who and why."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.certificates import doubts, read_offered, refuse_of_others
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    json_option,
    show_plan,
    show_rows,
    wait_for,
    warn,
)
from mailflow.core import calendar, numbers
from mailflow.core.model import CertificateUse, Environment, Mandate, Right, SenderCode, Standing
from mailflow.core.numbers import DeskCode, Territory
from mailflow.mail.smtp import is_addr_spec
from mailflow.register import Transaction, directory
from mailflow.register.directory import Change

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
DAY = click.DateTime(["%Y-%m-%d"])
Work = Callable[[Transaction, Change], Awaitable[None]]


@click.group()
def sender() -> None:
    """Senders: whoever holds certificates and writes to the service, for one desk or for many."""


@click.group()
def desk() -> None:
    """Desks: where applicants file their requests."""


@click.group()
def mandate() -> None:
    """Mandates: which sender may act for which desk, where, and what it may do."""


# Senders


@sender.command("add")
@click.argument("code")
@click.option("--name", required=True, help="Who it is, for people.")
@click.option("--address", "addresses", multiple=True, required=True, help="From address; may be given again.")
@click.option("--answer-to", help="Where answers go; by default the first From address.")
@click.option("--sign", "signing", type=FILE, multiple=True, required=True, help="Certificate that signs, PEM.")
@click.option("--encrypt", "encryption", type=FILE, multiple=True, help="Certificate for answers; default: --sign.")
@click.option("--legacy", is_flag=True, help="Answer by AES-CBC and RSA v1.5, for clients that know no better.")
@act_options
@click.pass_obj
def add_sender(
    invocation: Invocation,
    code: str,
    name: str,
    addresses: tuple[str, ...],
    answer_to: str | None,
    signing: tuple[Path, ...],
    encryption: tuple[Path, ...],
    legacy: bool,
    *,
    act: Act,
) -> int:
    """Enrol a sender with its addresses and certificates.

    Example: mailflow sender add ville-lille --name "Ville de Lille" --address demandes@lille.example
    --sign lille.pem --apply
    """
    answer_address = answer_to or addresses[0]
    for address in (*addresses, answer_address):
        if not is_addr_spec(address):
            raise click.BadParameter(f"{address} should be a bare address, name@example.org")
    offered = [
        *read_offered(signing, CertificateUse.SIGN),
        *read_offered(encryption or signing, CertificateUse.ENCRYPT),
    ]
    for doubt in wait_for(doubts(invocation.settings, offered, app.now())):
        warn(doubt)

    async def work(tx: Transaction, change: Change) -> None:
        who = SenderCode(code)
        await refuse_of_others(tx, who, offered)
        await directory.add_sender(
            tx, who, name=name, answer_address=answer_address.lower(), legacy_encryption=legacy, change=change
        )
        for address in addresses:
            await directory.add_address(tx, who, address, change)
        for one in offered:
            await directory.add_certificate(
                tx, who, fingerprint=one.fingerprint, der=one.der, use=one.use, change=change
            )

    plan = [
        f"enrol the sender {code} ({name}), answers to {answer_address}",
        *(f"accept mail from {address}" for address in addresses),
        *(f"accept certificate {one.fingerprint} to {one.use.value}" for one in offered),
    ]
    return _perform(invocation, plan, work, act)


@sender.command("list")
@json_option
@click.pass_obj
def list_senders(invocation: Invocation, as_json: bool) -> int:
    """Every sender. Example: mailflow sender list --json"""

    async def rows() -> list[dict[str, object]]:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return [
                {
                    "code": s.code,
                    "name": s.name,
                    "standing": s.standing.value,
                    "addresses": " ".join(sorted(s.addresses)),
                    "answers_to": s.answer_address,
                    "certificates": " ".join(f"{c.use.value}:{c.fingerprint[:16]}" for c in s.certificates),
                    "mandates": len(s.mandates),
                }
                for s in await directory.list_senders(tx)
            ]

    columns = ("code", "name", "standing", "addresses", "certificates", "mandates")
    show_rows(wait_for(rows()), columns, as_json=as_json, empty="No sender is enrolled.")
    return Exit.DONE


def _standing_command(group: click.Group, name: str, standing: Standing, help_text: str) -> None:
    """`suspend` and `release` of senders and desks are one act with another word."""

    @group.command(name, help=help_text)
    @click.argument("code")
    @act_options
    @click.pass_obj
    def command(invocation: Invocation, code: str, *, act: Act) -> int:
        async def work(tx: Transaction, change: Change) -> None:
            if group is sender:
                await directory.set_sender_standing(tx, SenderCode(code), standing, change)
            else:
                await directory.set_desk_standing(tx, DeskCode(code), standing, change)

        return _perform(invocation, [f"{name} the {group.name} {code}"], work, act)


for _group in (sender, desk):
    _example = f"Example: mailflow {_group.name}"
    _standing_command(_group, "suspend", Standing.SUSPENDED, f"Take nothing more. {_example} suspend CODE --apply")
    _standing_command(_group, "release", Standing.ACTIVE, f"Let it act again. {_example} release CODE --apply")


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

    return _perform(invocation, [f"put the desk {code} ({name}, {address}) on record"], work, act)


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

    return _perform(invocation, [f"give the desk {code} the {' and the '.join(given)}"], work, act)


def _check_desk(code: str, environment: Environment) -> None:
    """Codes of the school begin with Z, and only theirs (decision 4)."""
    if not numbers.is_desk_code(code):
        raise click.BadParameter(f"{code} should have five characters, digits or capital letters")
    if numbers.is_school_desk(DeskCode(code)) != (environment is Environment.SCHOOL):
        raise click.BadParameter("codes that begin with Z are those of the school, and the school has no others")


@desk.command("list")
@json_option
@click.pass_obj
def list_desks(invocation: Invocation, as_json: bool) -> int:
    """Every desk. Example: mailflow desk list"""

    async def rows() -> list[dict[str, object]]:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return [
                {"code": d.code, "name": d.name, "address": d.address, "standing": d.standing.value}
                for d in await directory.list_desks(tx)
            ]

    show_rows(wait_for(rows()), ("code", "name", "address", "standing"), as_json=as_json, empty="No desk is on record.")
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
    return _perform(invocation, plan, work, act)


@mandate.command("list")
@json_option
@click.pass_obj
def list_mandates(invocation: Invocation, as_json: bool) -> int:
    """Every mandate. Example: mailflow mandate list"""

    async def rows() -> list[dict[str, object]]:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return [
                {
                    "sender": s.code,
                    "desk": m.desk,
                    "territory": m.territory,
                    "rights": " ".join(sorted(right.value for right in m.rights)),
                    "from": m.starts_on,
                    "until": m.ends_on,
                }
                for s in await directory.list_senders(tx)
                for m in s.mandates
            ]

    columns = ("sender", "desk", "territory", "rights", "from", "until")
    show_rows(wait_for(rows()), columns, as_json=as_json, empty="There is no mandate.")
    return Exit.DONE


@mandate.command("suspend")
@click.argument("sender_code", metavar="SENDER")
@click.argument("desk_code", metavar="DESK")
@click.argument("territory")
@click.option("--on", "ends_on", type=DAY, help="Last day of the mandate; by default yesterday, so at once.")
@act_options
@click.pass_obj
def end_mandate(
    invocation: Invocation,
    sender_code: str,
    desk_code: str,
    territory: str,
    ends_on: datetime | None,
    *,
    act: Act,
) -> int:
    """End a mandate. A new one can be added, with another first day.

    Example: mailflow mandate suspend ville-lille 59123 059 --why "contract ended" --apply
    """
    last = ends_on.date() if ends_on else _today() - timedelta(days=1)

    async def work(tx: Transaction, change: Change) -> None:
        await directory.end_mandate(
            tx, SenderCode(sender_code), DeskCode(desk_code), Territory(territory), ends_on=last, change=change
        )

    plan = [f"end the mandate of {sender_code} for {desk_code} in {territory} with {last}"]
    return _perform(invocation, plan, work, act)


def _today() -> date:
    return calendar.legal_day(app.now())


def _perform(invocation: Invocation, plan: list[str], work: Work, act: Act) -> int:
    """Print the plan; carry it out in one transaction when told to."""

    async def perform() -> None:
        async with app.register_of(invocation.settings) as register, register.begin() as tx:
            await work(tx, Change(by=act.by, why=act.why, at=app.now()))

    if act.apply:
        wait_for(perform())
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE
