"""`mailflow enrolment`: all enrolments as one file, to be reviewed, compared, kept, and carried out."""

import tomllib
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.certificates import Offered, doubts
from mailflow.cli.enrolment import enrolments, perform
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, json_option, say, show_json, wait_for, warn
from mailflow.core.calendar import legal_day
from mailflow.enrolment.plan import Effect, Step, carry_out, steps
from mailflow.enrolment.reader import EnrolmentFault, read
from mailflow.enrolment.writer import write
from mailflow.register import Transaction
from mailflow.register.directory import Change


@click.group()
def enrolment() -> None:
    """All enrolments as one file: who may act for whom, with certificates, addresses and mandates."""


@enrolment.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@json_option
@click.pass_obj
def export(invocation: Invocation, file: Path | None, as_json: bool) -> int:
    """Write all enrolments as TOML, in a fixed order, to FILE or to standard output. FILE is replaced.

    Example: mailflow enrolment export enrolment.toml
    """
    text = write(enrolments(invocation), invocation.settings.environment)
    if file is not None:
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{file}: {error.strerror}") from None
    if as_json:
        show_json(tomllib.loads(text))
    elif file is None:
        click.echo(text, nl=False)
    else:
        say(f"Written to {file}.")
    return Exit.DONE


@enrolment.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--take-away", is_flag=True, help="Also when somebody may do less afterwards: lines that begin with `-`.")
@act_options
@click.pass_obj
def import_(invocation: Invocation, file: Path, take_away: bool, *, act: Act) -> int:
    """Make the register as FILE says: print what differs, and with --apply do it, all or nothing.

    A line begins with `+` for what is added, `~` for what changes, and `-` where somebody may do less afterwards.
    What FILE does not have is suspended or ended, never deleted; only addresses are removed.

    Example: mailflow enrolment import enrolment.toml --why "contract 12" --apply
    """
    known, today = enrolments(invocation), legal_day(app.now())
    try:
        found = steps(known, read(file.read_bytes(), invocation.settings.environment), today)
    except EnrolmentFault as error:
        raise EnrolmentFault(f"{file}:\n  {error}") from None
    _warn_of(invocation, file, found)
    taking = sum(step.effect is Effect.TAKES for step in found)
    if act.apply and taking and not take_away:
        raise click.UsageError(f"{taking} steps take rights away; look at the plan, then give --take-away too")

    async def work(tx: Transaction, change: Change) -> None:
        await carry_out(tx, known, found, change)

    if not found and not act.as_json:
        say(f"The register is as {file} says.")
        return Exit.DONE
    return perform(invocation, [str(step) for step in found], work, act)


def _warn_of(invocation: Invocation, file: Path, found: list[Step]) -> None:
    """What speaks against each certificate that is to be enrolled."""
    offered = [
        Offered(sender=sender, file=Path(f"{file.name} {one.fingerprint[:16]}"), der=one.der, use=one.use)
        for sender, one in (step.enrols for step in found if step.enrols is not None)
    ]
    for doubt in wait_for(doubts(invocation.settings, offered, app.now())) if offered else ():
        warn(doubt)
