"""Social security numbers, apart from all else that a request says: sealed under a key of their own retention.

They are looked up by their tokens (`active_identity.nir_token`), which go when the request is no longer active.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from mailflow.register import keys
from mailflow.register.tables import nir
from mailflow.register.transaction import Transaction, batches


async def keep(tx: Transaction, given: Mapping[str, Mapping[str, str]], at: datetime) -> None:
    """Keep what these requests give: by request, the NIR of each person by the element where it stands.

    What was kept of them before is replaced; who gives none has none.
    """
    if not given:
        return
    await erase(tx, list(given))
    given = {request_id: numbers for request_id, numbers in given.items() if numbers}
    made = {request_id: tx.vault.new_key() for request_id in given}
    await keys.keep(tx, [(key, keys.Owner("nir", request_id)) for request_id, key in made.items()], at)
    rows = [
        {
            "request_id": request_id,
            "key_id": made[request_id].id,
            "sealed": tx.vault.seal(made[request_id], json.dumps(dict(numbers)).encode(), _context(request_id)),
        }
        for request_id, numbers in given.items()
    ]
    await tx.run(sa.insert(nir), rows)


async def of(tx: Transaction, request_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The NIR of these requests, by request and element, as far as there are any."""
    found: dict[str, dict[str, str]] = {}
    for batch in batches(request_ids):
        rows = await tx.all(sa.select(nir).where(tx.among(nir.c.request_id, batch)))
        content_keys = await keys.find(tx, [row.key_id for row in rows])
        found |= {
            row.request_id: json.loads(tx.vault.open(content_keys[row.key_id], row.sealed, _context(row.request_id)))
            for row in rows
            if row.key_id in content_keys
        }
    return found


async def erase(tx: Transaction, request_ids: Sequence[str]) -> None:
    """Delete them, with their keys: no copy of the row can be opened again."""
    for batch in batches(request_ids):
        gone = sa.delete(nir).where(tx.among(nir.c.request_id, batch)).returning(nir.c.key_id)
        keys.erase(tx, [row.key_id for row in await tx.all(gone)])


def _context(request_id: str) -> str:
    return f"nir.sealed:{request_id}"
