"""`mailflow sender successors`, `accept`, `decline`: certificates that senders offered by their own signed mail."""

from collections.abc import Awaitable, Callable

import click

from mailflow import app
from mailflow.cli.enrolment import perform
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, json_option, show_rows, wait_for
from mailflow.cli.senders import sender
from mailflow.core.model import SenderCode
from mailflow.core.succession import Succession, SuccessorReceipt
from mailflow.mail import succession
from mailflow.mail.trust.certificate import describe
from mailflow.register import Transaction, successors
from mailflow.register.directory import Change
from mailflow.register.successors import Offered

Decide = Callable[[Transaction, SenderCode, str, Change], Awaitable[Offered]]


async def _waiting(invocation: Invocation) -> list[Offered]:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        return await successors.listed(tx)


@sender.command("successors")
@json_option
@click.pass_obj
def list_successors(invocation: Invocation, as_json: bool) -> int:
    """Certificates that senders have offered by mail and that wait for your word.

    Example: mailflow sender successors
    """
    rows = [
        {
            "sender": one.sender,
            "fingerprint": one.successor.fingerprint,
            "uses": " ".join(use.value for use in one.successor.uses),
            "subject": (known := describe(one.successor.certificate)).subject,
            "issuer": known.issuer,
            "ends": known.validity.ends,
            "follows": one.successor.follows,
            "intake": one.intake_id,
            "offered": one.offered_at,
        }
        for one in wait_for(_waiting(invocation))
    ]
    columns = ("sender", "fingerprint", "uses", "subject", "ends", "intake")
    show_rows(rows, columns, as_json=as_json, empty="No offered certificate waits.")
    return Exit.DONE


@sender.command("accept")
@click.argument("code")
@click.argument("fingerprint")
@act_options
@click.pass_obj
def accept(invocation: Invocation, code: str, fingerprint: str, *, act: Act) -> int:
    """Enrol the certificate that the sender CODE has offered by mail: how its SHA-256 begins. Its contacts are told.

    Compare the fingerprint with the sender first, by telephone: its key may be a thief's.

    Example: mailflow sender accept ville-lille 4ba5cebaf6ef99de --why "called them" --apply
    """
    says = "enrol for {code}, for whatever {follows} may do, the certificate {fingerprint}, {subject}"
    return _decide(invocation, code, fingerprint, successors.enrol, Succession.ENROLLED, says, act)


@sender.command("decline")
@click.argument("code")
@click.argument("fingerprint")
@act_options
@click.pass_obj
def decline(invocation: Invocation, code: str, fingerprint: str, *, act: Act) -> int:
    """Do not enrol the certificate that the sender CODE has offered by mail, now or when it is offered again.

    Example: mailflow sender decline ville-lille 4ba5cebaf6ef99de --why "they know nothing of it" --apply
    """
    says = "do not enrol for {code} the certificate {fingerprint}, {subject}"
    return _decide(invocation, code, fingerprint, successors.decline, Succession.DECLINED, says, act)


def _decide(
    invocation: Invocation, code: str, beginning: str, decide: Decide, became: Succession, says: str, act: Act
) -> int:
    fitting = [
        one
        for one in wait_for(_waiting(invocation))
        if one.sender == code and beginning and one.successor.fingerprint.startswith(beginning.lower())
    ]
    if len(fitting) != 1:
        raise click.BadParameter(
            f"{len(fitting)} certificates that {code} offered, and that wait, begin with {beginning}"
        )
    offered = fitting[0].successor
    domain = invocation.settings.service.address.rpartition("@")[2]

    async def work(tx: Transaction, change: Change) -> None:
        done = await decide(tx, SenderCode(code), offered.fingerprint, change)
        receipt = SuccessorReceipt(successor=done.successor, became=became)
        await succession.announce(tx, done.sender, receipt, domain, change.at)

    known = describe(offered.certificate)
    plan = says.format(code=code, follows=offered.follows, fingerprint=known.fingerprint, subject=known.subject)
    return perform(invocation, [plan], work, act)
