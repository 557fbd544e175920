"""What operators do to mails and outgoing mails, whichever a filter matches: one table says what may be done to which.

An act is one transaction: what was done, and the journal that says who and why. What somebody is at work on is left
alone; so is whatever the act has no meaning for, each with the reason. Doing it twice does nothing more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from mailflow.core.anomalies import Code
from mailflow.errors import MailflowError
from mailflow.register import cases, journal
from mailflow.register.cases import MAIL, Filter, Item
from mailflow.register.outbox import BOUNCED
from mailflow.register.tables import intake, outbox
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import IntakeState, OutboxState

OPERATOR = "operator"
"""The reason of what an operator held or set aside."""
OWED = (Code.INTERNAL_FAULT.value, OPERATOR)
"""Reasons for which a mail was set aside though its sender may be owed an answer: its time goes on."""
_FREE: Mapping[str, Any] = {"lease_owner": None, "lease_until": None}


MATCHES_MAX = 50_000
"""Of one act: it is one transaction, for which others wait, some seconds."""


class TooManyMatch(MailflowError):
    """A filter matches more than one act may change; nothing was changed."""


class Verb(StrEnum):
    """What can be done."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    REJUDGE = "rejudge"
    SET_ASIDE = "set-aside"
    REJECT = "reject"
    RESEND = "resend"


class Left(StrEnum):
    """Why something was left alone, for the operator."""

    AT_WORK = "somebody is at work on it just now"
    DECIDED = "it is decided: its answer is another matter"
    KNOWN_DELIVERY = "it was delivered twice"
    HELD = "it is held: release it first"
    HELD_ALREADY = "it is held already"
    NOT_HELD = "it is not held"
    SET_ASIDE = "it was set aside: it can be judged again"
    SET_ASIDE_ALREADY = "it was set aside already"
    DUE = "it is due already"
    ERASED = "its octets are not here"
    LEFT = "it has left"
    PERHAPS_SENT = "it was perhaps sent: the audit mailbox decides"
    REJECTED = "it was refused already"
    UNCLEAR = "whether its sender is proven cannot be told now"
    ON_ITS_WAY = "it is on its way"
    NEVER_LEFT = "it never left: release it"
    UNWANTED = "it is not wanted any more"


State = IntakeState | OutboxState

