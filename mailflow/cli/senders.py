"""`mailflow sender`: who holds certificates and writes to the service. Every change is recorded with who and why."""

from collections.abc import Sequence
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.certificates import Offered, doubts, read_offered, refuse_of_others
from mailflow.cli.enrolment import add_standing_commands, enrolments, perform
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, json_option, show_rows, wait_for, warn
from mailflow.core import rates
from mailflow.core.expiry import ANNOUNCED_DAYS, endings
from mailflow.core.model import CertificateUse, SenderCode, Standing
from mailflow.core.rates import LIMIT_MAX, Budget
from mailflow.mail.smtp import is_addr_spec
from mailflow.mail.trust.certificate import describe
from mailflow.mail.trust.expiry import validity
from mailflow.register import Transaction, directory
from mailflow.register.directory import Change

AS_SET = "default"
RATE = f"BUDGET=NUMBER|{AS_SET}"
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def sender() -> None:
    """Senders: whoever holds certificates and writes to the service, for one desk or for many."""


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
    _check_addresses([*addresses, answer_address])
    offered = _offered(invocation, SenderCode(code), signing, encryption or signing)

    async def work(tx: Transaction, change: Change) -> None:
        who = SenderCode(code)
        await directory.add_sender(
            tx, who, name=name, answer_address=answer_address.lower(), legacy_encryption=legacy, change=change
        )
        await _add(tx, who, addresses, offered, change)

    plan = [f"enrol the sender {code} ({name}), answers to {answer_address}", *_additions(addresses, offered)]
    return perform(invocation, plan, work, act)


@sender.command("amend")
@click.argument("code")
@click.option("--name", help="Its new name, for people.")
@click.option("--legacy/--no-legacy", default=None, help="Answer by AES-CBC and RSA v1.5, or no more.")
@click.option("--address", "addresses", multiple=True, help="A further From address.")
@click.option("--without-address", "without", multiple=True, help="A From address that nothing more comes from.")
@click.option("--answer-to", help="Where answers go from now on.")
@click.option("--sign", "signing", type=FILE, multiple=True, help="A further certificate that signs, PEM.")
@click.option("--encrypt", "encryption", type=FILE, multiple=True, help="A further certificate for answers, PEM.")
@click.option("--rate", "own", multiple=True, metavar=RATE, help="A budget of its own; may be given again.")
@click.option("--suspend", "suspended", multiple=True, help="A certificate to be used no more: how its SHA-256 begins.")
@act_options
@click.pass_obj
def amend_sender(
    invocation: Invocation,
    code: str,
    name: str | None,
    legacy: bool | None,
    addresses: tuple[str, ...],
    without: tuple[str, ...],
    answer_to: str | None,
    signing: tuple[Path, ...],
    encryption: tuple[Path, ...],
    own: tuple[str, ...],
    suspended: tuple[str, ...],
    *,
    act: Act,
) -> int:
    """Enrol further addresses and certificates of a sender, beside those that it has; give up others.

    Old and new may be used side by side, until the old one is suspended or ends.

    Example: mailflow sender amend ville-lille --sign lille-2027.pem --encrypt lille-2027.pem --apply
    """
    if legacy is None and not any((name, addresses, without, answer_to, signing, encryption, own, suspended)):
        raise click.UsageError("say what is to change")
    _check_addresses([*addresses, *([answer_to] if answer_to else [])])
    offered = _offered(invocation, SenderCode(code), signing, encryption)
    given_up = wait_for(_certificates(invocation, SenderCode(code), suspended))
    budgets = _budgets(invocation, SenderCode(code), own) if own else None

    async def work(tx: Transaction, change: Change) -> None:
        who = SenderCode(code)
        await _add(tx, who, addresses, offered, change)
        if name or legacy is not None:
            await directory.amend_sender(tx, who, name=name or None, legacy_encryption=legacy, change=change)
        if budgets is not None:
            await directory.set_rates(tx, who, budgets, change)
        if answer_to:
            await directory.set_answer_address(tx, who, answer_to.lower(), change)
        for address in without:
            await directory.remove_address(tx, who, address, change)
        for fingerprint in given_up:
            await directory.set_certificate_standing(tx, fingerprint, Standing.SUSPENDED, change)

    plan = [
        *_additions(addresses, offered),
        *([f"call {code} {name}"] if name else []),
        *([] if legacy is None else [f"answer {code} by {'the old' if legacy else 'the present'} algorithms"]),
        *([] if budgets is None else [f"give {code} {rates.told(budgets)}"]),
        *([f"send answers of {code} to {answer_to}"] if answer_to else []),
        *(f"accept no more mail from {address}" for address in without),
        *(f"use certificate {fingerprint} no more" for fingerprint in given_up),
    ]
    return perform(invocation, plan, work, act)


