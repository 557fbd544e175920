"""`mailflow duplicates` and `homonym`: what the territory manager sees of persons who may be one, and decides."""

import click

from mailflow import app
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    act_options,
    json_option,
    show_plan,
    show_rows,
    wait_for,
)
from mailflow.core.calendar import PARIS
from mailflow.register import duplicates as pairs
from mailflow.registrar import releasing
from mailflow.wire.names import FileNameError, parse_request_name

LIMIT = 100


@click.group()
def duplicates() -> None:
    """Active requests that may be of one person: similar names, or a birth date with one error."""


@duplicates.command("list")
@click.option("--territory", help="Only of this territory: three characters, as numbers begin.")
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="Most rows to show.")
@json_option
@click.pass_obj
def list_duplicates(invocation: Invocation, territory: str | None, limit: int, as_json: bool) -> int:
    """Pairs of active requests that may be of one person, the latest first. No personal data are shown.

    Example: mailflow duplicates list --territory 059
    """

    async def rows() -> list[dict[str, object]]:
        async with app.register_of(invocation.settings) as register, register.read() as tx:
            return [
                {
                    "territory": pair.territory,
                    "number": pair.number,
                    "other": pair.other,
                    "likeness": pair.likeness,
                    "found": f"{pair.found_at.astimezone(PARIS):%d/%m/%Y %H:%M}",
                    "found_at": pair.found_at,
                }
                for pair in await pairs.of_active(tx, territory, limit)
            ]

    columns = ("found", "territory", "number", "other", "likeness")
    show_rows(wait_for(rows()), columns, as_json=as_json, empty="No active requests look like one person's.")
    return Exit.DONE


@click.group()
def homonym() -> None:
    """Creations that were refused because somebody of the same names and birth date has an active request."""


@homonym.command("release")
@click.argument("file")
@click.option("--request", "position", default=1, show_default=True, type=click.IntRange(min=1), help="Which of it.")
@act_options
@click.pass_obj
def release_homonym(invocation: Invocation, file: str, position: int, *, act: Act) -> int:
    """A refused creation is of another person: the desk may send it again, in a new file, and is let in once.

    Example: mailflow homonym release DEM59123-202611251030-000001.xml --request 2 --why "two cousins, papers seen"
    --apply
    """
    try:
        desk = parse_request_name(file).desk
    except FileNameError:
        raise click.BadParameter("give the name of the refused file, DEM…xml") from None
    if act.apply and not act.why:
        raise click.UsageError("say why, with --why: the reason is kept in the journal")

    async def perform() -> releasing.Homonym:
        async with app.register_of(invocation.settings) as register, register.begin() as tx:
            found = await releasing.find_homonym(tx, desk, file, position)
            if act.apply:
                await releasing.release(tx, found, by=act.by, why=act.why, at=app.now())
            return found

    found = wait_for(perform())
    beside = ", ".join(found.beside)
    plan = [f"let desk {desk} register, once, in {found.territory}: request {position} of {file}, beside {beside}"]
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    return Exit.DONE
