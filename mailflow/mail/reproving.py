"""Evidence, judged again by nothing but itself: no settings, no trust files, no clock. Pure."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mailflow.core.evidence import Evidence
from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledCertificate,
    EnrolledSender,
    SenderCode,
    Standing,
)
from mailflow.core.revocation import Fetched
from mailflow.errors import MailflowError, Misconfigured
from mailflow.mail import cms
from mailflow.mail.cms import CmsError
from mailflow.mail.model import Step
from mailflow.mail.trust import PathPolicy, SigningWindow, Trust, TrustError, TrustMaterial, TrustUndetermined

SIGNATURE = "signature over the attributes"


class UnusableBasis(MailflowError):
    """It cannot be read as what it should be. Nobody who verifies digests first should ever see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a basis says that the verdict rests on, by digests."""

    software: str
    from_address: str
    enrolment: bytes
    policy: bytes
    paths: tuple[tuple[bytes, ...], ...]
    """From the holder to the anchor."""
    others: tuple[bytes, ...]
    revocations: tuple[bytes, ...]
    answers: tuple[bytes, ...]

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Every certificate, each once."""
        return tuple(dict.fromkeys((*(one for path in self.paths for one in path), *self.others)))

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every exhibit."""
        return (self.enrolment, self.policy, *self.certificates, *self.revocations, *self.answers)


def read_basis(content: bytes) -> Named:
    """Raises UnusableBasis."""
    try:
        facts = json.loads(content)
        return Named(
            software=facts["software"],
            from_address=facts["from"],
            enrolment=bytes.fromhex(facts["enrolment"]),
            policy=bytes.fromhex(facts["policy"]),
            paths=tuple(tuple(map(bytes.fromhex, path)) for path in facts["paths"]),
            others=tuple(map(bytes.fromhex, facts["others"])),
            revocations=tuple(map(bytes.fromhex, facts["revocations"])),
            answers=tuple(map(bytes.fromhex, facts["answers"])),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnusableBasis(f"basis: {type(error).__name__}") from None


def trust_of(named: Named, exhibits: Mapping[bytes, bytes]) -> Trust:
    """The trust of then, of this one sender: its anchors, its lists, its policy. Raises UnusableBasis."""
    try:
        policy = json.loads(exhibits[named.policy])
        window = policy["signing_time"]
        return Trust(
            TrustMaterial(
                directory=Directory(generation=0, senders=(_sender(named, exhibits),), desks={}),
                anchors=tuple(exhibits[path[-1]] for path in named.paths),
                intermediates=tuple(exhibits[d] for path in named.paths for d in path[1:-1])
                + tuple(exhibits[digest] for digest in named.others),
                crls=tuple(exhibits[digest] for digest in named.revocations),
                fetched=Fetched(answers=tuple(exhibits[digest] for digest in named.answers)),
                window=SigningWindow(
                    before=timedelta(seconds=window["seconds_before"]), after=timedelta(seconds=window["seconds_after"])
                ),
                policy=PathPolicy(**{name: _frozen(value) for name, value in policy["paths"].items()}),
            )
        )
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, Misconfigured) as error:
        raise UnusableBasis(f"what the basis names: {type(error).__name__}") from None


def _frozen(value: Any) -> Any:
    return frozenset(value) if isinstance(value, list) else value


def _sender(named: Named, exhibits: Mapping[bytes, bytes]) -> EnrolledSender:
    facts = json.loads(exhibits[named.enrolment])
    return EnrolledSender(
        code=SenderCode(facts["code"]),
        name=facts["name"],
        standing=Standing(facts["standing"]),
        addresses=frozenset(facts["addresses"]),
        answer_address="",
        certificates=tuple(
            EnrolledCertificate(
                fingerprint=one["sha256"],
                der=exhibits[bytes.fromhex(one["sha256"])],
                use=CertificateUse(one["use"]),
                standing=Standing(one["standing"]),
            )
            for one in facts["certificates"]
        ),
        mandates=(),
        legacy_encryption=False,
    )


def judge_again(evidence: Evidence, named: Named, trust: Trust) -> tuple[Step, ...]:
    """The steps that need no content: that the sender signed this digest, and was to be believed then.

    At the instants of then: paths and dates at reception, revocation at judging. The last step alone may have failed.
    """
    steps: list[Step] = []
    try:
        signers = cms.verify_attributes(evidence.signature, enrolled=trust.certificates_of, at=evidence.received_at)
    except CmsError as error:
        return (Step(name=SIGNATURE, passed=False, detail=f"{error.code} {error.detail}".strip()),)
    steps.append(Step(name=SIGNATURE, passed=True, detail=signers[0].signature_algorithm))
    with contextlib.suppress(TrustError, TrustUndetermined):  # the last step tells
        trust.authenticate(
            signers,
            (),
            from_address=named.from_address,
            received_at=evidence.received_at,
            at=evidence.judged_at,
            steps=steps,
        )
    return tuple(steps)


def is_acceptance(checklist: bytes) -> bool:
    """Whether the verdict on record is that the mail is accepted, every step passed."""
    try:
        facts = json.loads(checklist)
        passed = [step["passed"] is True for step in facts["steps"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return False
    return facts.get("verdict") == "accepted" and bool(passed) and all(passed)
