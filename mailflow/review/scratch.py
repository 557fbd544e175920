"""A register that is made to be thrown away: one mail is decided in it at a time, and nothing is ever committed."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailflow import registrar
from mailflow.core import numbers
from mailflow.core.form import HousingRequest
from mailflow.core.identity import near_keys
from mailflow.core.model import FileReceipt, RequestState, Submission
from mailflow.core.numbers import UniqueNumber
from mailflow.core.signers import Signer, numbers_kept, signers
from mailflow.register import (
    Register,
    Transaction,
    directory,
    files,
    gates,
    history,
    identities,
    intake,
    likeness,
    nir,
    requests,
)
from mailflow.register import numbers as counters
from mailflow.register.arrivals import Arrival
from mailflow.register.past import PastRequest
from mailflow.register.vault import KEY_BYTES, ContentKey, Vault
from mailflow.registrar import Terms
from mailflow.review.surroundings import Surroundings

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
EARLIER, NOW = 1, 2
"""UIDs of the two mails in it: all that came before, and the one that is decided."""
PLANTED = files.FileClaim(
    record="planted", desk="00000", name="DEM00000-200001010000-000001.xml", digest="planted", intake_id=EARLIER
)
"""The file that all requests seem to have come by."""


class _Undone(Exception):
    """Ends a transaction that must not be committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """An empty register of one generation of the enrolments."""

    register: Register

    async def decide(
        self, submission: Submission, around: Surroundings, terms: Terms, at: datetime
    ) -> tuple[FileReceipt, ...]:
        """What the registrar of this version makes of it, in these surroundings."""
        receipts: tuple[FileReceipt, ...] = ()
        with contextlib.suppress(_Undone):
            async with self.register.begin() as tx:
                await gates.hold(tx, gates.Gate.TRUST)  # comes first, and planting passes the gate of the numbers
                await _plant(tx, around)
                (receipt,) = await registrar.submit(tx, [replace(submission, intake=NOW)], terms, at)
                receipts = receipt.files
                raise _Undone
        return receipts


@contextlib.asynccontextmanager
async def scratch_register(generation: int) -> AsyncIterator[Scratch]:
    """In a folder of its own, under keys that nobody else ever has; both are gone afterwards."""
    vault = Vault({"scratch": os.urandom(KEY_BYTES)}, "scratch", os.urandom(KEY_BYTES))
    with tempfile.TemporaryDirectory(prefix="mailflow-replay-") as folder:
        register = Register.open(f"sqlite:///{folder}/scratch.db", vault)
        try:
            await register.migrate()
            async with register.begin() as tx:
                await directory.set_generation(tx, generation)
                await intake.take_in(tx, [_arrival(EARLIER), _arrival(NOW)], LONG_AGO)
                await files.claim(tx, [PLANTED])
            yield Scratch(register=register)
        finally:
            await register.close()


def _arrival(uid: int) -> Arrival:
    return Arrival(account="replay", mailbox="", uidvalidity=1, uid=uid, raw=b"", size_bytes=0, received_at=LONG_AGO)


async def _plant(tx: Transaction, around: Surroundings) -> None:
    homonyms: Counter[tuple[str, str]] = Counter()
    for position, past in enumerate(around.requests):
        await _plant_request(tx, past, position, homonyms)
    await _use_up_numbers(tx, [past.stored.number for past in around.requests])
    await requests.bind_references(tx, around.references)
    claims = [
        files.FileClaim(record=f"{place}", desk=file.desk, name=file.name, digest=file.digest, intake_id=EARLIER)
        for place, file in enumerate(around.files)
    ]
    await files.claim(tx, claims)
    kept = [(claim.record, file.receipt) for claim, file in zip(claims, around.files, strict=True) if file.receipt]
    await files.settle(tx, kept)


async def _use_up_numbers(tx: Transaction, given: Sequence[UniqueNumber]) -> None:
    """No number that is planted is given again."""
    last: Counter[tuple[str, str]] = Counter()
    for parts in map(numbers.parse, given):
        key = (parts.territory, f"{parts.month:02}{parts.year % 100:02}")
        last[key] = max(last[key], parts.sequence)
    for (territory, month), sequence in sorted(last.items()):
        await counters.allocate(tx, territory, month, sequence)


async def _plant_request(tx: Transaction, past: PastRequest, position: int, homonyms: Counter[tuple[str, str]]) -> None:
    stored = past.stored
    assert stored.payload is not None, "what was erased is no part of the surroundings"
    new = requests.NewRequest(
        id=stored.id,
        number=stored.number,
        territory=stored.territory,
        desk=stored.desk,
        sender=stored.sender,
        life=stored.life,
        dated_at=stored.dated_at,
        payload=stored.payload,
        file_record=PLANTED.record,
        position=position,
    )
    content_keys = await requests.insert(tx, [new], stored.registered_at)
    key = content_keys[stored.number]
    # What the entries said is of no account: how the request stands is planted beside them.
    bare = [replace(entry, said=None, content_before=None) for entry in past.entries]
    await history.append(tx, bare, content_keys, stored.registered_at)
    await requests.update(tx, [replace(stored, key=key)])
    form = HousingRequest.model_validate_json(stored.payload)
    nirs = _nirs(past, form)
    await nir.keep(tx, {stored.id: nirs}, stored.registered_at)
    if stored.life.state is RequestState.ACTIVE:
        await _plant_persons(tx, past, signers(form, nirs), key, homonyms)


def _nirs(past: PastRequest, form: HousingRequest) -> dict[str, str]:
    """Those that are known of its persons: where it has changed since, of those who are still in it."""
    if not past.rebuilt or past.content_now is None:
        return past.nirs_now
    return numbers_kept(form, HousingRequest.model_validate_json(past.content_now), past.nirs_now)


async def _plant_persons(
    tx: Transaction,
    past: PastRequest,
    holders: Sequence[Signer],
    key: ContentKey,
    homonyms: Counter[tuple[str, str]],
) -> None:
    stored = past.stored
    claims = [
        identities.IdentityClaim(
            territory=stored.territory,
            key=signer.key,
            ordinal=homonyms[stored.territory, signer.key],
            request_id=stored.id,
            nir=signer.nir,
        )
        for signer in holders
    ]
    homonyms.update((claim.territory, claim.key) for claim in claims)
    await identities.claim(tx, claims)
    sought = [likeness.Sought(territory=stored.territory, keys=near_keys(signer.profile)) for signer in holders]
    found = await likeness.find(tx, sought)
    remembered = [
        likeness.Remembered(
            request_id=stored.id, element=signer.element, identity=signer.identity, tokens=matches.tokens, key=key
        )
        for signer, matches in zip(holders, found, strict=True)
    ]
    await likeness.remember(tx, remembered)