def _budgets(invocation: Invocation, who: SenderCode, given: Sequence[str]) -> dict[Budget, int]:
    """The rates that the sender has of its own, changed as `given` says."""
    own = {
        budget: limit
        for one in enrolments(invocation).senders
        if one.code == who
        for budget, limit in one.rates.items()
    }
    for one in given:
        name, _, limit = one.partition("=")
        if name not in list(Budget) or not (limit == AS_SET or (limit.isdecimal() and 0 < int(limit) <= LIMIT_MAX)):
            raise click.BadParameter(f"{one} should be {RATE}, with a budget of {', '.join(Budget)}")
        own.pop(Budget(name), None)
        if limit != AS_SET:
            own[Budget(name)] = int(limit)
    return own


def _check_addresses(addresses: Sequence[str]) -> None:
    for address in addresses:
        if not is_addr_spec(address):
            raise click.BadParameter(f"{address} should be a bare address, name@example.org")


def _offered(
    invocation: Invocation, who: SenderCode, signing: Sequence[Path], encryption: Sequence[Path]
) -> list[Offered]:
    """What the files hold; what speaks against each is told."""
    uses = ((signing, CertificateUse.SIGN), (encryption, CertificateUse.ENCRYPT))
    offered = [one for files, use in uses for one in read_offered(files, use, who)]
    for doubt in wait_for(doubts(invocation.settings, offered, app.now())):
        warn(doubt)
    return offered


def _additions(addresses: Sequence[str], offered: Sequence[Offered]) -> list[str]:
    return [
        *(f"accept mail from {address}" for address in addresses),
        *(f"accept certificate {one.fingerprint} to {one.use.value}" for one in offered),
    ]


async def _add(
    tx: Transaction, who: SenderCode, addresses: Sequence[str], offered: Sequence[Offered], change: Change
) -> None:
    await refuse_of_others(tx, who, offered)
    for address in addresses:
        await directory.add_address(tx, who, address, change)
    for one in offered:
        await directory.add_certificate(tx, who, fingerprint=one.fingerprint, der=one.der, use=one.use, change=change)


async def _certificates(invocation: Invocation, who: SenderCode, beginnings: Sequence[str]) -> list[str]:
    """The fingerprints of this sender that begin so: one each."""
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        known = {c.fingerprint for s in await directory.list_senders(tx) if s.code == who for c in s.certificates}
    found = []
    for beginning in beginnings:
        fitting = [fingerprint for fingerprint in known if beginning and fingerprint.startswith(beginning.lower())]
        if len(fitting) != 1:
            raise click.BadParameter(f"{len(fitting)} certificates of {who} begin with {beginning}")
        found += fitting
    return found


@sender.command("list")
@json_option
@click.pass_obj
def list_senders(invocation: Invocation, as_json: bool) -> int:
    """Every sender. Example: mailflow sender list --json"""

    rows = [
        {
            "code": s.code,
            "name": s.name,
            "standing": s.standing.value,
            "addresses": " ".join(sorted(s.addresses)),
            "answers_to": s.answer_address,
            "certificates": " ".join(f"{c.use.value}:{c.fingerprint[:16]}" for c in s.certificates),
            "mandates": len(s.mandates),
            "rates": " ".join(f"{budget}={limit}" for budget, limit in s.rates.items()),
        }
        for s in enrolments(invocation).senders
    ]
    columns = ("code", "name", "standing", "addresses", "certificates", "mandates")
    show_rows(rows, columns, as_json=as_json, empty="No sender is enrolled.")
    return Exit.DONE


@sender.command("expiring")
@click.option("--days", type=click.IntRange(0), default=max(ANNOUNCED_DAYS), show_default=True, help="How far ahead.")
@json_option
@click.pass_obj
def list_expiring(invocation: Invocation, days: int, as_json: bool) -> int:
    """Certificates of senders that end soon, or have ended, and that none follows: who must renew.

    Example: mailflow sender expiring --days 90
    """
    at = app.now()
    rows = [
        {
            "sender": one.sender.code,
            "uses": " ".join(use.value for use in one.uses),
            "ends": one.ends,
            "days": (one.ends - at).days,
            "fingerprint": one.certificate.fingerprint,
            "serial": (known := describe(one.certificate.der)).serial,
            "subject": known.subject,
            "answers_to": one.sender.answer_address,
        }
        for one in endings(enrolments(invocation).senders, validity, at)
        if (one.ends - at).days < days
    ]
    columns = ("sender", "uses", "ends", "days", "fingerprint", "subject")
    empty = f"No certificate of a sender ends within {days} days with none to follow it."
    show_rows(rows, columns, as_json=as_json, empty=empty)
    return Exit.DONE


add_standing_commands(sender, directory.set_sender_standing)
