"""`mailflow backup` and `mailflow drill`: a copy while the service runs, and the proof that it is worth something."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, json_option, say, show_json, wait_for
from mailflow.cli.restore import archive_key_of
from mailflow.errors import MailflowError, Misconfigured
from mailflow.mail import hindsight, recovery
from mailflow.mail.hindsight import Loss
from mailflow.mail.kinds import ANSWER
from mailflow.mail.recovery import Recovery, WentOut
from mailflow.register import Register, copying, installation, proving, watching
from mailflow.register.copying import Copy
from mailflow.register.journal import Act
from mailflow.settings import Settings

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
NEW_FOLDER = click.Path(path_type=Path, file_okay=False)
LATEST = 200
"""So many mails, requests and attestations of the copy are opened."""
DRILL = Act(by="mailflow drill", why="drill, in a copy")


@click.command()
@click.argument("folder", type=NEW_FOLDER)
@json_option
@click.pass_obj
def backup(invocation: Invocation, folder: Path, as_json: bool) -> int:
    """Copy the register and its key store into FOLDER, in the right order, while the service runs.

    The two files are to be kept apart, and that of the key store no longer than register.key_copies_days.

    Example: mailflow backup /var/backups/mailflow/2026-11-25
    """
    where = invocation.settings.register_
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{folder}: {error.strerror}") from error
    copy = copying.take(where.url, where.keys_url, folder)
    facts = {name: {"file": f"{file}", "bytes": file.stat().st_size} for name, file in asdict(copy).items()}
    if as_json:
        show_json(facts)
    else:
        for name, one in facts.items():
            say(f"{name}: {one['file']}, {one['bytes']} octets")
    return Exit.DONE


class Proof(NamedTuple):
    """One thing that the drill looked at."""

    what: str
    ok: bool
    detail: str


@click.command()
@click.option("--backup", "folder", type=FOLDER, help="What `mailflow backup` wrote there; else one is taken now.")
@click.option(
    "--archive-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Private key of keys.archive_certificate_file; without it the counters of the copy jump.",
)
@json_option
@click.pass_obj
def drill(invocation: Invocation, folder: Path | None, archive_key: Path | None, as_json: bool) -> int:
    """Prove that a backup is worth something: make a register of it beside this one, open it, restore what it lost.

    Nothing of the service is changed, and the copy is gone afterwards. Of a backup of yesterday it proves that no
    number that went out since would be given again; of one that is taken now, that it opens. Ends with 65 when not.

    Example: mailflow drill --backup /var/backups/mailflow/2026-11-25 --archive-key archive.key
    """
    proofs = wait_for(_drill(invocation.settings, folder, archive_key))
    if as_json:
        show_json([proof._asdict() for proof in proofs])
    else:
        for proof in proofs:
            say(f"{'ok   ' if proof.ok else 'WRONG'} {proof.what:<12} {proof.detail}")
    return Exit.DONE if all(proof.ok for proof in proofs) else Exit.SET_ASIDE


async def _drill(settings: Settings, folder: Path | None, archive_key: Path | None) -> list[Proof]:
    where = settings.register_
    async with AsyncExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailflow-drill-")))
        if folder is None:
            (taken := own / "taken").mkdir()
            copy = await asyncio.to_thread(copying.take, where.url, where.keys_url, taken)
        else:
            copy = copying.files_in(folder, where.url)
        live = await stack.enter_async_context(app.register_of(settings, read_only=True))
        try:
            urls = stack.enter_context(copying.restored(where.url, copy, own))
            beside = Register.open(urls[0], app.open_vault(settings), keys_url=urls[1])
            stack.push_async_callback(beside.close)
            await beside.require_current_schema()
            async with beside.read() as tx:
                await installation.require_environment(tx, settings.environment)
        except (MailflowError, OSError) as error:
            return [Proof("restored", False, str(error))]
        proofs = [Proof("restored", True, _sizes(copy))]
        proofs += await _opens(beside)
        return [*proofs, *await _gives_nothing_twice(settings, live, beside, archive_key)]


def _sizes(copy: Copy) -> str:
    return ", ".join(f"{file.name} {file.stat().st_size} octets" for file in (copy.register, copy.keys))


async def _opens(beside: Register) -> list[Proof]:
    async with beside.read() as tx:
        found = await proving.opened(tx, LATEST)
        broken = await watching.count_broken(tx)
    names = ", ".join(f"{name}: {times}" for name, times in broken.items() if times)
    return [
        *(Proof(what, opened == of, f"{opened} of the latest {of} open") for what, (opened, of) in found.items()),
        Proof("promises", not names, names or f"{len(broken)} are kept"),
    ]


async def _gives_nothing_twice(
    settings: Settings, live: Register, beside: Register, archive_key: Path | None
) -> list[Proof]:
    """Let the copy see the mailboxes, as a worker would; restore it; ask each counter for its next number."""
    at = app.now()
    async with live.read() as tx, beside.read() as copied:
        went_out = await proving.went_out_since(tx, copied, ANSWER)
    async with hindsight.closing(app.trails_of(settings)) as (processed, audit):
        loss = await hindsight.survey(beside, processed, audit)
        told = WentOut()
        if archive_key is not None and loss.answers:
            ours = app.key_files(settings, app.now).known_signing()
            told = await recovery.read_answers(audit, loss, [archive_key_of(settings, archive_key)], ours, at)
        jump, unopened = 0, told.sealed if archive_key else sorted(loss.answers)
        if unopened:
            jump = await recovery.least_jump(beside, audit, loss, unopened, in_one=settings.limits.requests_max)
        if loss:
            todo = Recovery(loss=loss, went_out=told, jump=jump)
            await recovery.recover(beside, processed, todo, DRILL, at)
    again = await proving.given_again(beside, went_out, at)
    how = "the counters jumped" if jump else f"{len(told.told & went_out)} are kept for their requests"
    return [
        Proof("noticed", bool(loss) or not went_out, f"{len(went_out)} numbers went out since; {_seen(loss)}"),
        Proof("numbers", not again, _again(again) or f"none of these is given again: {how}"),
    ]


def _seen(loss: Loss) -> str:
    if not loss:
        return "the mailboxes know nothing that the copy does not"
    return f"the copy misses {len(loss.mails)} mails and {len(loss.answers)} answers, and would give no numbers"


def _again(numbers: set[str]) -> str:
    return f"given again: {', '.join(sorted(numbers))}" if numbers else ""
