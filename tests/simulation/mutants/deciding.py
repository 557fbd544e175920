"""Mistakes in deciding: numbers, repeats, rights, and what belongs into one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow import registrar
from mailflow.core.form import HousingRequest
from mailflow.core.identity import Identity, Profile
from mailflow.core.model import Receipt, Submission
from mailflow.core.signers import Signer, signers
from mailflow.mail import deciding, worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.model import Rejected, Undetermined, Verdict
from mailflow.mail.trust import Proven, Trust, TrustError
from mailflow.register import Transaction, directory, files, identities, intake, journal, numbers, outbox, requests
from mailflow.register.tables import counter
from mailflow.registrar import Terms, claiming, naming
from mailflow.registrar.work import FileWork
from tests.simulation.mutants.planting import mutant


@mutant
def numbers_are_taken_outside_the_transaction(patch: pytest.MonkeyPatch) -> None:
    last: dict[tuple[str, str], int] = {}

    async def allocate(tx: Transaction, territory: str, month: str, count: int) -> int:
        first = last.get((territory, month), 0) + 1
        last[territory, month] = first + count - 1
        return first

    patch.setattr(numbers, "allocate", allocate)


@mutant
def the_counter_is_read_and_written_back_late(patch: pytest.MonkeyPatch) -> None:
    allocate = numbers.allocate

    async def stale(tx: Transaction, territory: str, month: str, count: int) -> int:
        first = await allocate(tx, territory, month, count)
        ours = sa.and_(counter.c.territory == territory, counter.c.month == month)
        await tx.run(sa.update(counter).where(ours).values(last=first))
        return first

    patch.setattr(numbers, "allocate", stale)


@mutant
def the_answer_is_ordered_in_a_second_transaction(patch: pytest.MonkeyPatch) -> None:
    decide, queue = deciding.decide, outbox.queue
    drafts: list[outbox.Draft] = []

    async def remember(tx: Transaction, ordered: Sequence[outbox.Draft], at: datetime) -> set[tuple[str, str]]:
        drafts.extend(ordered)
        return set()

    async def decide_then_order(door: MailDoor, terms: Terms, judged: Sequence[deciding.Judged]) -> Progress:
        drafts.clear()
        progress = await decide(door, terms, judged)
        ordered = list(drafts)
        async with door.register.begin() as tx:
            await queue(tx, ordered, door.clock())
        return progress

    patch.setattr(outbox, "queue", remember)
    patch.setattr(worker, "decide", decide_then_order)


@mutant
def the_mail_is_settled_in_a_second_transaction(patch: pytest.MonkeyPatch) -> None:
    decide, settle = deciding.decide, intake.settle
    waiting: list[intake.Settlement] = []

    async def remember(tx: Transaction, owner: str, settled: Sequence[intake.Settlement], at: datetime) -> None:
        waiting.extend(settled)

    async def decide_then_settle(door: MailDoor, terms: Terms, judged: Sequence[deciding.Judged]) -> Progress:
        waiting.clear()
        progress = await decide(door, terms, judged)
        settled = list(waiting)
        async with door.register.begin() as tx:
            await settle(tx, door.owner, settled, door.clock())
        return progress

    patch.setattr(intake, "settle", remember)
    patch.setattr(worker, "decide", decide_then_settle)


@mutant
def a_file_that_comes_again_is_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    _digests_by_name(patch, "")


@mutant
def known_content_under_a_new_name_is_judged_anew(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Transaction, fresh: Sequence[FileWork]) -> None:
        pass

    patch.setattr(naming, "_find_known_content", nothing)


@mutant
def other_content_under_a_known_name_is_the_same_file(patch: pytest.MonkeyPatch) -> None:
    class Same(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    _digests_by_name(patch, Same())


def _digests_by_name(patch: pytest.MonkeyPatch, digest: str) -> None:
    """Have every file that is known by its name carry this digest."""
    by_name = files.by_name

    async def changed(tx: Transaction, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], files.StoredFile]:
        return {name: replace(stored, digest=digest) for name, stored in (await by_name(tx, names)).items()}

    patch.setattr(files, "by_name", changed)


@mutant
def identities_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    async def all_ours(tx: Transaction, claims: Sequence[identities.IdentityClaim]) -> set[int]:
        return set(range(len(claims)))

    patch.setattr(identities, "claim", all_ours)


@mutant
def an_association_has_one_request(patch: pytest.MonkeyPatch) -> None:
    def as_of_a_person(form: HousingRequest, numbers: Mapping[str, str] | None = None) -> tuple[Signer, ...]:
        if not (form.association and form.association.name):
            return signers(form, numbers)
        name = Identity(surname=form.association.name, first_name="", born_on=date(2000, 1, 1))
        return (Signer(element="demandeur", identity=name, profile=Profile(name), nir=None),)

    patch.setattr(claiming, "signers", as_of_a_person)


@mutant
def references_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    async def all_ours(tx: Transaction, references: Sequence[tuple[str, str, str, str]]) -> set[tuple[str, str]]:
        return {(desk, reference) for desk, reference, _, _ in references}

    patch.setattr(requests, "bind_references", all_ours)


@mutant
def a_proof_of_an_older_generation_is_accepted(patch: pytest.MonkeyPatch) -> None:
    submit = registrar.submit

    async def whatever(
        tx: Transaction, submissions: Sequence[Submission], terms: Terms, at: datetime
    ) -> tuple[Receipt, ...]:
        now = await directory.generation(tx)
        renewed = [replace(s, submitter=replace(s.submitter, trust_generation=now)) for s in submissions]
        return await submit(tx, renewed, replace(terms, directory=replace(terms.directory, generation=now)), at)

    patch.setattr(registrar, "submit", whatever)


@mutant
def what_cannot_be_told_yet_is_refused(patch: pytest.MonkeyPatch) -> None:
    judge = Judge.judge

    def refuse(self: Judge, mail: Unjudged, at: datetime) -> Verdict:
        verdict = judge(self, mail, at)
        if isinstance(verdict, Undetermined):
            return Rejected(anomalies=(verdict.anomaly,), reply=None)
        return verdict

    patch.setattr(Judge, "judge", refuse)


@mutant
def a_stranger_passes_for_the_first_sender(patch: pytest.MonkeyPatch) -> None:
    authenticate = Trust.authenticate
    first: list[Proven] = []

    def anybody(self: Trust, *args: Any, **kwargs: Any) -> Proven:
        try:
            proven = authenticate(self, *args, **kwargs)
        except TrustError:
            if not first:
                raise
            return first[0]
        first.append(proven)
        return proven

    patch.setattr(Trust, "authenticate", anybody)


@mutant
def the_journal_is_written_in_a_transaction_of_its_own(patch: pytest.MonkeyPatch) -> None:
    decide, append = deciding.decide, journal.append
    waiting: list[journal.Entry] = []

    async def remember(tx: Transaction, entries: Sequence[journal.Entry], at: datetime) -> None:
        waiting.extend(entries)

    async def write_then_decide(door: MailDoor, terms: Terms, judged: Sequence[deciding.Judged]) -> Progress:
        waiting.clear()
        try:
            return await decide(door, terms, judged)
        finally:
            async with door.register.begin() as tx:
                await append(tx, list(waiting), door.clock())

    patch.setattr(journal, "append", remember)
    patch.setattr(worker, "decide", write_then_decide)
