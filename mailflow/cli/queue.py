"""`mailflow queue` and `mailflow show`: what is waiting, and the whole history of one mail or one number."""

from dataclasses import asdict
from datetime import datetime, timedelta

import click

from mailflow import app
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_facts, show_json, show_rows, wait_for
from mailflow.cli.outlook import read_view
from mailflow.core.calendar import PARIS
from mailflow.core.model import Registered
from mailflow.ops.outlook import duration, sentences
from mailflow.register import Transaction, files, history, journal, queues, requests
from mailflow.register.queues import IntakeRow, OutboxRow
from mailflow.register.types import OutboxState
from mailflow.registrar.work import FILE_RECEIPT
from mailflow.settings import Settings

LIMIT = 100


@click.command()
@click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(min=1), help="Most rows to show.")
@click.option("--set-aside", is_flag=True, help="The mails that wait for a person instead, the latest first.")
@json_option
@click.pass_obj
def queue(invocation: Invocation, limit: int, set_aside: bool, as_json: bool) -> int:
    """What is waiting, the least time left first, and whether all is answered in time; or what was set aside.

    Example: mailflow queue --limit 20
    """
    return wait_for(_queue(invocation, limit, set_aside=set_aside, as_json=as_json))


async def _queue(invocation: Invocation, limit: int, *, set_aside: bool, as_json: bool) -> int:
    settings, at = invocation.settings, app.now()
    async with app.register_of(settings) as register, register.read() as tx:
        if set_aside:
            rows = await read_set_aside(tx, limit)
            show_rows(rows, ("intake", "received", "reason", "detail"), as_json=as_json, empty="Nothing was set aside.")
            return Exit.DONE
        rows = await read_waiting(tx, settings, at, limit)
        if not as_json:
            for line in sentences(await read_view(tx, settings, at)):
                say(line)
        columns = ("left", "what", "intake", "sender", "state", "attempts", "next", "reason")
        show_rows(rows, columns, as_json=as_json, empty="")
        counts = await queues.counts(tx)
    if not as_json:
        say(" · ".join(f"{table}: {_counts(states)}" for table, states in counts.items()))
    return Exit.DONE


async def read_waiting(tx: Transaction, settings: Settings, at: datetime, limit: int) -> list[Row]:
    """Mails that wait and outgoing mails that have not left, the least time left first."""
    deadline = timedelta(hours=settings.service.deadline_hours)
    mails = [_mail(mail, at, deadline) for mail in await queues.waiting(tx, limit)]
    answers = [_answer(answer, at, deadline) for answer in await queues.unanswered(tx, limit)]
    return sorted([*mails, *answers], key=lambda row: str(row["received_at"]))[:limit]


async def read_set_aside(tx: Transaction, limit: int) -> list[Row]:
    """Mails that wait for a person, the latest first."""
    return [_set_aside(mail) for mail in await queues.set_aside(tx, limit)]


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "empty"


def _set_aside(mail: IntakeRow) -> Row:
    return {
        "intake": mail.id,
        "received": _local(mail.received_at),
        "received_at": mail.received_at,
        "state": mail.state.value,
        "reason": mail.reason,
        "detail": mail.detail,
        "size_bytes": mail.size_bytes,
    }


def _mail(mail: IntakeRow, at: datetime, deadline: timedelta) -> Row:
    return {
        "what": "mail",
        "intake": mail.id,
        "received_at": mail.received_at,
        "left": duration(mail.received_at + deadline - at),
        "sender": mail.sender or "",
        "state": mail.state.value,
        "at_work": mail.lease_owner is not None,
        "attempts": mail.attempts,
        "next": _next(mail),
        "reason": mail.reason,
        "detail": mail.detail,
    }


def _answer(answer: OutboxRow, at: datetime, deadline: timedelta) -> Row:
    owed = answer.sent_at is None or answer.state is OutboxState.HELD
    return {
        "what": answer.kind,
        "intake": answer.intake_id,
        "outbox": answer.id,
        "part": answer.part,
        "sender": "",
        "received_at": answer.received_at,
        "left": duration(answer.received_at + deadline - at) if owed else "sent once",
        "state": answer.state.value,
        "at_work": answer.lease_owner is not None,
        "attempts": answer.attempts,
        "next": _next(answer),
        "reason": answer.reason,
    }


def _next(waiting: IntakeRow | OutboxRow) -> str:
    return "at work" if waiting.lease_owner else _local(waiting.next_at)


