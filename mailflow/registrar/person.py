"""One applicant's rights (GDPR, articles 15 and 17): all that is known of a request, and its erasure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
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
