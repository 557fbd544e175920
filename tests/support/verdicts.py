"""What a trust store says of signers and certificates, as tests ask it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import Identity
from mailflow.mail.model import Step, VerifiedSigner
from mailflow.mail.trust import Trust, TrustError
from tests.support.pki import AT, shared_pki
from tests.support.trust import ADDRESS, a_sender, a_trust, enrolled, signed_by

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT
PKI = shared_pki()
HOUR = timedelta(hours=1)


def proven(
    trust: Trust,
    *signers: VerifiedSigner,
    bag: Sequence[bytes] = (),
    from_address: str = ADDRESS,
    received_at: datetime = AT,
    at: datetime = AT,
    steps: list[Step] | None = None,
) -> str:
    """The code of the sender that is proven."""
    known = trust.authenticate(
        signers, tuple(bag), from_address=from_address, received_at=received_at, at=at, steps=steps
    )
    return known.sender.code


def refused(trust: Trust, *signers: VerifiedSigner, **rest: object) -> Code:
    with pytest.raises(TrustError) as caught:
        proven(trust, *signers, **rest)  # type: ignore[arg-type]  # handed on as they came
    return caught.value.code


def verdict_on(identity: Identity | bytes, **material: object) -> Code:
    """Why the enrolled holder of this certificate is refused."""
    trust = a_trust(a_sender(enrolled(identity)), **material)  # type: ignore[arg-type]  # likewise
    return refused(trust, signed_by(identity))
