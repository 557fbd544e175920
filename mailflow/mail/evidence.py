"""The evidence of a verdict, made where the verdict is: in the processes of the pool. Pure.

What rests on the same is the same object, so it is written and hashed once, and crosses to the worker once for all the
mails that it is of.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any

from mailflow import __version__
from mailflow.core.evidence import Basis, Evidence, Exhibit, ExhibitKind, Proof
from mailflow.mail import cms
from mailflow.mail.model import Step
from mailflow.mail.trust import Enrolment, Grounds, PathPolicy, SigningWindow

SHARED_MAX = 256
"""Bases, and checklists, that are remembered."""

RECEPTION, JUDGING = "reception", "judging"
JUDGED_AS_OF_NOW = frozenset(
    (
        "every signer's certificate is enrolled",
        "the sender is active",
        "From is enrolled for the sender",
        "nothing on the paths is revoked",
        "answer certificate",
        "new certificate",
    )
)
"""Steps that were judged by what was known at the moment of judging; all others as of the reception."""


def proof_of(
    signature: bytes,
    grounds: Grounds,
    steps: Iterable[Step],
    *,
    intake: int,
    from_address: str,
    received_at: datetime,
    judged_at: datetime,
) -> Proof:
    """Why the mail of `intake` was accepted."""
    basis, checklist = _basis(grounds, from_address.lower()), _checklist(tuple(steps))
    evidence = Evidence(
        intake=intake,
        received_at=received_at,
        judged_at=judged_at,
        basis=basis.digest,
        checklist=checklist.digest,
        signature=signature,
    )
    return Proof(evidence=evidence, basis=basis, checklist=checklist)


def _json(kind: ExhibitKind, facts: object) -> Exhibit:
    return Exhibit(kind, json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


@lru_cache(maxsize=SHARED_MAX)
def _checklist(steps: tuple[Step, ...]) -> Exhibit:
    listed = [
        {
            "step": step.name,
            "passed": step.passed,
            "detail": step.detail,
            "as_of": JUDGING if step.name in JUDGED_AS_OF_NOW else RECEPTION,
        }
        for step in steps
    ]
    return _json(ExhibitKind.CHECKLIST, {"verdict": "accepted", "steps": listed})


@lru_cache(maxsize=SHARED_MAX)
def _basis(grounds: Grounds, from_address: str) -> Basis:
    paths = [[Exhibit(ExhibitKind.CERTIFICATE, der) for der in path] for path in grounds.paths]
    others = [Exhibit(ExhibitKind.CERTIFICATE, der) for der in grounds.others]
    enrolment = _json(ExhibitKind.ENROLMENT, _enrolment(grounds.enrolment))
    policy = _policy(grounds.policy, grounds.window)
    named = _json(
        ExhibitKind.BASIS,
        {
            "software": f"mailflow {__version__}",
            "from": from_address,
            "enrolment": enrolment.digest.hex(),
            "policy": policy.digest.hex(),
            "paths": [[one.digest.hex() for one in path] for path in paths],
            "others": [one.digest.hex() for one in others],
            "revocations": [digest.hex() for digest in grounds.revocations],
            "answers": [digest.hex() for digest in grounds.answers],
        },
    )
    exhibits = dict.fromkeys((named, enrolment, policy, *(one for path in paths for one in path), *others))
    return Basis(digest=named.digest, exhibits=tuple(exhibits), revocations=grounds.revocations + grounds.answers)


def _enrolment(enrolment: Enrolment) -> dict[str, Any]:
    return {
        "code": enrolment.code,
        "name": enrolment.name,
        "standing": enrolment.standing.value,
        "addresses": sorted(enrolment.addresses),
        "certificates": [
            {"sha256": one.fingerprint, "use": one.use.value, "standing": one.standing.value}
            for one in enrolment.certificates
        ],
    }


@lru_cache(maxsize=SHARED_MAX)
def _policy(policy: PathPolicy, window: SigningWindow) -> Exhibit:
    paths = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(policy).items()}
    demanded = {
        "paths": paths,
        "signing_time": {
            "seconds_before": window.before.total_seconds(),
            "seconds_after": window.after.total_seconds(),
        },
        "algorithms": cms.algorithm_table(),
    }
    return _json(ExhibitKind.POLICY, demanded)
