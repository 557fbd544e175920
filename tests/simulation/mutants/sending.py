"""Mistakes in composing and delivering answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.mail import audit, delivery
from mailflow.mail.composer import Composer
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Reply
from mailflow.mail.ports import Sending
from mailflow.register import Transaction, doubt, files, keys, outbox
from mailflow.register.tables import outbox as outbox_table
from tests.simulation.mutants.planting import mutant


# Compose
@mutant
def octets_are_composed_anew_for_each_send(patch: pytest.MonkeyPatch) -> None:
    claim = outbox.claim_composed

    async def anew(*args: Any, **kwargs: Any) -> list[outbox.Composed]:
        rows = await claim(*args, **kwargs)
        return [replace(row, raw=row.raw + b"%d\r\n" % row.attempts) for row in rows]

    patch.setattr(outbox, "claim_composed", anew)


@mutant
def octets_are_frozen_over_others(patch: pytest.MonkeyPatch) -> None:
    async def freeze(tx: Transaction, mails: Mapping[int, Sequence[outbox.Octets]]) -> None:
        for id_, parts in mails.items():
            (row,) = await tx.all(sa.select(outbox_table).where(outbox_table.c.id == id_))
            key = (await keys.find(tx, [row.key_id]))[row.key_id]
            sealed = tx.vault.seal(key, parts[0].raw, outbox.context("raw", row.kind, row.key, row.part))
            values = {
                "raw": sealed,
                "body_digest": parts[0].body_digest,
                "state": "composed",
                "lease_owner": None,
                "lease_until": None,
            }
            await tx.run(sa.update(outbox_table).where(outbox_table.c.id == id_).values(**values))

    patch.setattr(outbox, "freeze", freeze)


@mutant
def the_message_id_is_made_up_when_composing(patch: pytest.MonkeyPatch) -> None:
    compose = Composer.compose
    count = iter(range(1_000_000))

    def made_up(self: Composer, composition: Composition, at: datetime) -> Composed:
        return compose(self, replace(composition, message_id=f"<{next(count)}@service.example>"), at)

    patch.setattr(Composer, "compose", made_up)


@mutant
def a_return_is_written_anew_for_each_answer(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction, records: Sequence[str]) -> dict[str, bytes]:
        return {}

    async def all_fresh(tx: Transaction, returns: Sequence[tuple[str, bytes]]) -> set[str]:
        return {record for record, _ in returns}

    compose = Composer.compose

    def dated(self: Composer, composition: Composition, at: datetime) -> Composed:
        reply = composition.order
        assert isinstance(reply, Reply)
        files_now = tuple(replace(f, decided_at=composition.dated_at) for f in reply.files)
        return compose(self, replace(composition, order=replace(reply, files=files_now)), at)

    patch.setattr(files, "returned", nothing)
    patch.setattr(files, "freeze_return", all_fresh)
    patch.setattr(Composer, "compose", dated)


# Deliver


def _marks(patch: pytest.MonkeyPatch, change: Callable[[delivery.Mark], delivery.Mark | None]) -> None:
    add = delivery.Marks.add

    async def changed(self: delivery.Marks, mark: delivery.Mark) -> bool:
        other = change(mark)
        return True if other is None else await add(self, other)

    patch.setattr(delivery.Marks, "add", changed)


@mutant
def nothing_is_on_record_while_a_mail_is_sent(patch: pytest.MonkeyPatch) -> None:
    _marks(patch, lambda mark: mark if mark.final else None)


@mutant
def a_doubtful_send_counts_as_deferred(patch: pytest.MonkeyPatch) -> None:
    _marks(
        patch,
        lambda mark: replace(mark, state=Sending.DEFERRED) if mark.final and mark.state is Sending.DOUBTFUL else mark,
    )


@mutant
def a_doubtful_send_counts_as_sent(patch: pytest.MonkeyPatch) -> None:
    _marks(
        patch,
        lambda mark: replace(mark, state=Sending.SENT) if mark.final and mark.state is Sending.DOUBTFUL else mark,
    )


@mutant
def a_deferred_send_counts_as_sent(patch: pytest.MonkeyPatch) -> None:
    _marks(patch, lambda mark: replace(mark, state=Sending.SENT) if mark.state is Sending.DEFERRED else mark)


@mutant
def whoever_claimed_it_sends_it_even_if_it_is_taken(patch: pytest.MonkeyPatch) -> None:
    mark_sending = outbox.mark_sending

    async def always(tx: Transaction, owner: str, ids: Sequence[int], at: datetime) -> set[int]:
        await mark_sending(tx, owner, ids, at)
        return set(ids)

    patch.setattr(outbox, "mark_sending", always)


@mutant
def a_lease_on_the_outbox_never_runs_out(patch: pytest.MonkeyPatch) -> None:
    due = outbox._due

    def unleased(*args: Any) -> Any:
        return due(*args).where(outbox_table.c.lease_until.is_(None))

    patch.setattr(outbox, "_due", unleased)


# Doubtful


def _verdict(patch: pytest.MonkeyPatch, change: Callable[[audit.Verdict], audit.Verdict]) -> None:
    decide = audit.decide
    patch.setattr(audit, "decide", lambda *args, **kwargs: change(decide(*args, **kwargs)))


@mutant
def the_audit_mailbox_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    _verdict(patch, lambda _: audit.Verdict.RESEND)


@mutant
def the_copy_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    _verdict(patch, lambda v: audit.Verdict.RESEND if v is audit.Verdict.WAIT else v)


@mutant
def a_send_without_a_copy_counts_as_sent(patch: pytest.MonkeyPatch) -> None:
    _verdict(patch, lambda v: audit.Verdict.SENT if v is audit.Verdict.RESEND else v)


@mutant
def a_copy_with_another_body_counts(patch: pytest.MonkeyPatch) -> None:
    decide = audit.decide

    def any_copy(copies: Sequence[bytes], expected_digest: str, **times: Any) -> audit.Verdict:
        return audit.Verdict.SENT if copies else decide(copies, expected_digest, **times)

    patch.setattr(audit, "decide", any_copy)


@mutant
def the_first_copy_is_taken_for_the_one_that_an_operator_ordered(patch: pytest.MonkeyPatch) -> None:
    decide = audit.decide

    def any_time(*copies: Any, copies_before: int, **times: Any) -> audit.Verdict:
        return decide(*copies, copies_before=min(copies_before, 0), **times)

    patch.setattr(audit, "decide", any_time)


@mutant
def the_time_counts_in_which_nobody_looked_for_a_copy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(audit, "GAPS_MIN", 0.001)


@mutant
def that_no_copy_was_found_is_true_for_ever(patch: pytest.MonkeyPatch) -> None:
    async def none(tx: Transaction, ids: Sequence[int], at: datetime, **times: timedelta) -> set[int]:
        return set()

    patch.setattr(doubt, "reopen", none)


@mutant
def who_is_still_sending_is_taken_for_doubtful(patch: pytest.MonkeyPatch) -> None:
    doubtful = doubt.doubtful

    async def too_early(tx: Transaction, limit: int, at: datetime, lease: timedelta) -> list[doubt.Doubtful]:
        return await doubtful(tx, limit, at + timedelta(days=1), lease)

    patch.setattr(doubt, "doubtful", too_early)
    patch.setattr(doubt, "resolve", _resolve_at_once)
    _verdict(patch, lambda v: audit.Verdict.RESEND if v is audit.Verdict.WAIT else v)


async def _resolve_at_once(tx: Transaction, id_: int, since: datetime, *, sent: bool, at: datetime) -> None:
    values = outbox.sent(at) if sent else outbox.again(at, "cut off")
    await outbox.change(tx, outbox_table.c.id == id_, ("sending",), values)
