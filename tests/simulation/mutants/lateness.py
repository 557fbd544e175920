"""Mistakes about technical receipts."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from mailflow.register import Transaction, lateness, outbox
from mailflow.register.tables import outbox as outbox_table
from tests.simulation.mutants.planting import mutant


@mutant
def a_receipt_sets_out_after_the_answer(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction, kind: str, keys: Sequence[str], reason: str) -> None:
        pass

    async def none(tx: Transaction, kind: str, answer: str, ids: Sequence[int], reason: str) -> set[int]:
        return set()

    patch.setattr(lateness, "withdraw", nothing)
    patch.setattr(lateness, "withdraw_overtaken", none)


@mutant
def a_doubtful_receipt_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    async def again(tx: Transaction, outbox_id: int, reason: str, at: datetime) -> None:
        await outbox.change(tx, outbox_table.c.id == outbox_id, ("sending",), outbox.again(at, reason))

    patch.setattr(lateness, "give_up", again)
