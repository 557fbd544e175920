"""Evidence: what is made of a verdict proves it again by itself, and nothing else does."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.evidence import Exhibit, ExhibitKind, Proof
from mailflow.core.model import Directory
from mailflow.demo.certificates import Kind
from mailflow.mail import cms
from mailflow.mail.cms import CmsError, ber
from mailflow.mail.evidence import proof_of
from mailflow.mail.model import Accepted, Step
from mailflow.mail.reproving import UnusableBasis, is_acceptance, judge_again, read_basis, trust_of
from mailflow.mail.trust import PathPolicy, SigningWindow, Trust
from tests.support import crafted
from tests.support.crafted import ENTITY, attributes, signed_data, signer_info
from tests.support.judging import JUDGED_AT, RECEIVED_AT, a_judge, a_mail, accepted, everybody, mairie
from tests.support.keys import KINDS, holder, signing_key
from tests.support.pki import AT, shared_pki
from tests.support.pkits import material, signed_mail, table
from tests.support.trust import ADDRESS, a_sender, a_trust, enrolled, signed_by

ALWAYS = SigningWindow(before=timedelta(days=10_000), after=timedelta(days=10_000))
SUITE = PathPolicy(authorities_may_sign=True)


def proven_again(proof: Proof, lists: Mapping[bytes, bytes]) -> list[Step]:
    """By the exhibits alone, and those lists that the evidence names."""
    exhibits = {one.digest: one.content for one in proof.basis.exhibits}
    named = read_basis(exhibits[proof.basis.digest])
    shown = exhibits | {digest: lists[digest] for digest in named.revocations}
    assert set(named.all) | {proof.basis.digest} == shown.keys(), "nothing is missing, and nothing too much"
    return list(judge_again(proof.evidence, named, trust_of(named, shown)))


def by_digest(trust: Trust) -> dict[bytes, bytes]:
    return {Exhibit(ExhibitKind.REVOCATION_LIST, der).digest: der for der in trust.material.lists}


# Signatures as they are kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_of_each_kind_of_signature_is_proved_with_and_without_the_content(kind: Kind) -> None:
    mail = crafted.proved(cms.sign(ENTITY, signing_key(kind), at=AT, detached=False))
    known = [holder(kind).der]
    assert known[0] not in mail.signature
    assert ENTITY not in mail.signature
    assert cms.verify_attributes(mail.signature, enrolled=lambda _: known, at=AT) == mail.signers
    again = cms.verify(mail.signature, ENTITY, enrolled=lambda _: known, at=AT)
    assert (again.signers, again.signature) == (mail.signers, mail.signature)
    with pytest.raises(CmsError):
        cms.verify(mail.signature, ENTITY + b"x", enrolled=lambda _: known, at=AT)


def test_several_signers_named_in_either_way_are_kept() -> None:
    one, other = holder("rsa"), holder("p256")
    infos = [
        signer_info(one, attributes(ENTITY)),
        signer_info(other, attributes(ENTITY), sid=crafted.by_key_id(other)),
    ]
    mail = crafted.proved(signed_data(ENTITY, infos, [one.der, other.der]))
    again = cms.verify_attributes(mail.signature, enrolled=lambda _: [one.der, other.der], at=AT)
    assert {signer.certificate for signer in again} == {one.der, other.der}


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_what_is_kept_can_be_changed(where: int, bit: int) -> None:
    """But for forms that say the same: such as no parameters for NULL, or a version that nobody acts on."""
    mail = crafted.proved(cms.sign(ENTITY, signing_key("p256"), at=AT, detached=False))
    known = [holder("p256").der]
    octets = bytearray(mail.signature)
    octets[where % len(octets)] ^= 1 << bit
    try:
        again = cms.verify(bytes(octets), ENTITY, enrolled=lambda _: known, at=AT)
    except CmsError:
        return
    assert again.signers == mail.signers


def test_a_signature_without_signers_proves_nothing() -> None:
    with pytest.raises(CmsError):
        cms.verify_attributes(signed_data(None, [], []), enrolled=crafted.nobody, at=AT)
    with pytest.raises(CmsError):
        cms.verify_attributes(b"\x30\x00", enrolled=crafted.nobody, at=AT)


# Proofs


@pytest.mark.parametrize("test", [row.test for row in table() if row.got == "accepted"])
def test_the_evidence_of_every_path_that_nist_holds_to_be_valid_proves_it_again(test: str) -> None:
    """With policies, mappings, constraints, deltas, indirect lists and their signers."""
    mail = signed_mail(test)
    sender = a_sender(enrolled(mail.signers[0].certificate))
    given = replace(
        material(test, SUITE), directory=Directory(generation=1, senders=(sender,), desks={}), window=ALWAYS
    )
    trust = Trust(given)
    steps: list[Step] = []
    proven = trust.authenticate(mail.signers, (), from_address=ADDRESS, received_at=AT, at=AT, steps=steps)
    proof = proof_of(
        mail.signature, proven.grounds, steps, intake=1, from_address=ADDRESS, received_at=AT, judged_at=AT
    )
    again = proven_again(proof, by_digest(trust))
    assert [step for step in again if not step.passed] == []
    nothing = dict.fromkeys(proof.basis.revocations, given.anchors[0])
    assert not proven_again(proof, nothing)[-1].passed, "without the lists nothing is known"


def test_mails_that_rest_on_the_same_share_it() -> None:
    one, other = (accepted(a_mail()).proof for _ in range(2))
    assert (one.basis, one.checklist) == (other.basis, other.checklist)
    assert one.basis is other.basis
    verdict = accepted(a_mail(), a_judge(everybody()))
    facts = json.loads(verdict.proof.checklist.content)
    assert is_acceptance(verdict.proof.checklist.content)
    as_of = {step["step"]: step["as_of"] for step in facts["steps"]}
    assert (as_of["signature"], as_of["nothing on the paths is revoked"]) == ("reception", "judging")


def test_the_remembered_proof_rests_on_what_the_first_did() -> None:
    trust = a_trust(mairie().enrolment())
    first, second = (_judged(trust) for _ in range(2))
    assert first.proof.basis == second.proof.basis
    assert all(step.passed for step in proven_again(second.proof, by_digest(trust)))


def _judged(trust: Trust) -> Accepted:
    return accepted(a_mail(), a_judge(trust))


def test_what_was_demanded_of_this_sender_alone_is_demanded_again() -> None:
    pki = shared_pki()
    demanded = PathPolicy(
        anchors=frozenset({pki.root.identity.fingerprint}), issuers=frozenset({pki.issuing_ec.identity.fingerprint})
    )
    trust = Trust(replace(everybody().material, policies={mairie().enrolment().code: demanded}))
    proof = _judged(trust).proof
    assert all(step.passed for step in proven_again(proof, by_digest(trust)))
    exhibits = {one.digest: one.content for one in proof.basis.exhibits} | by_digest(trust)
    named = read_basis(exhibits[proof.basis.digest])
    rebuilt = trust_of(named, exhibits).material.policy
    assert rebuilt == demanded
    other = json.loads(exhibits[named.policy])
    other["paths"]["issuers"] = [pki.issuing_rsa.identity.fingerprint]
    with_other = trust_of(named, exhibits | {named.policy: json.dumps(other).encode()})
    assert not judge_again(proof.evidence, named, with_other)[-1].passed


def test_an_authority_that_only_the_mail_brought_is_kept() -> None:
    pki = shared_pki()
    brought = pki.authority("brought-along", by=pki.root)
    leaf = pki.issue("of-brought-along", by=brought)
    trust = a_trust(a_sender(enrolled(leaf)), crls=[*pki.crls(), pki.crl(brought)])
    for _ in range(2):
        bag = (brought.identity.der,)
        proven = trust.authenticate((signed_by(leaf),), bag, from_address=ADDRESS, received_at=AT, at=AT)
        assert proven.grounds.paths == ((leaf.der, brought.identity.der, pki.root.identity.der),)


def test_two_signers_of_one_sender_are_both_kept() -> None:
    pki = shared_pki()
    leaves = [pki.issue("first-of-two"), pki.issue("second-of-two", kind="rsa")]
    trust = a_trust(a_sender(*map(enrolled, leaves)))
    for _ in range(2):  # the second time it is remembered
        signers = tuple(map(signed_by, leaves))
        grounds = trust.authenticate(signers, (), from_address=ADDRESS, received_at=AT, at=AT).grounds
        assert [path[0] for path in grounds.paths] == [leaf.der for leaf in leaves]
        assert {one.der for one in grounds.enrolment.certificates} == {leaf.der for leaf in leaves}
        assert set(grounds.revocations) == {
            *_lists(trust, pki.issuing_ec.identity.certificate),
            *_lists(trust, pki.issuing_rsa.identity.certificate),
            *_lists(trust, pki.root.identity.certificate),
        }


def _lists(trust: Trust, issuer: x509.Certificate) -> list[bytes]:
    ders = by_digest(trust).items()
    return [digest for digest, der in ders if x509.load_der_x509_crl(der).issuer == issuer.subject]


def test_at_another_time_the_same_evidence_proves_nothing() -> None:
    trust = a_trust(mairie().enrolment())
    proof = _judged(trust).proof
    assert (proof.evidence.received_at, proof.evidence.judged_at) == (RECEIVED_AT, JUDGED_AT)
    for evidence in (
        replace(proof.evidence, received_at=RECEIVED_AT + timedelta(days=30)),
        replace(proof.evidence, judged_at=JUDGED_AT + timedelta(days=400)),
        replace(proof.evidence, received_at=RECEIVED_AT - timedelta(days=3), judged_at=JUDGED_AT - timedelta(days=3)),
    ):
        other = replace(proof, evidence=evidence)
        assert not proven_again(other, by_digest(trust))[-1].passed
        assert other.evidence.digest != proof.evidence.digest


# Whatever stands in an exhibit


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["steps", "verdict", "passed", "paths", "policy", "from"]), inner, max_size=4)
    ),
)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_basis_and_no_checklist_is_told(octets: bytes) -> None:
    assert not is_acceptance(octets)
    with pytest.raises(UnusableBasis):
        read_basis(octets)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_policy_and_no_enrolment_is_told(octets: bytes) -> None:
    trust = a_trust(mairie().enrolment())
    proof = _judged(trust).proof
    exhibits = {one.digest: one.content for one in proof.basis.exhibits} | by_digest(trust)
    named = read_basis(exhibits[proof.basis.digest])
    for digest in (named.policy, named.enrolment, named.paths[0][-1]):
        with pytest.raises(UnusableBasis):
            trust_of(named, exhibits | {digest: octets})


def test_the_attributes_cover_what_der_says() -> None:
    """Octets of the signature's fields come back as they were received, in whatever form."""
    info = signer_info(holder("rsa"), attributes(ENTITY), digest=crafted.digest_algorithm("sha256", ber.NULL))
    mail = crafted.proved(signed_data(ENTITY, [info], [holder("rsa").der]))
    assert info in mail.signature
