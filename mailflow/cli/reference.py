"""`mailflow reference`: landlords and mediation commissions, which attestations state."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from mailflow import app
from mailflow.attestation.reference_files import ReferenceFile, ReferenceFileError, read
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    json_option,
    say,
    show_plan,
    show_rows,
    wait_for,
    warn,
)
from mailflow.core import places
from mailflow.core.calendar import legal_day
from mailflow.core.model import Standing
from mailflow.core.numbers import CANARY_TERRITORY, Territory
from mailflow.core.reference import department_of, present_municipality
from mailflow.register import Transaction, directory
from mailflow.register import reference as kept
from mailflow.register.reference import Loading

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A file that the operator named."""

    path: Path
    digest: str
    held: ReferenceFile


@click.group()
def reference() -> None:
    """What attestations state and no request says: landlords by municipality, mediation commissions."""


@reference.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@act_options
@click.pass_obj
def load(invocation: Invocation, files: tuple[Path, ...], *, act: Act) -> int:
    """Replace landlords (commune;siren;bailleur) or commissions (departement;commission;adresse;delaiMois) by FILES.

    A file holds all there is of its kind. Attestations that were issued before stay as they are.

    Example: mailflow reference load bailleurs.csv commissions.csv --why "arrêté du 3 mai" --apply
    """
    given = [_given(path) for path in files]
    for what in ("landlords", "commissions"):
        if sum(getattr(one.held, what) is not None for one in given) > 1:
            raise click.UsageError(f"one file holds all the {what}: give only one")
    plan, lacking = wait_for(_load(invocation, given, act))
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    for line in lacking:
        warn(line)
    return Exit.DONE


def _given(path: Path) -> Given:
    content = path.read_bytes()
    try:
        held = read(content)
    except ReferenceFileError as error:
        raise click.ClickException("\n".join(f"{path.name}: {line}" for line in str(error).splitlines())) from None
    return Given(path=path, digest=hashlib.sha256(content).hexdigest(), held=held)


async def _load(invocation: Invocation, given: Sequence[Given], act: Act) -> tuple[list[str], list[str]]:
    """What is, or would be, done; and what is lacking afterwards."""
    plan: list[str] = []
    lacking: list[str] = []
    async with app.register_of(invocation.settings) as register, register.begin() as tx:
        for one in given:
            loading = Loading(name=one.path.name, digest=one.digest, by=act.by, why=act.why, at=app.now())
            if (landlords := one.held.landlords) is not None:
                plan.append(f"load {one.path.name}: {_changes('landlords', await kept.landlords(tx), landlords)}")
                if act.apply:
                    await kept.replace_landlords(tx, landlords, loading)
            if (commissions := one.held.commissions) is not None:
                now = (await kept.commissions(tx)).values()
                plan.append(f"load {one.path.name}: {_changes('commissions', now, commissions)}")
                if act.apply:
                    await kept.replace_commissions(tx, commissions, loading)
        if act.apply:
            lacking = await missing(tx)
    return plan, lacking


def _changes(what: str, now: Collection[T], then: Collection[T]) -> str:
    added, gone = len(set(then) - set(now)), len(set(now) - set(then))
    return f"{len(then)} {what}, {added} new or changed, {gone} taken away or changed"


@reference.command()
@click.argument("municipalities", nargs=-1)
@json_option
@click.pass_obj
def show(invocation: Invocation, municipalities: tuple[str, ...], as_json: bool) -> int:
    """What attestations can state in the enrolled territories, or in MUNICIPALITIES (INSEE codes).

    Example: mailflow reference show 59350 59512
    """
    if unknown := [code for code in municipalities if places.municipality(code) is None]:
        raise click.BadParameter(f"{' '.join(unknown)} is no municipality")
    return wait_for(_places(invocation, municipalities, as_json) if municipalities else _all(invocation, as_json))


async def _all(invocation: Invocation, as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        edition = await kept.edition(tx)
        rows = [
            {
                "territory": one.territory,
                "departement": one.department,
                "commission": one.commission.name if one.commission else "",
                "months": one.commission.delay_months if one.commission else None,
                "municipalities": one.municipalities,
                "edition": edition,
            }
            for one in await kept.coverage(tx, await _enrolled(tx))
        ]
        lacking = await missing(tx)
    columns = ("territory", "departement", "commission", "months", "municipalities")
    if not as_json:
        say(f"Edition {edition}. Municipalities: those whose landlords are known.")
    show_rows(rows, columns, as_json=as_json, empty="No territory is enrolled.")
    for line in lacking:
        warn(line)
    return Exit.DONE


async def _places(invocation: Invocation, municipalities: Sequence[str], as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        known = await kept.of_places(tx, municipalities)
    rows = []
    for code in municipalities:
        present = present_municipality(code)
        commission = known.commissions.get(department_of(present) or "")
        rows.append(
            {
                "municipality": present,
                "landlords": ", ".join(known.landlords.get(present, ())),
                "commission": f"{commission.name}, {commission.address}" if commission else "",
                "months": commission.delay_months if commission else None,
                "edition": known.edition,
            }
        )
    show_rows(rows, ("municipality", "landlords", "commission", "months"), as_json=as_json, empty="")
    return Exit.DONE


async def missing(tx: Transaction) -> list[str]:
    """What attestations cannot state in the territories that are enrolled; they then say where to ask."""
    coverage = await kept.coverage(tx, await _enrolled(tx))
    without_commission = [one.department for one in coverage if one.commission is None]
    without_landlords = [one.department for one in coverage if one.municipalities == 0]
    told = (("mediation commission", without_commission), ("landlords", without_landlords))
    return [f"no {what} known in {' '.join(where)}" for what, where in told if where]


async def _enrolled(tx: Transaction) -> set[Territory]:
    """Where an active sender may act today."""
    today = legal_day(app.now())
    senders = await directory.list_senders(tx)
    mandates = [m for one in senders if one.standing is Standing.ACTIVE for m in one.mandates if m.holds_on(today)]
    return {mandate.territory for mandate in mandates} - {CANARY_TERRITORY}
