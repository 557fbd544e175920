"""`mailflow audit`: whether the journal is as it was sealed; what is broken, and where."""

import contextlib
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, json_option, say, show_json, wait_for
from mailflow.core.chain import NO_LINK, Head, KeptHead, Link, Notary
from mailflow.jobs.damage import Finding
from mailflow.jobs.examining import Witness, examine
from mailflow.mail import pem
from mailflow.register import chain

TOLD_MAX = 1_000
"""Findings that are told one by one; the others are counted."""


@click.command()
@click.option(
    "--head",
    "kept_elsewhere",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A head that --print-head printed, and that was kept elsewhere: the journal has to agree with it too.",
)
@click.option("--print-head", is_flag=True, help="Only print the last signed head, as a file to be kept elsewhere.")
@json_option
@click.pass_obj
def audit(invocation: Invocation, kept_elsewhere: Path | None, print_head: bool, as_json: bool) -> int:
    """Go through the whole journal: whether every entry is there and as it was when the service sealed it.

    Reads the register only, beside the service or without it. Exit code 65 when anything is found; what is told is the
    entry or the signed head, and what is wrong with it. The job `audit` looks for the same every night.

    Example: mailflow audit --print-head > head.pem; mailflow audit --head head.pem
    """
    notary, at = app.make_notary(invocation.settings, app.now), app.now()
    if print_head:
        last = wait_for(_last_head(invocation))
        if last is None:
            raise click.ClickException("no head was signed yet")
        say(pem.written(last.signed, pem.CMS))
        return Exit.DONE
    witness = _witness(kept_elsewhere, notary, at) if kept_elsewhere else None
    seen = wait_for(_look(invocation, notary, at, witness))
    _tell(seen, as_json=as_json)
    return Exit.SET_ASIDE if seen.count else Exit.DONE


async def _last_head(invocation: Invocation) -> KeptHead | None:
    async with app.register_of(invocation.settings, read_only=True) as register, register.read() as tx:
        return await chain.last_head(tx)


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What came of it."""

    told: list[Finding] = field(default_factory=list)
    count: int = 0
    sealed: Link = NO_LINK
    head: Head | None = None


def _witness(file: Path, notary: Notary, at: datetime) -> Witness:
    with contextlib.suppress(pem.PemError):
        signed = pem.read_der(file.read_bytes(), pem.CMS)[0]
        if head := notary.open(signed, at):
            return Witness(signed=signed, head=head)
    raise click.UsageError(f"{file} holds no head that this service has signed, or it was altered")


async def _look(invocation: Invocation, notary: Notary, at: datetime, witness: Witness | None) -> _Seen:
    seen = _Seen()
    async with app.register_of(invocation.settings, read_only=True) as register:
        async for finding in examine(register, notary, at, witness):
            seen.count += 1
            if seen.count <= TOLD_MAX:
                seen.told.append(finding)
        async with register.read() as tx:
            seen.sealed, last = await chain.last_link(tx), await chain.last_head(tx)
    seen.head = notary.open(last.signed, at) if last else None
    return seen


def _tell(seen: _Seen, *, as_json: bool) -> None:
    if as_json:
        found = [
            {"what": one.what.value, "first": one.first, "last": one.last, "sentence": str(one)} for one in seen.told
        ]
        facts = {
            "sealed_up_to": seen.sealed.id,
            "link": seen.sealed.link.hex(),
            "head": seen.head and asdict(seen.head),
        }
        show_json(facts | {"count": seen.count, "findings": found})
        return
    say(f"Sealed up to entry {seen.sealed.id}.")
    if head := seen.head:
        say(f"Last head: {head.number}, of {head.day}, over {head.entries} entries up to {head.position}.")
    for one in seen.told:
        say(str(one))
    if seen.count > len(seen.told):
        say(f"and {seen.count - len(seen.told)} more")
    say(f"Found: {seen.count}. Keep a copy of the register as it is now." if seen.count else "Nothing is wrong.")
