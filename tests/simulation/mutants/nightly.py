"""Mistakes in jobs, and in what they do beside workers."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from mailflow.jobs import loose_keys
from mailflow.register import masters
from mailflow.register.database import Statements
from mailflow.register.key_tables import content_key
from mailflow.register.vault import Vault
from tests.simulation.mutants.planting import mutant


@mutant
def a_key_whose_transaction_is_not_over_is_taken_for_loose(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loose_keys, "AGE_MIN", -timedelta(hours=1))
    patch.setattr(loose_keys, "_settled", lambda register: register.read())


@mutant
def keys_are_said_to_be_wrapped_anew_and_are_not(patch: pytest.MonkeyPatch) -> None:
    async def renamed(store: Statements, vault: Vault, limit: int) -> int:
        now = await masters.current(store, vault)
        former = sa.update(content_key).where(content_key.c.master != now)
        return await store.run(former.values(master=now))

    patch.setattr(masters, "rewrap", renamed)
