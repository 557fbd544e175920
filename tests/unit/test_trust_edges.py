"""The first and the last moment at which something holds, and the second beside each."""

from dataclasses import fields, replace
from datetime import datetime, timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, EnrolledCertificate, EnrolledSender, Standing
from mailflow.core.revocation import Fetched
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY
from mailflow.mail.trust import PathPolicy, Trust, TrustError, TrustUndetermined
from mailflow.mail.trust import path as path_module
from mailflow.mail.trust.certificate import check_issued
from mailflow.mail.trust.grounds import enrolment_of
from tests.support.answers import ocsp_answer
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled, signed_by
from tests.support.verdicts import proven

PKI = shared_pki()
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def fares(trust: Trust, leaf: Identity, received_at: datetime) -> Code | None:
    """Why a mail that was signed and received then is refused."""
    try:
        proven(trust, signed_by(leaf, received_at), received_at=received_at)
    except TrustError as error:
        return error.code
    return None


@pytest.mark.parametrize("remembered", [True, False])
def test_a_certificate_proves_from_its_first_to_its_last_second(remembered: bool) -> None:
    leaf = PKI.issue("desk", starts=-HOUR, ends=HOUR)
    trust = a_trust(a_sender(enrolled(leaf)))
    for moment, code in (
        (AT - HOUR, None),
        (AT + HOUR, None),
        (AT - HOUR - SECOND, Code.CERTIFICATE_NOT_VALID_THEN),
        (AT + HOUR + SECOND, Code.CERTIFICATE_NOT_VALID_THEN),
    ):
        asked = trust if remembered else a_trust(a_sender(enrolled(leaf)))
        assert fares(asked, leaf, moment) is code


@pytest.mark.parametrize("remembered", [True, False])
def test_an_authority_proves_from_its_first_to_its_last_second(remembered: bool) -> None:
    authority = PKI.authority("short-lived", by=PKI.root, starts=-HOUR, ends=HOUR)
    leaf = PKI.issue("desk", by=authority)
    made = a_trust(a_sender(enrolled(leaf)), also=[authority])
    for moment, code in (
        (AT - HOUR, None),
        (AT + HOUR, None),
        (AT - HOUR - SECOND, Code.CERTIFICATE_NOT_VALID_THEN),
        (AT + HOUR + SECOND, Code.CERTIFICATE_NOT_VALID_THEN),
    ):
        asked = made if remembered else a_trust(a_sender(enrolled(leaf)), also=[authority])
        assert fares(asked, leaf, moment) is code


def test_what_was_proven_is_remembered_from_that_moment_to_the_end_of_its_lists_only() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    last = AT - HOUR + 7 * DAY
    assert proven(trust, signed_by(leaf), at=AT)
    assert proven(trust, signed_by(leaf), at=last)
    with pytest.raises(TrustUndetermined):
        proven(trust, signed_by(leaf), at=last + SECOND)


def test_a_later_proof_does_not_serve_an_earlier_moment() -> None:
    """When a list was published later than one judges, it cannot vouch yet."""
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)), crls=PKI.crls(published=AT + HOUR))
    assert proven(trust, signed_by(leaf), at=AT + HOUR)
    with pytest.raises(TrustUndetermined):
        proven(trust, signed_by(leaf), at=AT)


def test_of_two_paths_the_one_whose_data_end_first_decides_how_long_it_is_remembered() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("other", kind="rsa")
    short = PKI.crl(PKI.issuing_ec, lasts=2 * HOUR)
    lists = [PKI.crl(PKI.root), PKI.crl(PKI.issuing_rsa), short]
    trust = a_trust(a_sender(enrolled(leaf), enrolled(other)), crls=lists)
    both = (signed_by(leaf), signed_by(other))
    assert proven(trust, *both, at=AT + HOUR)
    with pytest.raises(TrustUndetermined):
        proven(trust, *both, at=AT + HOUR + SECOND)


def test_an_answer_is_believed_a_little_before_it_was_given_and_to_its_last_second() -> None:
    leaf = PKI.issue("desk")
    answers = [ocsp_answer(leaf, PKI.issuing_ec, published=AT + timedelta(minutes=5), lasts=HOUR)]
    lists = [PKI.crl(PKI.root)]
    material = a_trust(a_sender(enrolled(leaf)), crls=lists).material
    trust = Trust(replace(material, fetched=Fetched(answers=tuple(answers))))
    last = AT + timedelta(minutes=65)
    assert proven(trust, signed_by(leaf), at=AT)
    assert proven(trust, signed_by(leaf), at=last)
    for moment in (AT - SECOND, last + SECOND):
        with pytest.raises(TrustUndetermined):
            proven(trust, signed_by(leaf), at=moment)


