"""Faults about certificates that mails bring."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from mailflow.core.succession import SuccessorReceipt
from mailflow.mail import judge, succession
from mailflow.mail.deciding import Decision, Judged
from mailflow.mail.judge import Judge
from mailflow.mail.model import ReplyContext, VerifiedMail
from mailflow.mail.successor import read_successor
from mailflow.register import Transaction, gates
from mailflow.register.gates import Gate
from tests.simulation.mutants.planting import mutant


@mutant
def an_offered_certificate_is_enrolled_at_once(patch: pytest.MonkeyPatch) -> None:
    receive = succession.receive

    async def alone(self: Decision, tx: Transaction, judged: Sequence[Judged]) -> None:
        await gates.have_alone(tx, Gate.TRUST)

    async def at_once(*args: Any, **terms: Any) -> SuccessorReceipt:
        return await receive(*args, **{**terms, "at_once": True})

    patch.setattr(Decision, "_hold_enrolments", alone)
    patch.setattr(succession, "receive", at_once)


@mutant
def a_proof_for_another_service_counts(patch: pytest.MonkeyPatch) -> None:
    def any_service(octets: bytes, services: Collection[str], follows: str, at: datetime) -> VerifiedMail:
        return read_successor(octets, [*services, "demandes@other.example"], follows, at)

    patch.setattr(judge, "read_successor", any_service)


@mutant
def the_certificate_that_comes_along_is_not_encrypted_to(patch: pytest.MonkeyPatch) -> None:
    def as_enrolled(self: Judge, octets: bytes, context: ReplyContext, *_: Any) -> ReplyContext:
        return replace(context)

    patch.setattr(Judge, "_answer_certificate", as_enrolled)
