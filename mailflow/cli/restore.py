"""`mailflow restore`: a register that is behind its mailboxes is told what it lost, before numbers are given again."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.acting import require_reason
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, say, show_json, show_plan, wait_for, warn
from mailflow.core.numbers import SEQUENCE_MAX
from mailflow.mail import cms, hindsight, recovery
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.recovery import Recovery, WentOut
from mailflow.register import Register, restoring
from mailflow.register.journal import Act as Doing
from mailflow.settings import Settings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
SHOWN = 20
ROUND = 1_000
"""What a jump is rounded up to."""


@click.command()
@click.option("--archive-key", type=FILE, help="Private key of keys.archive_certificate_file, PEM; only for this.")
@click.option(
    "--jump",
    is_flag=False,
    flag_value=restoring.JUMP,
    default=0,
    type=click.IntRange(0, SEQUENCE_MAX),
    metavar="[NUMBERS]",
    help=f"Let every counter leave so many numbers out, {restoring.JUMP} unless you say more, and hold mails.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Look back to that day, if it is before that from two days before the last mails that the register knows.",
)
@act_options
@click.pass_obj
def restore(invocation: Invocation, archive_key: Path | None, jump: int, since: datetime | None, *, act: Act) -> int:
    """Tell a register that is behind its mailboxes, as after a restore from a backup, what it lost; stop numbers first.

    With the archive's key the numbers that went out are read from the audit mailbox, and each request has its own
    again. With --jump no number is given that may have gone out, and mails of the lost time wait for your word; a
    jump that may be too short is refused, and it says how long it has to be. Called again it tells which of these
    numbers are given by now.

    Example: mailflow restore --archive-key archive.key --why "disk lost, backup of 3:00" --apply
    """
    require_reason(act)
    return wait_for(_restore(invocation.settings, archive_key, jump, since.date() if since else None, act))


async def _restore(settings: Settings, archive_key: Path | None, jump: int, since: date | None, act: Act) -> int:
    at = app.now()
    async with app.register_of(settings) as register, hindsight.closing(app.trails_of(settings)) as (processed, audit):
        loss = await hindsight.survey(register, processed, audit, since=since)
        if not loss and not loss.unsent and not jump:
            return await _tell_reserved(register, act)
        went_out = WentOut()
        if archive_key is not None and loss.answers:
            ours = app.key_files(settings, app.now).known_signing()
            went_out = await recovery.read_answers(audit, loss, [archive_key_of(settings, archive_key)], ours, at)
        _require_way(len(loss.answers), archive_key, went_out, jump=bool(jump))
        if jump:
            unopened = went_out.sealed if archive_key else sorted(loss.answers)
            in_one = settings.limits.requests_max
            _require_far(jump, await recovery.least_jump(register, audit, loss, unopened, in_one=in_one))
        todo = Recovery(loss=loss, went_out=went_out, jump=jump)
        if not act.as_json:
            show_plan(_plan(todo), apply=act.apply, as_json=False)
        if not act.apply:
            if act.as_json:
                show_json({"plan": _plan(todo), "applied": False})
            return Exit.DONE
        done = await recovery.recover(register, processed, todo, Doing(by=act.by, why=act.why), at)
    if act.as_json:
        show_json({"plan": _plan(todo), "applied": True, **asdict(done)})
    else:
        say(f"Numbers kept: {done.reserved}. Mails taken in again: {done.taken_in}. Held: {done.held}.")
        say("Numbers are stopped still: look at `mailflow queue`, then `mailflow resume`.")
    for uid in done.oversize:
        warn(f"the mail with UID {uid} in {settings.mailbox.processed} is too large to be read")
    return Exit.DONE


def archive_key_of(settings: Settings, key: Path) -> DecryptionKey:
    """Of the certificate in the settings. Raises ClickException and Misconfigured."""
    certificate = settings.keys.archive_certificate_file
    if certificate is None:
        raise click.ClickException("keys.archive_certificate_file names no certificate")
    return cms.load_decryption_key(key.read_bytes(), certificate.read_bytes())


def _require_way(answers: int, archive_key: Path | None, went_out: WentOut, *, jump: bool) -> None:
    if jump or not answers:
        return
    if archive_key is None:
        raise click.ClickException(
            f"{answers} answers left that the register does not know: give --archive-key, or --jump without it"
        )
    if went_out.sealed:
        raise click.ClickException(
            f"{len(went_out.sealed)} of {answers} answers are not opened by this key, are not signed by the service, or"
            " cannot be read now: add --jump, so that none of their numbers is given again"
        )


def _require_far(jump: int, least: int) -> None:
    if jump < min(least, SEQUENCE_MAX):
        enough = min(-(-least // ROUND) * ROUND, SEQUENCE_MAX)
        raise click.ClickException(
            f"{least} numbers of one territory and month may have been given, and a counter that leaves {jump} out"
            f" would give some of them again: type --jump {enough}"
        )


def _plan(todo: Recovery) -> list[str]:
    loss = todo.loss
    numbers = len(todo.went_out.told)
    plan = ["give no numbers until `mailflow resume`"]
    if numbers:
        plan.append(f"keep {numbers} numbers, told by {len(loss.answers)} answers, for the requests that had them")
    if todo.jump:
        plan += [f"let every counter leave {todo.jump} numbers out", "hold all mails that are not decided"]
    plan.append(f"take in {len(loss.mails)} mails of Processed again, to be decided in their order")
    if loss.unsent:
        plan.append(f"record {len(loss.unsent)} mails as sent that were ordered before, and have left since")
    if todo.went_out.rejected and not todo.jump:
        plan.append(f"hold {len(todo.went_out.rejected)} mails that an operator had refused")
    if loss.nameless:
        plan.append(f"look at {len(loss.nameless)} more that have no Message-ID, and take in those that are not known")
    return [*plan, f"number further mails {restoring.INTAKES_AHEAD} higher"]


async def _tell_reserved(register: Register, act: Act) -> int:
    """Whether everybody has the number again that went out."""
    async with register.read() as tx:
        found = await restoring.reserved(tx)
    open_ = [one for one in found if not one.given]
    if act.as_json:
        show_json({"plan": [], "given_again": len(found) - len(open_), "not_given": [asdict(one) for one in open_]})
    else:
        say("The register is not behind its mailboxes.")
        if found:
            again = len(found) - len(open_)
            say(f"Numbers that went out before: {len(found)}; given again to the same requests: {again}.")
        for one in open_[:SHOWN]:
            say(f"  {one.number}, desk {one.desk}: not given again, and never to another request")
    return Exit.SET_ASIDE if open_ else Exit.DONE


async def require_up_to_date(settings: Settings, register: Register) -> None:
    """Raises MailflowError when the register is behind its mailboxes, which are looked through from end to end."""
    async with hindsight.closing(app.trails_of(settings)) as (processed, audit):
        await hindsight.require_up_to_date(register, processed, audit, app.now())
