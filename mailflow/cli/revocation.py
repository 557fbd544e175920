"""`mailflow revocation`: what is known of revocations; where it comes from, how old it is, what comes next."""

from collections.abc import Iterator
from datetime import datetime

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, json_option, say, show_json, show_rows, wait_for
from mailflow.core.calendar import PARIS
from mailflow.core.revocation import KeptSource, SourceKey
from mailflow.errors import Unavailable
from mailflow.mail.trust.revocation_list import RevocationList, UnusableList
from mailflow.register import revocations
from mailflow.settings import Settings

COLUMNS = ("kind", "source", "state", "published", "expires", "fetched", "next")


@click.group()
def revocation() -> None:
    """Revocation data: the lists in trust.crls_dir, and what is fetched by HTTP."""


@revocation.command("list")
@json_option
@click.pass_obj
def list_(invocation: Invocation, as_json: bool) -> int:
    """Each file and each source with what is had of it: current, ended or nothing; and why it fails, when it does.

    What certificates state but the settings do not admit is listed too: nobody is asked there.

    Example: mailflow revocation list
    """
    rows = wait_for(_rows(invocation.settings))
    show_rows(rows, COLUMNS, as_json=as_json, empty="There are no lists, and nobody is asked.")
    return Exit.DONE


@revocation.command()
@json_option
@click.pass_obj
def refresh(invocation: Invocation, as_json: bool) -> int:
    """Ask every source now, as the service does by itself. Exit code 75 when one of them has nothing that is current.

    Example: mailflow revocation refresh
    """
    invocation.log_to_stderr()
    asked, bad = wait_for(_refresh(invocation.settings))
    if as_json:
        show_json({"asked": asked, "nothing_current": bad})
    else:
        say(f"{asked} asked")
    if bad:
        raise Unavailable(f"nothing current of {', '.join(bad)}")
    return Exit.DONE


async def _refresh(settings: Settings) -> tuple[int, list[str]]:
    async with app.register_of(settings) as register:
        asked = await app.refresher_of(settings, register).refresh(at_once=True)
        async with register.read() as tx:
            return asked, not_current(await revocations.sources(tx), app.now())


def not_current(kept: list[KeptSource], at: datetime) -> list[str]:
    """Sources that fail, and of which nothing is had, or nothing that still holds."""
    return [f"{one.key.url} ({one.failure})" for one in kept if one.failures and not one.is_current(at)]


async def _rows(settings: Settings) -> list[dict[str, object]]:
    at = app.now()
    async with app.register_of(settings, read_only=True) as register:
        known = await app.refresher_of(settings, register).sources(at)
        async with register.read() as tx:
            kept = {one.key: one for one in await revocations.sources(tx)}
    return [
        *_files(settings, at),
        *(_row(key, kept.get(key), at) for key in known.wanted),
        *(_line("-", url, "not asked: its host is not in revocation.hosts") for url in known.left_out),
    ]


def _files(settings: Settings, at: datetime) -> Iterator[dict[str, object]]:
    for name, der in app.list_files(settings):
        try:
            known = RevocationList(der)
        except UnusableList as error:
            yield _line("file", name, f"unusable: {error}")
        else:
            state = "current" if at <= known.expires else "ended"
            yield _line("file", name, state, published=known.published, expires=known.expires)


def _line(kind: str, source: str, state: str, **instants: datetime | None) -> dict[str, object]:
    written = {name: at and at.astimezone(PARIS).isoformat(" ", "minutes") for name, at in instants.items()}
    return dict.fromkeys(COLUMNS) | {"kind": kind, "source": source, "state": state} | written


def _row(key: SourceKey, kept: KeptSource | None, at: datetime) -> dict[str, object]:
    source, state = " ".join((key.url, key.about[:16])).strip(), _state(kept, at)
    if kept is None:
        return _line(key.kind.value, source, state)
    return _line(
        key.kind.value,
        source,
        state,
        published=kept.published,
        expires=kept.expires,
        fetched=kept.fetched_at,
        next=kept.next_at,
    )


def _state(kept: KeptSource | None, at: datetime) -> str:
    if kept is None:
        return "not asked yet"
    state = "current" if kept.is_current(at) else "nothing" if kept.expires is None else "ended"
    said = f"{state}, {kept.says}" if kept.says else state
    return f"{said}; {kept.failures} failures: {kept.failure}" if kept.failures else said
