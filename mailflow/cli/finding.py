"""`mailflow find`, and the options by which every command of operators says which mails it means."""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_json, show_rows, wait_for
from mailflow.core.calendar import PARIS
from mailflow.mail.kinds import KINDS
from mailflow.ops.outlook import duration
from mailflow.register import cases
from mailflow.register.acts import OWED
from mailflow.register.cases import MAIL, Filter, Item
from mailflow.register.types import IntakeState, OutboxState

T = TypeVar("T")

LIMIT = 100
STATES = sorted({state.value for states in (IntakeState, OutboxState) for state in states})
COLUMNS = ("left", "what", "intake", "outbox", "state", "received", "sender", "reason")


class LocalTime(click.DateTime):
    """A time as the clock in Paris shows it."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """With its zone."""
        found: datetime = super().convert(value, param, ctx)
        return found.replace(tzinfo=PARIS)


_OPTIONS = (
    click.option("--intake", "intakes", multiple=True, type=int, help="The mail of this intake, and what goes out."),
    click.option("--outgoing", multiple=True, type=int, help="This outgoing mail, by its number in the outbox."),
    click.option("--what", "kinds", multiple=True, type=click.Choice([MAIL, *KINDS]), help="Only mails, or answers …"),
    click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state."),
    click.option("--reason", "reasons", multiple=True, help="Only for this reason, such as CTRL_SIG_0012."),
    click.option("--number", default="", help="Mails about this unique number."),
    click.option("--desk", default="", help="Mails with a file of this desk."),
    click.option("--file", default="", help="Mails with this file; * stands for anything."),
    click.option("--sender", default="", help="Mails that this sender is proven to have sent."),
    click.option("--message-id", default="", help="The mail, or the outgoing mail, with this Message-ID."),
    click.option("--since", type=LocalTime(), help="Received then or later, by the clock in Paris."),
    click.option("--until", type=LocalTime(), help="Received before."),
)


def filter_options(command: Callable[..., T]) -> Callable[..., T]:
    """The options that say which mails are meant, as one parameter `which`."""
    names = list(Filter.__dataclass_fields__)

    @functools.wraps(command)
    def with_filter(*arguments: Any, **options: Any) -> T:
        given = {name: options.pop(name) for name in names}
        if given["message_id"]:
            given["message_id"] = f"<{given['message_id'].strip('<>')}>"
        return command(*arguments, which=Filter(**given), **options)

    for option in reversed(_OPTIONS):
        with_filter = option(with_filter)
    return with_filter


@click.command()
@filter_options
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="Most rows to show.")
@json_option
@click.pass_obj
def find(invocation: Invocation, which: Filter, limit: int, as_json: bool) -> int:
    """Mails, and outgoing mails, that match all that is asked, in whatever state, the least time left first.

    The same options say to `hold`, `release` and the other acts what they are for.

    Example: mailflow find --desk 59123 --since 2026-11-24 --state held
    """
    return wait_for(_find(invocation, which, limit, as_json=as_json))


async def _find(invocation: Invocation, which: Filter, limit: int, *, as_json: bool) -> int:
    at = app.now()
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        items, number = await cases.find(tx, which, limit), await cases.count(tx, which)
    deadline = timedelta(hours=invocation.settings.service.deadline_hours)
    rows = [item_row(item, at, deadline) for item in items]
    if as_json:
        show_json({"matching": number, "items": rows})
    else:
        say(f"Matching: {number}." if number <= limit else f"Matching: {number}; the first {limit}:")
        show_rows(rows, COLUMNS, as_json=False, empty="")
    return Exit.DONE if items else Exit.SET_ASIDE


def item_row(item: Item, at: datetime, deadline: timedelta) -> Row:
    """One mail, for a table or for a program."""
    return {
        "what": item.kind,
        "intake": item.intake_id,
        "outbox": None if item.kind == MAIL else item.id,
        "part": item.part,
        "received": f"{item.received_at.astimezone(PARIS):%d/%m/%Y %H:%M:%S}",
        "received_at": item.received_at,
        "left": duration(item.received_at + deadline - at) if waits(item) else "",
        "state": item.state.value,
        "sender": item.sender,
        "reason": item.reason,
        "sent_at": item.sent_at,
        "at_work": item.lease_until is not None and item.lease_until > at,
    }


def waits(item: Item) -> bool:
    """Somebody waits for its answer: it counts in the forecast."""
    if item.kind == MAIL and item.state is IntakeState.SET_ASIDE:
        return item.reason in OWED
    if item.sent_at is not None and item.state is not OutboxState.HELD:
        return False
    return item.state not in (
        *(IntakeState.ANSWERED, IntakeState.SAME_DELIVERY, IntakeState.SET_ASIDE),
        *(OutboxState.SENT, OutboxState.WITHDRAWN),
    )


def name_of(item: Item) -> str:
    """What it is called in a sentence."""
    if item.kind == MAIL:
        return f"mail {item.id}"
    whose = f" to mail {item.intake_id}" if item.intake_id is not None else ""
    part = f", part {item.part}" if item.part > 1 else ""
    return f"{item.kind} {item.id}{whose}{part}"
