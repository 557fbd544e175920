"""Mistakes in taking mails in, in claims and in attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.mail import attachments, worker
from mailflow.mail.attachments import NamedBytes
from mailflow.mail.door import MailDoor
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing
from mailflow.register import Transaction, blame, intake
from mailflow.register.arrivals import Arrival
from mailflow.register.tables import intake as intake_table
from tests.simulation.mutants.planting import mutant


@mutant
def mails_are_moved_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    take_in = worker._take_in

    async def moved_first(door: MailDoor, haul: worker._Haul, mails: Sequence[FetchedMail]) -> None:
        if mails:
            listing = await door.mailbox.list()
            uids = [mail.uid for mail in mails]
            await door.mailbox.move(listing, await door.mailbox.look(listing, uids), door.processed)
        await take_in(door, haul, mails)

    patch.setattr(worker, "_take_in", moved_first)


@mutant
def a_uid_that_is_on_record_is_that_mail(patch: pytest.MonkeyPatch) -> None:
    async def by_uid(door: MailDoor, haul: worker._Haul, listing: Listing) -> Sequence[int]:
        seen = await door.mailbox.look(listing, [*haul.on_record])
        haul.ours |= {mail: haul.on_record[mail.uid].digest is not None for mail in seen}
        return ()

    patch.setattr(worker, "_tell_apart", by_uid)


@mutant
def octets_known_from_before_a_renumbering_are_a_new_delivery(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> set[tuple[str, str, int, str]]:
        return set()

    patch.setattr(intake, "_known_deliveries", nothing)


@mutant
def known_octets_are_the_same_delivery_even_under_another_uid(patch: pytest.MonkeyPatch) -> None:
    async def known(
        tx: Transaction, arrivals: Sequence[Arrival], digests: Sequence[str], _: str | None
    ) -> set[tuple[str, str, int, str]]:
        rows = await tx.all(sa.select(intake_table.c.digest).where(intake_table.c.digest.in_(digests)))
        return {(a.account, a.mailbox, a.uidvalidity, row.digest) for a in arrivals for row in rows}

    patch.setattr(intake, "_known_deliveries", known)


# Claims and attempts


@mutant
def leases_never_run_out(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction, at: datetime) -> None:
        pass

    patch.setattr(intake, "_expire", nothing)


@mutant
def a_lease_keeps_nobody_out(patch: pytest.MonkeyPatch) -> None:
    async def all_free(tx: Transaction, at: datetime) -> None:
        await tx.run(sa.update(intake_table).values(lease_owner=None, lease_until=None))

    patch.setattr(intake, "_expire", all_free)
    _settle_without_asking(patch)


@mutant
def settling_does_not_ask_whose_the_lease_is(patch: pytest.MonkeyPatch) -> None:
    _settle_without_asking(patch)


def _settle_without_asking(patch: pytest.MonkeyPatch) -> None:
    async def settle(tx: Transaction, owner: str, settlements: Sequence[intake.Settlement], at: datetime) -> None:
        for one in settlements:
            values = {"state": one.state, "reason": one.reason or None, "detail": one.detail or None}
            free = {"settled_at": at, "next_at": None, "lease_owner": None, "lease_until": None}
            await tx.run(sa.update(intake_table).where(intake_table.c.id == one.id).values(**values, **free))

    patch.setattr(intake, "settle", settle)


@mutant
def solo_attempts_are_never_counted(patch: pytest.MonkeyPatch) -> None:
    claim_solo = intake.claim_solo

    async def uncounted(*args: Any) -> intake.Claimed | None:
        claimed = await claim_solo(*args)
        if claimed is None:
            return None
        tx: Transaction = args[0]
        await tx.run(sa.update(intake_table).where(intake_table.c.id == claimed.id).values(attempts=0))
        return replace(claimed, attempts=1)

    patch.setattr(intake, "claim_solo", uncounted)


@mutant
def attempts_are_counted_after_the_attempt(patch: pytest.MonkeyPatch) -> None:
    claim_solo, release = intake.claim_solo, intake.release

    async def count(tx: Transaction, ids: Sequence[int], by: int) -> None:
        row = intake_table.c
        await tx.run(sa.update(intake_table).where(row.id.in_(ids)).values(attempts=row.attempts + by))

    async def not_yet(*args: Any) -> intake.Claimed | None:
        claimed = await claim_solo(*args)
        if claimed is not None:
            await count(args[0], [claimed.id], -1)
        return claimed

    async def only_now(tx: Transaction, owner: str, ids: Sequence[int], *, refund: bool, **later: Any) -> None:
        await count(tx, ids, 0 if refund else 1)
        await release(tx, owner, ids, refund=False, **later)

    patch.setattr(intake, "claim_solo", not_yet)
    patch.setattr(intake, "release", only_now)


@mutant
def the_surroundings_cost_an_attempt(patch: pytest.MonkeyPatch) -> None:
    release = intake.release

    async def without_refund(tx: Transaction, owner: str, ids: Sequence[int], *, refund: bool, **later: Any) -> None:
        await release(tx, owner, ids, refund=False, **later)

    async def nothing(tx: Transaction, attempts: Mapping[int, int]) -> None:
        pass

    patch.setattr(intake, "release", without_refund)
    patch.setattr(blame, "refund", nothing)


@mutant
def a_failed_chunk_is_run_again_as_a_chunk(patch: pytest.MonkeyPatch) -> None:
    async def again(tx: Transaction, owner: str, ids: Sequence[int]) -> None:
        await intake._give_back(tx, owner, ids)

    patch.setattr(intake, "make_solo", again)


@mutant
def the_last_file_of_a_zip_is_left_out(patch: pytest.MonkeyPatch) -> None:
    unzipped = attachments._Sorting._unzipped

    def but_one(self: attachments._Sorting, octets: bytes) -> list[NamedBytes]:
        return unzipped(self, octets)[:-1]

    patch.setattr(attachments._Sorting, "_unzipped", but_one)