MAILS: Mapping[Verb, Mapping[IntakeState, Left | None]] = {
    Verb.HOLD: {
        IntakeState.RECEIVED: None,
        IntakeState.UNDETERMINED: None,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: Left.SET_ASIDE,
        IntakeState.HELD: Left.HELD_ALREADY,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
    Verb.RELEASE: {
        IntakeState.RECEIVED: Left.NOT_HELD,
        IntakeState.UNDETERMINED: Left.NOT_HELD,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: Left.SET_ASIDE,
        IntakeState.HELD: None,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
    Verb.RETRY: {
        IntakeState.RECEIVED: None,
        IntakeState.UNDETERMINED: None,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: Left.SET_ASIDE,
        IntakeState.HELD: Left.HELD,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
    Verb.REJUDGE: {
        IntakeState.RECEIVED: None,
        IntakeState.UNDETERMINED: None,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: None,
        IntakeState.HELD: Left.HELD,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
    Verb.SET_ASIDE: {
        IntakeState.RECEIVED: None,
        IntakeState.UNDETERMINED: None,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: Left.SET_ASIDE_ALREADY,
        IntakeState.HELD: None,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
    Verb.REJECT: {
        IntakeState.RECEIVED: None,
        IntakeState.UNDETERMINED: None,
        IntakeState.ANSWERED: Left.DECIDED,
        IntakeState.SET_ASIDE: None,
        IntakeState.HELD: None,
        IntakeState.SAME_DELIVERY: Left.KNOWN_DELIVERY,
    },
}
"""What may be done to a mail that came, by its state; None: it is done."""

OUTGOING: Mapping[Verb, Mapping[OutboxState, Left | None]] = {
    Verb.HOLD: {
        OutboxState.QUEUED: None,
        OutboxState.COMPOSED: None,
        OutboxState.SENDING: Left.PERHAPS_SENT,
        OutboxState.SENT: Left.LEFT,
        OutboxState.HELD: Left.HELD_ALREADY,
        OutboxState.WITHDRAWN: Left.UNWANTED,
    },
    Verb.RELEASE: {
        OutboxState.QUEUED: Left.NOT_HELD,
        OutboxState.COMPOSED: Left.NOT_HELD,
        OutboxState.SENDING: Left.NOT_HELD,
        OutboxState.SENT: Left.LEFT,
        OutboxState.HELD: None,
        OutboxState.WITHDRAWN: Left.UNWANTED,
    },
    Verb.RETRY: {
        OutboxState.QUEUED: None,
        OutboxState.COMPOSED: None,
        OutboxState.SENDING: Left.PERHAPS_SENT,
        OutboxState.SENT: Left.LEFT,
        OutboxState.HELD: Left.HELD,
        OutboxState.WITHDRAWN: Left.UNWANTED,
    },
    Verb.RESEND: {
        OutboxState.QUEUED: Left.ON_ITS_WAY,
        OutboxState.COMPOSED: Left.ON_ITS_WAY,
        OutboxState.SENDING: Left.PERHAPS_SENT,
        OutboxState.SENT: None,
        OutboxState.HELD: None,
        OutboxState.WITHDRAWN: Left.UNWANTED,
    },
}
"""What may be done to an outgoing mail, by its state. What is only in one of the tables is for nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What an act does to what a filter matched."""

    done: Sequence[Item]
    """As they stood before."""
    left: Sequence[tuple[Item, Left]]


def weigh(verb: Verb, items: Sequence[Item], at: datetime) -> Weighed:
    """What the act would do to these. What it is not for is told of neither as done nor as left."""
    done: list[Item] = []
    left: list[tuple[Item, Left]] = []
    for item in items:
        if verb not in (MAILS if item.kind == MAIL else OUTGOING):
            continue
        why = _why_not(verb, item, at)
        if why is None:
            done.append(item)
        else:
            left.append((item, why))
    return Weighed(done=done, left=left)


def _why_not(verb: Verb, item: Item, at: datetime) -> Left | None:
    """The table, and what it cannot say."""
    table: Mapping[Any, Left | None] = MAILS[verb] if item.kind == MAIL else OUTGOING[verb]
    why = table[item.state]
    if why is not None:
        return why
    if item.lease_until is not None and item.lease_until > at:
        return Left.AT_WORK
    match verb:
        case Verb.RETRY | Verb.REJUDGE if item.next_at is not None and item.next_at <= at:
            return Left.DUE
        case Verb.REJECT if item.reason == Code.MAIL_REJECTED.value:
            return Left.REJECTED
        case Verb.RESEND if item.sent_at is None:
            return Left.NEVER_LEFT
        case Verb.RESEND if not item.composed:
            return Left.HELD
        case Verb.REJUDGE | Verb.REJECT | Verb.RESEND if not item.kept:
            return Left.ERASED
        case Verb.RELEASE if item.sent_at is not None and item.composed and not item.kept:
            return Left.ERASED
    return None


async def _require_few(tx: Transaction, which: Filter) -> None:
    found = await cases.count(tx, which)
    if found > MATCHES_MAX:
        raise TooManyMatch(f"{found} match, and one act is for {MATCHES_MAX} at most: narrow it down, by --until")


async def preview(tx: Transaction, verb: Verb, which: Filter, at: datetime) -> Weighed:
    """What the act would do now. Changes nothing. Raises TooManyMatch."""
    await _require_few(tx, which)
    return weigh(verb, await cases.find(tx, which), at)


async def perform(tx: Transaction, verb: Verb, which: Filter, act: journal.Act, at: datetime) -> Weighed:
    """Do it, and put each on record. Whoever is at work meanwhile is waited for, for a moment. Raises TooManyMatch."""
    await _require_few(tx, which)
    weighed = weigh(verb, await cases.lock(tx, which), at)
    changes: defaultdict[tuple[bool, tuple[tuple[str, Any], ...]], list[int]] = defaultdict(list)
    for item in weighed.done:
        changes[item.kind == MAIL, tuple(_changed(verb, item, at).items())].append(item.id)
    for (mail, values), ids in changes.items():
        table = intake if mail else outbox
        for batch in batches(ids):
            await tx.run(sa.update(table).where(tx.among(table.c.id, batch)).values(**dict(values), **_FREE))
    await journal.append(tx, [entry(verb, item, act) for item in weighed.done], at)
    return weighed


def _changed(verb: Verb, item: Item, at: datetime) -> Mapping[str, Any]:
    """The new values of its row."""
    mail = item.kind == MAIL
    match verb:
        case Verb.HOLD if mail:
            return {"state": IntakeState.HELD.value, "next_at": None}
        case Verb.HOLD:
            return {"state": OutboxState.HELD.value, "next_at": None, "reason": OPERATOR, "round": None}
        case Verb.RELEASE if mail:
            return {"state": IntakeState.RECEIVED.value, "next_at": at, "settled_at": None}
        case Verb.RELEASE:
            state = OutboxState.COMPOSED if item.kept else OutboxState.QUEUED
            on = {"state": state.value, "next_at": at, "attempts": 0, "reason": None, "round": None}
            # What left in a time that was lost, before it had octets here, goes once more only when it came back.
            goes_again = item.sent_at is not None and (item.composed or item.reason == BOUNCED)
            return {**on, "copies_before": max(item.sends, 1)} if goes_again else on
        case Verb.RETRY:
            return {"next_at": at}
        case Verb.REJUDGE:
            afresh = {"state": IntakeState.RECEIVED.value, "next_at": at, "settled_at": None, "attempts": 0}
            # What broke the judge may break it again, and only itself when it is alone.
            return {**afresh, "reason": None, "detail": None, "solo": item.reason == Code.INTERNAL_FAULT.value}
        case Verb.RESEND:
            again = {"state": OutboxState.COMPOSED.value, "next_at": at, "attempts": 0, "reason": None, "round": None}
            return {**again, "copies_before": max(item.sends, 1)}
        case Verb.REJECT:
            raise AssertionError("who is told follows from the mail: mail.rejecting does it")
        case Verb.SET_ASIDE:
            aside = {"state": IntakeState.SET_ASIDE.value, "next_at": None, "settled_at": at}
            return {**aside, "reason": OPERATOR, "detail": None}


PAST: Mapping[Verb, str] = {
    Verb.HOLD: "held",
    Verb.RELEASE: "released",
    Verb.RETRY: "retried",
    Verb.REJUDGE: "rejudged",
    Verb.SET_ASIDE: "set-aside",
    Verb.REJECT: "rejected",
    Verb.RESEND: "resent",
}
"""What was done, in the journal."""


def entry(verb: Verb, item: Item, act: journal.Act, **more: bool) -> journal.Entry:
    """That it was done, by whom and why."""
    of = "mail" if item.kind == MAIL else "outbox"
    detail: dict[str, str | int | bool | None]
    detail = {"state_before": item.state.value, "by": act.by, "why": act.why, **more}
    if item.kind != MAIL:
        detail = {"outbox": item.id, **detail}
    return journal.Entry(kind=f"{of}-{PAST[verb]}", intake_id=item.intake_id, sender=item.sender, detail=detail)
