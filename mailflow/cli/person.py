"""`mailflow person`: what an applicant may ask for: all that is known of a request, and its erasure."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    by_option,
    json_option,
    say,
    show_json,
    show_plan,
    wait_for,
)
from mailflow.cli.placing import handed_out
from mailflow.core.calendar import legal_day
from mailflow.jobs.orders import DISPATCH
from mailflow.register import journal
from mailflow.registrar import person as rights

UNKNOWN = "there is no such number in the register"


@click.group()
def person() -> None:
    """An applicant's rights: export and erasure (GDPR)."""


@person.command()
@click.argument("number")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write; it must not exist yet.")
@by_option
@json_option
@click.pass_obj
def export(invocation: Invocation, number: str, out: Path, by: str, as_json: bool) -> int:
    """Write all that is known of a request, in clear, to a file that you alone can read. It is put on record.

    Example: mailflow person export 059112500000059123 --out export.json
    """
    return wait_for(_export(invocation, number, out, by, as_json=as_json))


async def _export(invocation: Invocation, number: str, out: Path, by: str, *, as_json: bool) -> int:
    at = app.now()
    async with app.register_of(invocation.settings) as register:
        async with register.read() as tx:
            known = await rights.export(tx, number)
        if known is None:
            raise click.ClickException(UNKNOWN)
        with handed_out(out) as file:
            async with register.begin() as tx:
                await journal.append(tx, [journal.Entry(kind="person-exported", number=number, detail={"by": by})], at)
            file.write(json.dumps(known, ensure_ascii=False, indent=2, default=str).encode())
    if as_json:
        show_json({"number": number, "file": str(out)})
    else:
        say(f"Written to {out}. It holds personal data: hand it over safely, then delete it.")
    return Exit.DONE


@person.command()
@click.argument("number")
@act_options
@click.pass_obj
def erase(invocation: Invocation, number: str, act: Act) -> int:
    """Erase what a request says, for good; if it is active it is deregistered first. Number, days and states stay.

    Example: mailflow person erase 059112500000059123 --why "asked for by letter of 3 May" --apply
    """
    if act.apply and not act.why:
        raise click.UsageError("--apply wants --why: the reason is kept in the journal")
    return wait_for(_erase(invocation, number, act))


async def _erase(invocation: Invocation, number: str, act: Act) -> int:
    at = app.now()
    async with app.register_of(invocation.settings) as register, register.begin() as tx:
        plan = await rights.plan_erasure(tx, number)
        if plan is None:
            raise click.ClickException(UNKNOWN)
        if act.apply:
            done_by = journal.Act(by=act.by, why=act.why)
            await rights.erase(tx, plan, done_by, legal_day(at), at)
    show_plan(_lines(plan), apply=act.apply, as_json=act.as_json)
    return Exit.DONE


@person.command()
@click.argument("number")
@json_option
@click.pass_obj
def erased(invocation: Invocation, number: str, as_json: bool) -> int:
    """Prove that a request is erased: look for everything that could be left of it, and say until when it may be.

    Exit code 65 when it was not erased, or something of it can be read yet.

    Example: mailflow person erased 059112500000059123
    """
    return wait_for(_erased(invocation, number, as_json=as_json))


async def _erased(invocation: Invocation, number: str, *, as_json: bool) -> int:
    settings = invocation.settings
    terms = rights.Terms(
        retention=timedelta(days=settings.jobs.retention_days),
        copies=timedelta(days=settings.register_.key_copies_days),
        dispatch=DISPATCH,
    )
    async with app.register_of(settings) as register, register.read() as tx:
        proof = await rights.prove_erasure(tx, number, terms)
    if proof is None:
        raise click.ClickException(UNKNOWN)
    if as_json:
        show_json({**asdict(proof), "complete": proof.is_complete})
    else:
        for line in _proven(proof):
            say(line)
    return Exit.DONE if proof.is_complete else Exit.SET_ASIDE


def _proven(proof: rights.Proof) -> Iterator[str]:
    yield f"erased: {proof.erased_at:%Y-%m-%d %H:%M %Z}" if proof.erased_at else "not erased"
    for what, left in proof.looked_for.items():
        yield f"{what}: {left or 'none'}"
    for mail, until in proof.mails.items():
        yield f"{mail}: kept, until {until}" if until else f"{mail}: kept, and not done with"
    if proof.is_complete:
        yield "Complete: nothing of it can be read here."
    if proof.erased_at and proof.ends_on:
        yield f"From {proof.ends_on} on no copy of the key store can have a key to it either."


def _lines(plan: rights.Erasure) -> list[str]:
    lines = ["deregister it as withdrawn (RADABA)"] if plan.deregisters else []
    lines.append("erase its content and that of its history" if plan.content else "find its content erased already")
    if plan.mails:
        lines.append(f"erase the mails that held nothing else: {', '.join(map(str, plan.mails))}")
    if plan.shared:
        lines.append(f"leave to retention the mails that others share: {', '.join(map(str, plan.shared))}")
    return lines
