"""What a territory manager decides: that whoever was refused is a homonym, and may be registered after all."""

from dataclasses import dataclass
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.core.model import Refused
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.rules import territory_sought
from mailflow.core.signers import signers
from mailflow.errors import MailflowError
from mailflow.register import Transaction, files, homonyms, identities, journal, requests
from mailflow.registrar.work import FILE_RECEIPT

RELEASABLE = {Code.REQUEST_EXISTS, Code.HOMONYM_POSSIBLE}


class NothingToRelease(MailflowError):
    """Nothing waits for this decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homonym:
    """What was refused because its persons, or one of them, are known under the same identity."""

    file: str
    position: int
    """Of the request in the file, from 1, as paths count."""
    desk: DeskCode
    territory: Territory
    beside: tuple[UniqueNumber, ...]
    """The active requests that stand in its way."""
    releases: tuple[homonyms.Release, ...]


async def find_homonym(tx: Transaction, desk: DeskCode, file: str, position: int) -> Homonym:
    """The refused creation or change of this file. Raises NothingToRelease, with the reason."""
    stored = (await files.by_name(tx, [(desk, file)])).get((desk, file))
    if stored is None or not stored.receipt:
        raise NothingToRelease("the register has no such file, or its content was erased")
    receipt = FILE_RECEIPT.validate_json(stored.receipt)
    if not 1 <= position <= len(receipt.outcomes):
        raise NothingToRelease(f"the file has {len(receipt.outcomes)} decided requests")
    outcome, request = receipt.outcomes[position - 1], receipt.file.requests[position - 1]
    if not isinstance(outcome, Refused) or not RELEASABLE & {anomaly.code for anomaly in outcome.anomalies}:
        raise NothingToRelease("this request was not refused for the identity of its persons")
    about = await requests.find(tx, request.number) if request.number else None
    form = request.form
    if form is None and about is not None and about.payload is not None:
        form = HousingRequest.model_validate_json(about.payload)  # a reactivation brings none
    if form is None:
        raise NothingToRelease("what the request said was erased")
    territory = territory_sought(form)
    assert territory is not None, "the rules refuse a request without a territory"
    # Whom the request that this is about has already stands in nobody's way.
    own = about.id if about is not None else ""
    persons = [
        identities.IdentityClaim(territory=territory, key=signer.key, ordinal=0, request_id=own)
        for signer in signers(form)
    ]
    in_the_way = list(zip(persons, await identities.rivals(tx, persons), strict=True))
    if not any(rivals for _, rivals in in_the_way):
        raise NothingToRelease("nobody stands in its way any more: the desk may send it again in a new file")
    return Homonym(
        file=file,
        position=position,
        desk=desk,
        territory=territory,
        beside=tuple(dict.fromkeys(r.number for _, rivals in in_the_way for r in rivals if r.number)),
        releases=tuple(
            homonyms.Release(territory=territory, key=person.key, desk=desk) for person, rivals in in_the_way if rivals
        ),
    )


async def release(tx: Transaction, homonym: Homonym, *, by: str, why: str, at: datetime) -> None:
    """Let this desk register these persons once, beside whoever has an active request."""
    await homonyms.grant(tx, homonym.releases)
    detail: dict[str, str | int | bool | None] = {
        "file": homonym.file,
        "position": homonym.position,
        "by": by,
        "why": why,
    }
    entries = [
        journal.Entry(kind="homonym-released", number=number, desk=homonym.desk, detail=detail)
        for number in homonym.beside
    ]
    await journal.append(tx, entries, at)
