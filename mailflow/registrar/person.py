"""One applicant's rights (GDPR, articles 15 and 17): all that is known of a request, and its erasure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from mailflow.core.life import WITHDRAWN
from mailflow.core.model import RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.register import (
    Transaction,
    attestations,
    deadlines,
    dispatches,
    files,
    history,
    journal,
    nir,
    remains,
    requests,
    retention,
)
from mailflow.register.journal import Act
from mailflow.registrar import ending
from mailflow.registrar.work import FILE_RECEIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What erasing a request comes to."""

    number: UniqueNumber
    deregisters: bool
    """It is active: it ends first, as withdrawn."""
    content: bool
    """There is content to be erased; False when it was before."""
    mails: tuple[int, ...]
    """Intakes of mails that held nothing but this request and are done with: erased too."""
    shared: tuple[int, ...]
    """Of mails that hold others' requests too, or are not done with: they go by retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether the erasure of a request is complete, by what is there."""

    number: UniqueNumber
    erased_at: datetime | None
    """When it was erased, by whatever way; None: it was not."""
    looked_for: Mapping[str, int]
    """Everything that was looked for, and how many of it are left."""
    mails: Mapping[str, date | None]
    """Mails that hold something of it yet, and the day on which retention takes them; None: they are not done with."""
    ends_on: date | None
    """From this day on no mail, answer or copy of the key store can have anything of it; None: that cannot be told."""

    @property
    def is_complete(self) -> bool:
        """Nothing can be read any more: here, now."""
        return self.erased_at is not None and not any(self.looked_for.values()) and not self.mails


async def export(tx: Transaction, number: str) -> Mapping[str, Any] | None:
    """Everything that is known of a request, in clear; None when there is no such number. Personal data!"""
    stored = await requests.find(tx, number)
    if stored is None:
        return None
    entries = await history.of_number(tx, number)
    told = await dispatches.telling_of(tx, number)
    return {
        "number": stored.number,
        "territory": stored.territory,
        "desk": stored.desk,
        "sender": stored.sender,
        "registered_at": stored.registered_at,
        "life": asdict(stored.life),
        "content": _clear(stored.payload),
        "nir": (await nir.of(tx, [stored.id])).get(stored.id, {}),
        "history": [_entry(kept) for kept in entries],
        "told_to": [
            {"desk": made.desk, "sender": made.sender, "dispatch": made.number, "at": made.made_at} for made in told
        ],
        "attestations": [
            {"issued_at": issued.issued_at, "digest": issued.digest, "edition": issued.edition}
            for issued in await attestations.of_number(tx, number)
        ],
        "journal": [{"at": kept.at, **asdict(kept.entry)} for kept in await journal.of_number(tx, number)],
    }


def _entry(kept: history.KeptEntry) -> dict[str, Any]:
    entry = kept.entry
    return {
        "at": kept.at,
        "operation": entry.operation,
        "life": asdict(entry.life),
        "by": asdict(entry.origin) if entry.origin else "the service",
        "said": _clear(entry.said),
        "content_before": _clear(entry.content_before),
    }


def _clear(content: bytes | None) -> Any:
    return None if content is None else json.loads(content)


async def plan_erasure(tx: Transaction, number: str) -> Erasure | None:
    """What erasing it would come to; None when there is no such number."""
    stored = await requests.find(tx, number)
    if stored is None:
        return None
    origins = [kept.entry.origin for kept in await history.of_number(tx, number)]
    intakes = sorted({origin.intake_id for origin in origins if origin})
    alone = [id_ for id_ in intakes if await _requests_in(tx, id_) == 1]
    done_with = await retention.done_with(tx, alone)
    kept = await retention.kept(tx, intakes)
    return Erasure(
        number=stored.number,
        deregisters=stored.life.state is RequestState.ACTIVE,
        content=stored.payload is not None,
        mails=tuple(done_with),
        shared=tuple(id_ for id_ in kept if id_ not in done_with),
    )


async def _requests_in(tx: Transaction, intake_id: int) -> int:
    """Of the files of a mail that bound their names."""
    receipts = [file.receipt for file in await files.of_intake(tx, intake_id)]
    return sum(len(FILE_RECEIPT.validate_json(receipt).outcomes) for receipt in receipts if receipt)


async def erase(tx: Transaction, plan: Erasure, act: Act, today: date, at: datetime) -> None:
    """Do what is planned: nothing that the request said can be read any more. Number, days and states stay."""
    numbers: Sequence[UniqueNumber] = [plan.number]
    if plan.deregisters:
        await ending.end(tx, numbers, WITHDRAWN, at, today)
    await deadlines.erase(tx, numbers)
    await retention.erase_these(tx, plan.mails, at)
    entry = journal.Entry(
        kind="person-erased",
        number=plan.number,
        detail={"by": act.by, "why": act.why, "mails": len(plan.mails), "shared": len(plan.shared)},
    )
    await journal.append(tx, [entry], at)


_ERASED = frozenset({"person-erased", "purged"})
"""In the journal: a request's content was erased, on demand or a year after its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an erasure has to outlast."""

    retention: timedelta
    """How long mails are kept once they are done with."""
    copies: timedelta
    """How long copies of the key store live."""
    dispatch: str
    """The kind of mails by which desks are told of others' acts."""


async def prove_erasure(tx: Transaction, number: str, terms: Terms) -> Proof | None:
    """Look for everything that could be left of a request; None when there is no such number."""
    stored = await requests.find(tx, number)
    if stored is None:
        return None
    erased_at = [kept.at for kept in await journal.of_number(tx, number) if kept.entry.kind in _ERASED]
    origins = [kept.entry.origin for kept in await history.of_number(tx, number)]
    intakes = sorted({origin.intake_id for origin in origins if origin})
    told = await dispatches.telling_of(tx, number)
    ours = await remains.of_outgoing(tx, terms.dispatch, [f"{made.name}:" for made in told])
    mails = {f"mail {mail.id}": _gone_on(mail, terms.retention) for mail in await remains.of_intakes(tx, intakes)}
    mails |= {f"dispatch, outgoing mail {mail.id}": _gone_on(mail, terms.retention) for mail in ours}
    looked_for = await remains.of_request(tx, number)
    looked_for["content keys of erased mails"] = await remains.count_keys(tx, intakes)
    # A mail that only asked about it, or was refused, cannot be found by it: retention takes that.
    last = [erased_at[-1] + terms.retention] if erased_at else []
    ends = None if not last or None in mails.values() else max([last[0].date(), *filter(None, mails.values())])
    return Proof(
        number=stored.number,
        erased_at=erased_at[-1] if erased_at else None,
        looked_for=looked_for,
        mails=mails,
        ends_on=ends + terms.copies if ends else None,
    )


def _gone_on(mail: remains.KeptMail, kept_for: timedelta) -> date | None:
    return (mail.done_at + kept_for).date() + timedelta(days=1) if mail.done_at else None
