"""What every command shares: the settings, how it speaks, how it ends."""

import asyncio
import functools
import json
import os
import pwd
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mailflow import log
from mailflow.settings import Settings, load

T = TypeVar("T")
P = ParamSpec("P")

Row = Mapping[str, object]


class Exit(IntEnum):
    """What a command tells whoever called it (sysexits.h)."""

    DONE = 0
    SET_ASIDE = 65
    """Something was set aside or refused: a person should look."""
    TEMPORARY = 75
    """A dependency is down, or something is not finished: call again."""
    CONFIGURATION = 78


@dataclass
class Invocation:
    """One call of the command line."""

    config: Path

    @cached_property
    def settings(self) -> Settings:
        """Raises Misconfigured."""
        return load(self.config)

    def log_to_stderr(self) -> None:
        """For commands that work: one line per transition."""
        log.configure(form=self.settings.log.format.value, level=self.settings.log.level.value)


def json_option(command: Callable[P, T]) -> Callable[P, T]:
    """`--json`: the same facts for a program."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def apply_option(command: Callable[P, T]) -> Callable[P, T]:
    """`--apply`: without it a command that changes something only says what it would do."""
    return click.option("--apply", is_flag=True, help="Do it. Without this only the plan is printed.")(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A change to be made, or only planned."""

    by: str
    why: str
    apply: bool
    as_json: bool


def caller() -> str:
    """The user of this process; when somebody else became that user by sudo, who that was."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container
        user = f"user {os.geteuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {user}" if behind and behind != user else user


def signed(by: str) -> str:
    """Whoever somebody says that it is; and who said so, when that is another."""
    return by if by == caller() else f"{by} ({caller()})"


def by_option(command: Callable[..., T]) -> Callable[..., T]:
    """`--by`: who does it, as it goes into the journal, as parameter `by`."""

    @functools.wraps(command)
    def with_by(*arguments: Any, by: str, **options: Any) -> T:
        return command(*arguments, by=signed(by), **options)

    return click.option("--by", default=caller, show_default="the user", help="Who does it, for the journal.")(with_by)


def act_options(command: Callable[..., T]) -> Callable[..., T]:
    """`--by`, `--why`, `--apply` and `--json`, as one parameter `act`: changes are recorded with who and why."""

    @functools.wraps(command)
    def with_act(*arguments: Any, by: str, why: str, apply: bool, as_json: bool, **options: Any) -> T:
        return command(*arguments, act=Act(by=by, why=why, apply=apply, as_json=as_json), **options)

    why = click.option("--why", default="", help="The reason, for the journal.")
    return json_option(apply_option(by_option(why(with_act))))


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run the asynchronous part of a command."""
    return asyncio.run(work)


def say(text: str) -> None:
    """One line for the person at the terminal."""
    click.echo(text)


def warn(text: str) -> None:
    """One line that is to be seen whatever becomes of the output."""
    click.echo(f"warning: {text}", err=True)


def show_json(data: object) -> None:
    """`data` as JSON, instants and paths as text."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Rows as a table, or as JSON with every field they have."""
    if as_json:
        show_json([dict(row) for row in rows])
        return
    if not rows:
        if empty:
            say(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape("" if row[column] is None else str(row[column])) for column in columns))
    console().print(table)


def show_facts(facts: Row, *, as_json: bool) -> None:
    """One thing with its fields, a line each."""
    if as_json:
        show_json(dict(facts))
        return
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if value not in (None, "", ()):
            say(f"{name:<{width}}  {value}")


def show_plan(plan: Sequence[str], *, apply: bool, as_json: bool) -> None:
    """What is, or would be, done."""
    if as_json:
        show_json({"plan": list(plan), "applied": apply})
        return
    for line in plan:
        say(f"{'does' if apply else 'would'}: {line}")
    if not apply:
        say("Nothing was changed. Add --apply to do it.")


def console() -> Console:
    """Standard output; wide where it is no terminal, so that a pipe gets whole lines."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)
