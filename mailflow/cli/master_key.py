"""`mailflow master-key`: the keys that wrap all others: which there are, the next one, and the end of a former one."""

import re

import click

from mailflow import app
from mailflow.cli.invocation import (
    Act,
    Exit,
    Invocation,
    Row,
    act_options,
    json_option,
    say,
    show_plan,
    show_rows,
    wait_for,
)
from mailflow.cli.placing import hand_over_register, write_random_key
from mailflow.errors import Misconfigured, Unavailable
from mailflow.jobs.rewrapping import REWRAP
from mailflow.register import Register, journal, masters
from mailflow.settings import Settings

COLUMNS = ("name", "file", "current", "wraps")


def _named(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", name):
        raise click.BadParameter("a name has letters, digits, points, dashes")
    return name


@click.group("master-key")
def master_key() -> None:
    """The keys that wrap the content keys of the register. Each is a file, NAME.key."""


@master_key.command("list")
@json_option
@click.pass_obj
def list_(invocation: Invocation, as_json: bool) -> int:
    """Every master key: whether its file is here, which one wraps new content keys, how many each wraps.

    Example: mailflow master-key list
    """
    rows = wait_for(_list(invocation.settings))
    show_rows(rows, COLUMNS, as_json=as_json, empty="There are no master keys.")
    return Exit.DONE


async def _list(settings: Settings) -> list[Row]:
    async with app.register_of(settings) as register, register.keys.read() as store:
        known = {master.name: master for master in await masters.known(store)}
    here = _here(settings)
    # In a register that has sealed nothing yet none is on record: the last one is the one that it begins with.
    begins = "" if any(one.current for one in known.values()) else max(here, default="")
    return [
        {
            "name": name,
            "file": name in here,
            "current": name == begins or (name in known and known[name].current),
            "wraps": known[name].wraps if name in known else 0,
        }
        for name in sorted(here | known.keys())
    ]


@master_key.command()
@click.option(
    "--to", "name", callback=_named, help="Name of the next one, made if it is not there. By default: the day."
)
@act_options
@click.pass_obj
def rotate(invocation: Invocation, name: str | None, act: Act) -> int:
    """Let another master key wrap new content keys from now on, in all workers at once, and those that there are.

    While this goes on everybody works. What is cut off is done by `mailflow jobs run rewrap --apply`, or tonight.
    Where workers run on several machines, put NAME.key on each of them first.

    Example: mailflow master-key rotate --why "once a year" --apply
    """
    _require_reason(act)
    return wait_for(_rotate(invocation, name, act))


async def _rotate(invocation: Invocation, name: str | None, act: Act) -> int:
    settings, at = invocation.settings, app.now()
    name = name or _free_name(settings, f"{at:%Y-%m-%d}")
    file = settings.register_.master_keys_dir / f"{name}.key"
    async with app.register_of(settings) as register:
        async with register.keys.read() as store:
            known = await masters.known(store)
        wrapped = sum(master.wraps for master in known if master.name != name)
        plan = [] if file.exists() else [f"write {file}: a new master key. Copy it to where keys are kept, now"]
        plan += [f"wrap new content keys by {name}, from now on", f"wrap {wrapped} content keys anew"]
        show_plan(plan, apply=act.apply, as_json=act.as_json)
        if not act.apply:
            return Exit.DONE
        if not file.exists():
            write_random_key(file, like=max(file.parent.glob("*.key")))
        async with register.begin() as tx:
            entry = journal.Entry(kind="master-key-current", detail={"key": name, "by": act.by, "why": act.why})
            await journal.append(tx, [entry], at)
            async with tx.keys.begin() as store:
                await masters.make_current(store, tx.vault, name)
        try:
            return await _rewrap(invocation, register)
        finally:
            hand_over_register(settings.register_)


async def _rewrap(invocation: Invocation, register: Register) -> int:
    try:
        await app.run_job(register, REWRAP, app.job_terms(invocation.settings), app.now())
    except Unavailable as error:
        say(f"{error}: what is left is wrapped anew tonight, or by `mailflow jobs run rewrap --apply`")
        return Exit.TEMPORARY
    return Exit.DONE


@master_key.command()
@click.argument("name", callback=_named)
@act_options
@click.pass_obj
def remove(invocation: Invocation, name: str, act: Act) -> int:
    """Delete the file of a former master key that wraps nothing any more. No backup that it wrapped can be read then.

    Example: mailflow master-key remove 1 --why "a year after the rotation" --apply
    """
    _require_reason(act)
    return wait_for(_remove(invocation.settings, name, act))


async def _remove(settings: Settings, name: str, act: Act) -> int:
    file, at = settings.register_.master_keys_dir / f"{name}.key", app.now()
    async with app.register_of(settings) as register, register.begin() as tx:
        async with tx.keys.read() as store:
            known = {master.name: master for master in await masters.known(store)}
        master = known.get(name)
        if master is None and not file.exists():
            raise click.ClickException("there is no such master key")
        if not any(one.current for one in known.values()) or (master and (master.current or master.wraps)):
            raise click.ClickException("it is in use: `mailflow master-key rotate` ends that")
        if act.apply:
            entry = journal.Entry(kind="master-key-removed", detail={"key": name, "by": act.by, "why": act.why})
            await journal.append(tx, [entry], at)
            async with tx.keys.begin() as store:
                await masters.remove(store, name)
    plan = [f"delete {file}; delete its copies elsewhere too, once no backup is to be read with it"]
    show_plan(plan, apply=act.apply, as_json=act.as_json)
    if act.apply:
        file.unlink(missing_ok=True)
        hand_over_register(settings.register_)
    return Exit.DONE


async def check_master_keys(settings: Settings) -> str:
    """What each wraps, and which can go. Raises Misconfigured when one is needed whose file is not here."""
    rows = await _list(settings)
    lost = [f"{row['name']} wraps {row['wraps']} content keys" for row in rows if not row["file"] and row["wraps"]]
    lost += [f"{row['name']} is the current one" for row in rows if not row["file"] and row["current"]]
    if lost:
        folder = settings.register_.master_keys_dir
        raise Misconfigured(f"register.master_keys_dir: files are missing in {folder}: {'; '.join(lost)}")
    return "; ".join(map(_told, rows))


def _told(row: Row) -> str:
    if row["current"]:
        return f"{row['name']} is current"
    if row["wraps"]:
        return f"{row['name']} still wraps {row['wraps']} content keys: mailflow jobs run rewrap --apply"
    return f"{row['name']} wraps nothing: mailflow master-key remove {row['name']}"


def _here(settings: Settings) -> set[str]:
    return {file.stem for file in settings.register_.master_keys_dir.glob("*.key")}


def _free_name(settings: Settings, day: str) -> str:
    here, name, again = _here(settings), day, 1
    while name in here:
        again += 1
        name = f"{day}-{again}"
    return name


def _require_reason(act: Act) -> None:
    if act.apply and not act.why:
        raise click.UsageError("--apply wants --why: the reason is kept in the journal")