def test_of_encryption_certificates_the_newest_counts_not_the_last_enrolled() -> None:
    encrypt = CertificateUse.ENCRYPT
    newer, older = PKI.issue("b", usage="encrypt", starts=-DAY), PKI.issue("a", usage="encrypt", starts=-2 * DAY)
    for several in ((newer, older), (older, newer)):
        sender = a_sender(*(enrolled(one, encrypt) for one in several))
        assert a_trust(sender).encryption_certificate(sender, AT) == newer.der
    alone = a_sender(enrolled(older, encrypt))
    assert a_trust(alone).encryption_certificate(alone, AT) == older.der
    assert a_trust(a_sender()).encryption_certificate(a_sender(), AT) is None


def test_what_is_remembered_is_not_searched_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    def counted(*args: object) -> None:
        nonlocal searched
        searched += 1
        check_issued(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(path_module, "check_issued", counted)
    leaf = PKI.issue("desk")
    sender = a_sender(enrolled(leaf), enrolled(leaf, CertificateUse.ENCRYPT))
    trust = a_trust(sender)
    for _ in range(2):
        assert proven(trust, signed_by(leaf))
        assert searched == 2, "the holder's and the authority's"
    for _ in range(2):
        assert trust.encryption_certificate(sender, AT) == leaf.der
        assert searched == 4, "for another use it is proven anew"


def test_senders_that_one_certificate_may_be_are_told() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("other")
    trust = a_trust(a_sender(enrolled(leaf)), a_sender(enrolled(other), code="AUTRE"))
    with pytest.raises(TrustError) as caught:
        proven(trust, signed_by(leaf), signed_by(other))
    assert caught.value.detail == "AUTRE, MAIRIE"


def test_an_anchor_that_signs_itself_is_refused_for_that() -> None:
    anchor = PKI.self_signed("anchor and holder")
    trust = a_trust(a_sender(enrolled(anchor)), anchors=[PKI.root.identity.der, anchor.der])
    with pytest.raises(TrustError, match="itself an anchor"):
        proven(trust, signed_by(anchor))


def test_a_successor_may_do_what_the_former_one_may_do_now() -> None:
    former, new = PKI.issue("former"), PKI.issue("new")
    sign, encrypt = CertificateUse.SIGN, CertificateUse.ENCRYPT
    for standing, uses in ((Standing.ACTIVE, (sign, encrypt)), (Standing.SUSPENDED, (sign,))):
        trust = a_trust(a_sender(enrolled(former), enrolled(former, encrypt, standing)))
        assert trust.check_successor(signed_by(new), (), former.fingerprint, received_at=AT, at=AT) == uses


def test_what_signs_for_the_sender_already_may_be_offered_again_and_what_signs_for_nobody_now_may_not() -> None:
    former, leaf = PKI.issue("former"), PKI.issue("new")
    new, encrypt, suspended = enrolled(leaf), CertificateUse.ENCRYPT, Standing.SUSPENDED

    def offered(*certificates: EnrolledCertificate, others: tuple[EnrolledSender, ...] = ()) -> object:
        trust = a_trust(a_sender(enrolled(former), *certificates), *others)
        return trust.check_successor(signed_by(leaf), (), former.fingerprint, received_at=AT, at=AT)

    assert offered(new) == (CertificateUse.SIGN,)
    for refused in (enrolled(new.der, encrypt), replace(new, standing=suspended)):
        with pytest.raises(TrustError, match="enrolled already"):
            offered(refused)
    with pytest.raises(TrustError, match="enrolled already"):
        offered(others=(a_sender(new, code="AUTRE"),))


def test_what_is_kept_of_an_enrolment_is_the_certificate_that_signed() -> None:
    signs, other = enrolled(PKI.issue("desk")), enrolled(PKI.issue("other"))
    for_answers = enrolled(signs.der, CertificateUse.ENCRYPT)
    kept = enrolment_of(a_sender(signs, other, for_answers), signs.der)
    assert kept.certificates == (signs,)


def test_a_policy_demands_nothing_that_it_does_not_say() -> None:
    said = PathPolicy()
    assert not any(getattr(said, field.name) for field in fields(said))
