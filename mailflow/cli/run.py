"""`mailflow run` and `mailflow ingest`: the worker, as a service, as one batch, or on mails from files."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, apply_option, json_option, say, show_facts, show_plan, wait_for
from mailflow.cli.mail_files import FileMailbox, read_mails
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.stages import Drained


@click.command()
@click.option("--once", is_flag=True, help="One batch, for cron: what is there now, through to the answers.")
@json_option
@click.pass_obj
def run(invocation: Invocation, once: bool, as_json: bool) -> int:
    """Read the mailbox, register what is in order, answer.

    Example: mailflow run --once
    """
    invocation.log_to_stderr()
    if once:
        return _summary(wait_for(app.run_once(invocation.settings)), as_json=as_json)
    wait_for(app.run(invocation.settings))
    return Exit.DONE


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@apply_option
@json_option
@click.pass_obj
def ingest(invocation: Invocation, paths: tuple[Path, ...], apply: bool, as_json: bool) -> int:
    """Process mails from files as if they lay in the mailbox: .eml, mbox, Maildir, or - for standard input.

    The files stay where they are. The same mails given again are known and not answered again.

    Example: mailflow ingest saved/*.eml --apply
    """
    mails = read_mails(paths, app.now())
    if not apply:
        octets = sum(mail.size_bytes for mail in mails)
        show_plan([f"take in {len(mails)} mails, {octets} octets"], apply=False, as_json=as_json)
        return Exit.DONE
    invocation.log_to_stderr()
    return _summary(wait_for(_ingest(invocation, FileMailbox(mails))), as_json=as_json)


async def _ingest(invocation: Invocation, mailbox: FileMailbox) -> Drained:
    settings = invocation.settings
    async with app.register_of(settings) as register, app.mail_door(settings, register) as door:
        behind = Hindsight(partial(app.trails_of, settings), tolerant=True)
        files = replace(door, mailbox=mailbox, account="files", inbox="files", hindsight=behind)
        return await app.drain(files, settings)


def _summary(drained: Drained, *, as_json: bool) -> int:
    """Work that is left over weighs more than work that a person has to look at."""
    progress = drained.progress
    facts = asdict(progress) | {"waiting": drained.waiting, "unavailable": " ".join(drained.unavailable)}
    show_facts(facts if as_json else {k: v for k, v in facts.items() if v}, as_json=as_json)
    if not as_json and not progress and not drained.waiting:
        say("Nothing to do.")
    if drained.unavailable or drained.waiting:
        return Exit.TEMPORARY
    return Exit.SET_ASIDE if progress.set_aside or progress.held else Exit.DONE