def _local(at: datetime | None) -> str:
    return f"{at.astimezone(PARIS):%d/%m %H:%M:%S}" if at else ""


@click.command()
@click.argument("what", metavar="NUMBER|INTAKE")
@json_option
@click.pass_obj
def show(invocation: Invocation, what: str, as_json: bool) -> int:
    """All that is known of a unique number, or of a mail by its intake. No personal data are shown.

    Example: mailflow show 059112500000059123
    """
    return wait_for(_show(invocation, what, as_json=as_json))


async def _show(invocation: Invocation, what: str, *, as_json: bool) -> int:
    async with app.register_of(invocation.settings) as register, register.read() as tx:
        facts, entries = await (read_intake(tx, int(what)) if _is_intake(what) else _number(tx, what))
        changes = [] if _is_intake(what) else [_change(kept) for kept in await history.of_number(tx, what)]
    if as_json:
        show_json({**facts, "changes": changes, "history": [entry_row(entry) for entry in entries]})
        return Exit.DONE
    show_facts(facts, as_json=False)
    if changes:
        say("")
        show_rows(changes, tuple(changes[0]), as_json=False, empty="")
    say("")
    show_rows([entry_row(entry) for entry in entries], ("at", "kind", "number", "detail"), as_json=False, empty="")
    return Exit.DONE


def _is_intake(what: str) -> bool:
    """An intake is a small number; a unique number has eighteen characters."""
    return what.isdecimal() and len(what) < 18


async def read_intake(tx: Transaction, intake_id: int) -> tuple[Row, list[journal.KeptEntry]]:
    """What is known of a mail, and its history; ClickException when there is none."""
    mail = await queues.find_intake(tx, intake_id)
    if mail is None:
        raise click.ClickException(f"there is no intake {intake_id}")
    if tx.vault.is_closed:
        told = [f"{name} sealed" for name in await files.names_of_intake(tx, intake_id)]
    else:
        told = [_outcomes(file.receipt) for file in await files.of_intake(tx, intake_id)]
    outgoing = await queues.find_outbox(tx, intake_id=intake_id)
    facts = {
        **asdict(mail),
        **{f"file_{place}": outcomes for place, outcomes in enumerate(told, start=1)},
        **{f"{one.kind}_{one.part}": f"{one.state} {one.message_id}" for one in outgoing},
    }
    return facts, await journal.of_intake(tx, intake_id)


def _outcomes(receipt: bytes) -> str:
    """How far a file of many requests has come: it is decided in one transaction, so wholly or not at all."""
    if not receipt:
        return "erased"
    decided = FILE_RECEIPT.validate_json(receipt)
    registered = sum(isinstance(outcome, Registered) for outcome in decided.outcomes)
    return f"{decided.file.name} {registered} registered, {len(decided.outcomes) - registered} refused"


async def _number(tx: Transaction, number: str) -> tuple[Row, list[journal.KeptEntry]]:
    request = await requests.find(tx, number)
    if request is None:
        raise click.ClickException("there is no such number in the register")
    told = {name: getattr(request, name) for name in request.__slots__ if name not in ("key", "payload", "life")}
    facts = told | asdict(request.life)
    return facts, await journal.of_number(tx, number)


def _change(kept: history.KeptEntry) -> Row:
    """What was done to a request, by whom and through which mail; not what it said."""
    entry, origin = kept.entry, kept.entry.origin
    return {
        "revision": entry.revision,
        "at": kept.at.isoformat(timespec="seconds"),
        "operation": entry.operation.value,
        "state": entry.life.state.value,
        "motive": entry.life.motive or "",
        "expires_on": entry.life.expires_on,
        "desk": origin.desk if origin else "",
        "sender": origin.sender if origin else "",
        "door": origin.door.value if origin else "service",
        "intake": origin.intake_id if origin else "",
        "content": "" if entry.content_before is None else "changed",
    }


def entry_row(kept: journal.KeptEntry) -> Row:
    """One line of a history."""
    entry = kept.entry
    return {
        "at": kept.at.isoformat(timespec="seconds"),
        "kind": entry.kind,
        "intake": entry.intake_id,
        "number": entry.number,
        "sender": entry.sender,
        "desk": entry.desk,
        "detail": " ".join(f"{name}={value}" for name, value in entry.detail.items() if value not in (None, "")),
    }
