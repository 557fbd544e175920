"""Senders with rules of their own: which anchors, issuers and policies count for them, and for nobody else."""

from dataclasses import replace

import pytest
from cryptography import x509

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, EnrolledSender, SenderCode
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Authority, Pki
from mailflow.mail.model import VerifiedSigner
from mailflow.mail.trust import PathPolicy, Trust, TrustError
from tests.support.pki import AT
from tests.support.trust import a_sender, a_trust, enrolled

PKI = Pki(at=AT)
OURS, OTHERS = (PKI.authority(name, by=PKI.root) for name in ("ours", "others"))
SECOND_ROOT = PKI.authority("second root", by=None)
UNDER_SECOND = PKI.authority("under the second", by=SECOND_ROOT)
POLICY = "1.2.250.1.99"
SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT
BOUND, FREE = SenderCode("BOUND"), SenderCode("FREE")


def stating(policy: str) -> tuple[x509.ExtensionType, bool]:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(policy), None)]), False


def fingerprint(authority: Authority) -> str:
    return authority.identity.fingerprint


def sender(code: SenderCode, leaf: Identity) -> EnrolledSender:
    return a_sender(enrolled(leaf, SIGN), enrolled(leaf, ENCRYPT), code=code, address=f"a@{code.lower()}.example")


def trust(rule: PathPolicy, *senders: EnrolledSender, also: tuple[Authority, ...] = ()) -> Trust:
    """Only `BOUND` has rules of its own."""
    known = (OURS, OTHERS, UNDER_SECOND, *also)
    made = a_trust(*senders, pki=PKI, anchors=[PKI.root.identity.der, SECOND_ROOT.identity.der], also=known)
    lists = (*made.material.crls, PKI.crl(SECOND_ROOT))
    return Trust(replace(made.material, crls=lists, policies={BOUND: rule}))


def fares(of: Trust, who: EnrolledSender) -> str:
    """A mail of this sender, and an answer to it: `accepted`, or why not. Both must fare alike."""
    der = who.certificates[0].der
    signer = VerifiedSigner(
        certificate=der, signed_at=AT, digest_algorithm="sha256", signature_algorithm="ecdsa-sha256"
    )
    answered = of.encryption_certificate(who, AT) is not None
    try:
        proven = of.authenticate((signer,), (), from_address=next(iter(who.addresses)), received_at=AT, at=AT)
    except TrustError as error:
        refusal = error
    else:
        assert answered
        of.check_answer_certificate(der, AT, who.code)
        assert proven.grounds.policy == of.material.policy_of(who.code)
        return "accepted"
    assert (refusal.code, answered) == (Code.PATH_REFUSED, False)
    with pytest.raises(TrustError):
        of.check_answer_certificate(der, AT, who.code)
    return refusal.detail


def test_only_permitted_issuers_count_for_a_bound_sender() -> None:
    good, bad = (PKI.issue(name, by=by) for name, by in (("good", OURS), ("bad", OTHERS)))
    rule = PathPolicy(issuers=frozenset({fingerprint(OURS)}))
    assert fares(trust(rule, sender(BOUND, good)), sender(BOUND, good)) == "accepted"
    refused = "an issuer that is not permitted to this sender"
    assert fares(trust(rule, sender(BOUND, bad)), sender(BOUND, bad)) == refused
    assert fares(trust(rule, sender(FREE, bad)), sender(FREE, bad)) == "accepted"


def test_only_permitted_anchors_count_for_a_bound_sender() -> None:
    first, second = (PKI.issue(name, by=by) for name, by in (("first", OURS), ("second", UNDER_SECOND)))
    rule = PathPolicy(anchors=frozenset({fingerprint(SECOND_ROOT)}))
    both = trust(rule, sender(BOUND, first), sender(FREE, second))
    assert fares(both, sender(BOUND, first)) == "an anchor that is not permitted to this sender"
    assert fares(both, sender(FREE, second)) == "accepted"
    assert fares(trust(rule, sender(BOUND, second)), sender(BOUND, second)) == "accepted"


def test_policies_are_demanded_of_a_bound_sender_alone() -> None:
    authority = PKI.authority("with policy", by=PKI.root, extra=[stating(POLICY)])
    with_it, without = (
        PKI.issue(name, by=authority, extra=extra) for name, extra in (("w", [stating(POLICY)]), ("o", []))
    )
    rule = PathPolicy(policies=frozenset({POLICY}), explicit=True)
    assert fares(trust(rule, sender(BOUND, with_it), also=(authority,)), sender(BOUND, with_it)) == "accepted"
    assert fares(trust(rule, sender(BOUND, without), also=(authority,)), sender(BOUND, without)) != "accepted"
    assert fares(trust(rule, sender(FREE, without), also=(authority,)), sender(FREE, without)) == "accepted"


def test_another_certificate_of_the_same_authority_is_tried() -> None:
    """An authority that two roots certified: the path of the one that is permitted is found."""
    twin = PKI.authority("ours", by=SECOND_ROOT, key=OURS.identity.key)
    leaf = PKI.issue("of both", by=OURS)
    for permitted in (OURS, twin):
        rule = PathPolicy(issuers=frozenset({fingerprint(permitted)}))
        assert fares(trust(rule, sender(BOUND, leaf), also=(twin,)), sender(BOUND, leaf)) == "accepted"
