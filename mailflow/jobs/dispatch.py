"""Dispatch: each desk that may consult in a territory is told what others did there, as the requests now stand.

One request is told once in a dispatch, whatever was done to it, and all that was done since the last dispatch is in
the next. So whoever applies them in order, and again when in doubt, ends with the state of the register.
"""

import asyncio
import zlib
from collections.abc import Sequence
from datetime import datetime, time

from mailflow.core.calendar import PARIS, legal_day
from mailflow.core.form import HousingRequest
from mailflow.core.model import Directory, RequestState, SenderCode
from mailflow.jobs.orders import DISPATCH, DISPATCHES, Dispatch
from mailflow.jobs.recipients import Stream, streams
from mailflow.jobs.work import EXAMPLES, Due, Job, JobTerms
from mailflow.register import Register, Transaction, directory, dispatches, journal, outbox, requests
from mailflow.register.dispatches import Made, Window
from mailflow.wire.dispatch import Dispatched, dispatch_name, write_dispatch

REQUESTS_MAX = 500
"""Of one dispatch."""
BYTES_MAX = 2 * 1024 * 1024
"""Of what its requests say, as they are kept: the mail then stays below the size at which answers are split."""


async def _due(tx: Transaction, _: JobTerms, at: datetime) -> Due:
    total, examples = 0, []
    for stream in streams(await directory.read(tx), legal_day(at)):
        count = await dispatches.count_news(tx, stream.desk, stream.territory, await _position(tx, stream), at)
        total += count
        if count:
            examples.append(f"desk {stream.desk} ({stream.sender.code}) in {stream.territory}: {count} requests")
    return Due(count=total, examples=tuple(examples[:EXAMPLES]))


async def _position(tx: Transaction, stream: Stream) -> int:
    since = datetime.combine(stream.since, time(), PARIS)
    return await dispatches.position(tx, stream.sender.code, stream.desk, stream.territory, since)


async def _step(register: Register, terms: JobTerms, at: datetime) -> int:
    """Dispatches in rounds, one for each desk and territory that has more to be told: a long one delays nobody."""
    done = 0
    wanted: Sequence[tuple[str, str, str]] | None = None
    while wanted is None or wanted:
        async with register.read() as tx:
            allowed = streams(await directory.read(tx), legal_day(at))
            these = [one for one in allowed if (wanted is None or one.key in wanted) and await _has_news(tx, one, at)]
        windows = {stream.key: await _dispatch(register, stream, terms, at) for stream in these}
        wanted = [key for key, window in windows.items() if window.more]
        done += sum(len(window.acts) for window in windows.values())
    return done


async def _has_news(tx: Transaction, stream: Stream, at: datetime) -> bool:
    return await dispatches.has_news(tx, stream.desk, stream.territory, await _position(tx, stream), at)


async def _dispatch(register: Register, stream: Stream, terms: JobTerms, at: datetime) -> Window:
    """Tell the next of it; returns what was told."""
    async with register.read() as tx:
        window = await dispatches.window(
            tx,
            stream.desk,
            stream.territory,
            await _position(tx, stream),
            at,
            requests_max=REQUESTS_MAX,
            bytes_max=BYTES_MAX,
        )
        if not window.acts:
            return window
        told = await _told(tx, window)
        number = await dispatches.next_number(tx, stream.sender.code, stream.desk)
    made = Made(
        sender=stream.sender.code,
        desk=stream.desk,
        number=number,
        territory=stream.territory,
        follows=window.follows,
        through=window.through,
        requests=len(told),
        made_at=at,
    )
    order = await asyncio.to_thread(_order, made, told, terms, at)
    async with register.begin() as tx:
        # Somebody else may have told it meanwhile: then this one never was.
        if await dispatches.record(tx, made):
            await _queue(tx, order, _key(made, at), stream.sender.answer_address, terms, at)
    return window


async def _told(tx: Transaction, window: Window) -> list[Dispatched]:
    """The requests as they stand in this view of the register. Only of active ones the content is told."""
    stored = await requests.find_all(tx, list(window.acts))
    changed = await dispatches.last_changes(tx, list(window.acts))
    told = []
    for number, act in window.acts.items():
        life, payload = stored[number].life, stored[number].payload
        content = payload if life.state is RequestState.ACTIVE else None
        told.append(
            Dispatched(
                number=number,
                life=life,
                revision=stored[number].revision,
                changed_at=changed[number],
                operation=act.operation,
                actor=act.actor,
                form=HousingRequest.model_validate_json(content) if content else None,
            )
        )
    return told


def _order(made: Made, told: list[Dispatched], terms: JobTerms, at: datetime) -> Dispatch:
    content = write_dispatch(told, environment=terms.environment, at=at)
    return Dispatch(
        sender=SenderCode(made.sender),
        desk=made.desk,
        territory=made.territory,
        number=made.number,
        name=dispatch_name(made.desk, made.number, at),
        requests=len(told),
        content=zlib.compress(content),
    )


def _key(made: Made, at: datetime) -> str:
    """Of one telling of it: a register that has gone back tells other things under the number, and not as a copy."""
    return f"{made.name}:{at.isoformat()}"


async def _queue(tx: Transaction, order: Dispatch, key: str, recipient: str, terms: JobTerms, at: datetime) -> None:
    draft = outbox.Draft(
        kind=DISPATCH,
        key=key,
        intake_id=None,
        recipient=recipient,
        domain=terms.domain,
        dated_at=at,
        payload=DISPATCHES.dump_json(order),
    )
    await outbox.queue(tx, [draft], at)
    entry = journal.Entry(
        kind="dispatch-ordered",
        sender=order.sender,
        desk=order.desk,
        detail={"order": key, "number": order.number, "territory": order.territory, "requests": order.requests},
    )
    await journal.append(tx, [entry], at)


async def resend(register: Register, made: Made, known: Directory, terms: JobTerms, at: datetime) -> bool:
    """Tell it again, under its number and as the requests stand now; False when its sender has no right to it today."""
    mine = (made.sender, made.desk, made.territory)
    stream = next((stream for stream in streams(known, legal_day(at)) if stream.key == mine), None)
    if stream is None:
        return False
    async with register.read() as tx:
        told = await _told(tx, await dispatches.stretch(tx, made))
    order = await asyncio.to_thread(_order, made, told, terms, at)
    async with register.begin() as tx:
        await _queue(tx, order, _key(made, at), stream.sender.answer_address, terms, at)
    return True


DISPATCH_JOB = Job(
    name="dispatch",
    what="Tells desks, by mail, what others did in their territories.",
    due=_due,
    step=_step,
)
