"""What OCSP answers can say of a certificate, who may give them, and which of them count."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from asn1crypto import core as asn1_core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY, Authority, Pki
from mailflow.mail.trust import TrustError, TrustUndetermined
from mailflow.mail.trust.answers import Answer, UnusableAnswer, question
from mailflow.mail.trust.revocation import CLOCK_SKEW, RevocationLists
from mailflow.mail.trust.sources import Pair, accept_answer
from tests.support.answers import GOOD, REVOKED, UNKNOWN, ocsp_answer
from tests.support.pki import AT

HOUR = timedelta(hours=1)
PKI = Pki(at=AT)
ISSUER = PKI.authority("issuer", by=PKI.root)
OTHER = PKI.authority("other", by=PKI.root)
LEAF = PKI.issue("leaf", by=ISSUER)
NO_CHECK = (x509.OCSPNoCheck(), False)
ANSWERS = (ExtendedKeyUsageOID.OCSP_SIGNING,)


def responder(name: str = "responder", *, by: Authority = ISSUER, checked: bool = False, **more: Any) -> Identity:
    """Certified for answering; with `checked` its own revocation counts."""
    more = {"extended_usage": ANSWERS, "usage": "sign", "extra": [] if checked else [NO_CHECK], **more}
    return PKI.issue(name, by=by, **more)


def answer(status: ocsp.OCSPCertStatus = GOOD, *, leaf: Identity = LEAF, **more: Any) -> bytes:
    return ocsp_answer(leaf, more.pop("issuer", ISSUER), status, **more)


def ends(*answers: bytes, lists: tuple[bytes, ...] = (), at: datetime = AT) -> str:
    """What is known of the leaf: `good`, `revoked` or `unknown`."""
    known = RevocationLists(lists, answers=answers)
    try:
        known.check([(LEAF.certificate, ISSUER.identity.certificate)], at)
    except TrustUndetermined:
        return "unknown"
    except TrustError as error:
        return "revoked" if error.code is Code.CERTIFICATE_REVOKED else error.code.name
    return "good"


def test_what_the_issuer_says_of_a_certificate_counts_until_its_next_update() -> None:
    assert [ends(answer(status)) for status in (GOOD, REVOKED, UNKNOWN)] == ["good", "revoked", "unknown"]
    assert ends(answer(hashed=hashes.SHA256())) == "good"
    last = AT - HOUR + DAY
    known = RevocationLists([], answers=[answer()])
    assert known.check([(LEAF.certificate, ISSUER.identity.certificate)], last) == last
    assert ends(answer(), at=last + timedelta(seconds=1)) == "unknown"
    assert ends(answer(REVOKED), at=last + 30 * DAY) == "revoked", "known is known"


def test_a_responder_that_the_issuer_certified_for_it_may_answer() -> None:
    assert [ends(answer(status, by=responder())) for status in (GOOD, REVOKED)] == ["good", "revoked"]
    rsa = responder(kind="rsa")
    assert ends(answer(by=rsa)) == "good"
    ended = responder(ends=HOUR)
    assert ends(answer(by=ended), at=AT + 2 * HOUR) == "unknown"
    assert ends(answer(REVOKED, by=ended), at=AT + 2 * HOUR) == "revoked", "it was said while it could be"


NOT_ITS_OWN: dict[str, Callable[[], Identity]] = {
    "without the usage": lambda: responder(extended_usage=(ExtendedKeyUsageOID.EMAIL_PROTECTION,)),
    "without any usage": lambda: responder(extended_usage=None),
    "that may not sign": lambda: responder(usage="encrypt"),
    "of another authority": lambda: responder(by=OTHER),
    "of the root": lambda: responder(by=PKI.root),
    "that is another authority": lambda: OTHER.identity,
    "whose certificate has ended": lambda: responder(ends=-DAY),
    "whose certificate has not begun": lambda: responder(starts=DAY),
    "that a namesake of the issuer certified": lambda: responder(by=PKI.authority("issuer", by=PKI.root)),
    "that is the holder": lambda: LEAF,
    "that the same key certified under another name": lambda: responder(
        by=PKI.authority("alias", by=PKI.root, key=ISSUER.identity.key)
    ),
}


@pytest.mark.parametrize("name", NOT_ITS_OWN)
def test_nobody_else_may_answer_neither_good_nor_revoked(name: str) -> None:
    signer = NOT_ITS_OWN[name]()
    assert [ends(answer(status, by=signer)) for status in (GOOD, REVOKED)] == ["unknown", "unknown"]


def test_a_responder_answers_from_the_first_to_the_last_second_of_its_certificate() -> None:
    brief = responder(starts=timedelta(0), ends=HOUR)
    moments = [AT - timedelta(seconds=1), AT, AT + HOUR, AT + HOUR + timedelta(seconds=1)]
    assert [ends(answer(by=brief), at=at) for at in moments] == ["unknown", "good", "good", "unknown"]


def test_whether_a_responder_is_revoked_is_asked_of_it_and_its_issuer() -> None:
    checked, issuer = responder(checked=True), ISSUER.identity.certificate
    one = Answer(answer(by=checked))
    assert one.is_by(issuer, AT, lambda *asked: asked == (checked.certificate, issuer))
    assert not one.is_by(issuer, AT, lambda *_: False)
    assert Answer(answer(by=responder())).is_by(issuer, AT, lambda *_: False), "this one need not be asked about"


def test_an_answer_of_the_issuer_about_a_namesake_in_number_says_nothing() -> None:
    same_number = PKI.issue("same number", by=OTHER, serial=LEAF.certificate.serial_number)
    for status in (GOOD, REVOKED):
        assert ends(answer(status, leaf=same_number, issuer=OTHER, by=ISSUER.identity)) == "unknown"


def test_an_answer_is_named_by_its_digest_and_its_hash_is_one_that_is_known() -> None:
    der = answer()
    assert Answer(der).digest == hashlib.sha256(der).digest()
    assert ends(answer(hashed=hashes.SHA384())) == "unknown"


def test_a_responder_can_be_revoked_itself() -> None:
    checked = responder(checked=True)
    assert ends(answer(by=checked)) == "unknown", "nobody vouches for it"
    fresh = PKI.crl(ISSUER)
    revoking = PKI.crl(Authority(identity=ISSUER.identity, revoked={checked.certificate.serial_number: AT - DAY}))
    known = RevocationLists([fresh], answers=[answer(by=checked)])
    assert known.check([(LEAF.certificate, ISSUER.identity.certificate)], AT) > AT
    partial = PKI.issue("partial", by=OTHER)
    assert ends(answer(by=checked, leaf=partial), lists=(revoking,)) == "good", "the list vouches, not the answer"
    stale = PKI.crl(Authority(identity=ISSUER.identity), published=AT - 30 * DAY)
    assert ends(answer(by=checked), lists=(stale,)) == "unknown"
    assert ends(answer(by=responder()), lists=(stale,)) == "good"


def test_whoever_says_revoked_is_believed() -> None:
    fresh = PKI.crl(ISSUER)
    revoking = PKI.crl(Authority(identity=ISSUER.identity, revoked={LEAF.certificate.serial_number: AT - DAY}))
    assert ends(answer(GOOD), lists=(revoking,)) == "revoked"
    assert ends(answer(REVOKED), lists=(fresh,)) == "revoked"
    assert ends(answer(UNKNOWN), lists=(fresh,)) == "good", "who does not know says nothing"
    assert ends(answer(GOOD), answer(REVOKED, by=responder())) == "revoked"


def test_what_is_about_somebody_else_says_nothing() -> None:
    namesake = PKI.authority("issuer", by=PKI.root)
    same_number = PKI.issue("same number", by=OTHER, serial=LEAF.certificate.serial_number)
    for other in (
        answer(leaf=PKI.issue("other", by=ISSUER)),
        answer(leaf=same_number, issuer=OTHER),
        answer(issuer=namesake),
    ):
        assert ends(other) == "unknown"


def test_what_cannot_be_used_is_named() -> None:
    for der, why in (
        (b"", "unreadable"),
        (ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(DER), "try_later"),
        (answer(lasts=None), "no nextUpdate"),
    ):
        with pytest.raises(UnusableAnswer, match=why):
            Answer(der)
        assert ends(der) == "unknown"


def rewritten(
    change: Callable[[asn1_ocsp.ResponseData], None], der: bytes | None = None, by: Authority = ISSUER
) -> bytes:
    """An answer that says something else as well, signed anew."""
    whole = asn1_ocsp.OCSPResponse.load(der or answer())
    basic = whole["response_bytes"]["response"].parsed
    change(basic["tbs_response_data"])
    key = by.identity.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    basic["signature"] = key.sign(basic["tbs_response_data"].dump(force=True), ec.ECDSA(hashes.SHA256()))
    whole["response_bytes"]["response"] = asn1_core.ParsableOctetString(basic.dump(force=True))
    return bytes(whole.dump(force=True))


def unknown_extension(critical: bool) -> dict[str, object]:
    return {"extn_id": "1.3.6.1.4.1.99999.1", "critical": critical, "extn_value": b"\x05\x00"}


def of_the_answer(data: asn1_ocsp.ResponseData, critical: bool) -> None:
    data["response_extensions"] = [unknown_extension(critical)]


def of_one(data: asn1_ocsp.ResponseData, critical: bool) -> None:
    data["responses"][0]["single_extensions"] = [unknown_extension(critical)]


def about_two(data: asn1_ocsp.ResponseData) -> None:
    data["responses"].append(data["responses"][0].copy())


def test_a_responders_certificate_that_somebody_else_sends_along_proves_nothing() -> None:
    for status in (GOOD, REVOKED):
        der = answer(status, by=responder())
        assert ends(rewritten(lambda _: None, der)) != "unknown", "the issuer may sign it anew"
        assert ends(rewritten(lambda _: None, der, by=OTHER)) == "unknown"


@pytest.mark.parametrize("where", [of_the_answer, of_one])
def test_what_must_be_understood_and_is_not_makes_an_answer_unusable(
    where: Callable[[asn1_ocsp.ResponseData, bool], None],
) -> None:
    assert ends(rewritten(lambda data: where(data, False))) == "good"
    with pytest.raises(UnusableAnswer, match=r"critical extension 1\.3\.6\.1\.4\.1\.99999\.1"):
        Answer(rewritten(lambda data: where(data, True)))


def test_an_answer_is_about_one_certificate() -> None:
    with pytest.raises(UnusableAnswer, match="about several certificates"):
        Answer(rewritten(about_two))


def test_an_answer_is_verified_once_as_long_as_the_same_algorithms_are_allowed() -> None:
    one = Answer(answer())
    issuer = ISSUER.identity.certificate
    assert [one.is_by(issuer, at, lambda *_: False) for at in (AT, AT + HOUR)] == [True, True]
    assert len(one._signed_by) == 1


DER = serialization.Encoding.DER
PAIR = Pair(LEAF.der, ISSUER.identity.der)
NONCE = bytes(32)


@pytest.mark.parametrize(
    ("der", "why"),
    [
        (lambda: answer(nonce=b"1" * 32), "answers another question"),
        (lambda: answer(leaf=PKI.issue("other", by=ISSUER)), "about another certificate"),
        (lambda: answer(published=AT + DAY), "published in the future"),
        (lambda: answer(by=LEAF), "not signed by the issuer, nor by a responder of its own"),
        (lambda: answer(published=AT - 2 * HOUR), "older than the one that is kept"),
    ],
)
def test_an_answer_that_may_not_take_the_place_of_the_kept_one(der: Callable[[], bytes], why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        accept_answer(der(), PAIR, NONCE, answer(), AT)


def test_the_nonce_of_the_question_comes_back_or_none() -> None:
    asked = ocsp.load_der_ocsp_request(question(*PAIR, NONCE))
    assert asked.serial_number == LEAF.certificate.serial_number
    stated = asked.extensions.get_extension_for_class(x509.OCSPNonce)
    assert (stated.value.nonce, stated.critical) == (NONCE, False)
    for nonce in (NONCE, None):
        assert accept_answer(answer(nonce=nonce), PAIR, NONCE, None, AT).says == "good"


def test_an_answer_as_new_as_the_kept_one_takes_its_place_a_little_before_its_time_too() -> None:
    for published in (AT - HOUR, AT, AT + CLOCK_SKEW):
        assert accept_answer(answer(published=published), PAIR, NONCE, answer(), AT).published == published
    with pytest.raises(UnusableAnswer, match="future"):
        accept_answer(answer(published=AT + CLOCK_SKEW + timedelta(seconds=1)), PAIR, NONCE, None, AT)


SAID = {"unknown": answer(UNKNOWN, by=responder()), "revoked": answer(REVOKED)}


@given(st.sampled_from(sorted(SAID)), st.integers(0, 10_000), st.integers(1, 255))
def test_no_change_of_an_answer_makes_a_certificate_good(said: str, place: int, change: int) -> None:
    """Parts of the wrapping are not signed: what they are does not matter, as long as nothing else is said."""
    der = bytearray(SAID[said])
    der[place % len(der)] ^= change
    assert ends(bytes(der)) in (said, "unknown")
