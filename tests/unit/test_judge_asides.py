"""What a judge is asked beside a verdict: who sent a mail, whether it still verifies, and many mails at once."""

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.demo.pki import Fault
from mailflow.mail import cms, entities
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.model import Accepted, Recognised, Recognition, Rejected, Undetermined
from tests.support.judging import (
    JUDGED_AT,
    LIMITS,
    RECEIVED_AT,
    a_dem,
    a_judge,
    a_mail,
    accepted,
    conseil,
    dem_name,
    dem_part,
    encrypted,
    explain,
    mailed,
    mairie,
    multipart,
    signed,
    stranger,
)
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_trust


def unjudged(raw: bytes, intake: int = 7) -> Unjudged:
    return Unjudged(intake=intake, raw=raw, received_at=RECEIVED_AT)


def altered() -> bytes:
    """After it was signed, the file got another name."""
    return a_mail().replace(b"-000001.xml", b"-000002.xml")


def without_lists() -> Judge:
    return a_judge(a_trust(mairie().enrolment(), crls=[]))


# Recognised


def recognised(raw: bytes, judge: Judge | None = None) -> Recognition:
    return (judge or a_judge()).recognise(unjudged(raw), JUDGED_AT)


def test_a_proven_sender_is_recognised_with_the_files_that_came() -> None:
    raw = mailed(encrypted(signed(multipart(dem_part(1), dem_part(2, surname="Petit")))))
    known = recognised(raw)
    assert isinstance(known, Recognised)
    assert known.reply == accepted(raw).reply
    assert (known.intake, known.size_bytes) == (7, len(raw))
    assert [(file.name, file.digest) for file in known.files] == [
        (dem_name(1), hashlib.sha256(a_dem()).hexdigest()),
        (dem_name(2), hashlib.sha256(a_dem("Petit")).hexdigest()),
    ]


def test_no_request_is_looked_into_to_recognise_a_sender() -> None:
    known = recognised(a_mail(entities.file_part(dem_name(), b"no XML", "application/xml")))
    assert isinstance(known, Recognised)
    assert [file.name for file in known.files] == [dem_name()]


def test_whom_nobody_can_answer_is_not_recognised() -> None:
    for raw in (
        b"",
        mailed(dem_part()),
        mailed(signed(dem_part(), stranger())),
        mailed(signed(dem_part()), "conseil@x.example"),
    ):
        assert recognised(raw) is None


def test_whose_certificate_may_be_revoked_is_to_be_recognised_later() -> None:
    known = recognised(a_mail(), without_lists())
    assert isinstance(known, Undetermined)
    assert known.anomaly.code is Code.REVOCATION_UNKNOWN


def with_certificate(octets: bytes) -> bytes:
    part = entities.file_part("CER59123-202603021000.pem", octets, "application/x-pem-file")
    return a_mail(multipart(dem_part(), part))


def test_who_is_recognised_is_answered_by_the_certificate_that_came_along() -> None:
    known = recognised(with_certificate(conseil().identity.pem))
    assert isinstance(known, Recognised)
    assert known.reply.encrypt_to == conseil().identity.der
    assert recognised(with_certificate(shared_pki().faulty(Fault.EXPIRED).pem)) is None


def test_a_certificate_for_the_answer_is_one_alone_and_fit_for_it() -> None:
    for octets, why in (
        (conseil().identity.pem * 2, "not one certificate in PEM"),
        (shared_pki().faulty(Fault.EXPIRED).pem, "CERTIFICATE_NOT_VALID_THEN"),
    ):
        verdict, steps = explain(with_certificate(octets))
        assert isinstance(verdict, Rejected)
        assert verdict.reply is not None
        assert verdict.reply.encrypt_to == mairie().identity.der, "the enrolled one"
        assert why in verdict.detail
        assert (steps[-1].name, steps[-1].passed) == ("answer certificate", False)


# Verified again


def test_what_was_accepted_verifies_again_whoever_is_enrolled_by_then() -> None:
    nobody = a_judge(a_trust(crls=[]))
    for raw in (a_mail(), a_mail(opaque=True), mailed(encrypted(signed(dem_part())))):
        verified = nobody.signed_again(unjudged(raw))
        assert not isinstance(verified, Code)
        assert verified.content == dem_part()
        assert [signer.certificate for signer in verified.signers] == [mairie().identity.der]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", Code.MAIL_UNREADABLE),
        (mailed(dem_part()), Code.NOT_SIGNED),
        (altered(), Code.CONTENT_ALTERED),
    ],
)
def test_why_a_mail_does_not_verify_any_more(raw: bytes, code: Code) -> None:
    assert a_judge().signed_again(unjudged(raw)) is code


def test_a_mail_whose_key_is_gone_does_not_verify_again() -> None:
    keyless = replace(a_judge(), keys=(conseil().decryption_key,))
    assert keyless.signed_again(unjudged(mailed(encrypted(signed(dem_part()))))) is Code.DECRYPTION_FAILED


# Many at once


def test_mails_are_judged_until_they_hold_what_one_may_hold() -> None:
    judge = a_judge(limits=replace(LIMITS, requests_max=3))
    mails = [
        unjudged(a_mail(dem_part(1)), 1),
        unjudged(mailed(dem_part(2)), 2),  # refused: it holds nothing
        unjudged(a_mail(dem_part(3, count=2, surname="Petit")), 3),
        unjudged(a_mail(dem_part(4, surname="Martin")), 4),
    ]
    verdicts = judge.judge_some(mails, JUDGED_AT)
    assert verdicts == [*[judge.judge(mail, JUDGED_AT) for mail in mails[:3]], None]
    assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True, False, True, False]
    assert judge.judge_some([mails[3], *mails[:2]], JUDGED_AT)[2] is not None, "one more may come"
    assert judge.judge_some([], JUDGED_AT) == []


def test_what_is_refused_does_not_count_among_the_requests() -> None:
    judge = a_judge(limits=replace(LIMITS, requests_max=2))
    refused = [unjudged(mailed(dem_part()), number) for number in range(3)]
    assert None not in judge.judge_some([*refused, unjudged(a_mail())], JUDGED_AT)


# Told to whoever asks why


def test_each_step_says_what_was_found() -> None:
    told = {step.name: step.detail for step in explain(mailed(encrypted(signed(dem_part(), opaque=True))))[1]}
    assert (told["mime"], told["from"]) == ("", "")
    assert told["signed"] == "opaque"
    assert told["signature"] == "ecdsa-sha256 sha256, lines as received"
    assert told["contents"] == "1 files, 1 requests, 0 questions"
    detached = {step.name: step.detail for step in explain(a_mail().replace(b"\r\n", b"\n"))[1]}
    assert detached["signed"] == "detached"
    assert detached["signature"] == "ecdsa-sha256 sha256, lines made canonical"


def test_a_refusal_is_told_with_its_code_and_reason() -> None:
    for raw, name, detail in (
        (mailed(dem_part()), "signed", ""),
        (mailed(encrypted(dem_part())), "signed", "encrypted only"),
        (mailed(encrypted(encrypted(signed(dem_part())))), "signed", "encrypted twice"),
        (altered(), "signature", ""),
    ):
        verdict, steps = explain(raw)
        assert isinstance(verdict, Rejected)
        code = verdict.anomalies[0].code
        assert (steps[-1].name, steps[-1].detail) == (name, f"{code} {detail}".strip())
        assert verdict.detail == detail


def test_a_mail_received_a_day_after_it_was_signed_is_in_time_and_judged_whenever() -> None:
    judge = a_judge()
    later = replace(unjudged(a_mail()), received_at=RECEIVED_AT + timedelta(days=1))
    assert isinstance(judge.judge(later, JUDGED_AT + timedelta(days=2)), Accepted)


# Structures in places where they do not belong


def of_cms(der: bytes) -> bytes:
    """An entity with this structure, whatever it is."""
    head = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.encodebytes(der).replace(b"\n", b"\r\n")


def step_and_code(raw: bytes) -> tuple[str, Code]:
    verdict, steps = explain(raw)
    assert isinstance(verdict, Rejected)
    return steps[-1].name, verdict.anomalies[0].code


def test_a_content_that_was_altered_inside_its_signature_is_refused() -> None:
    der = cms.sign(dem_part(), mairie().signing_key, at=AT, detached=False)
    assert isinstance(explain(mailed(of_cms(der)))[0], Accepted)
    changed = der.replace(b"-000001.xml", b"-000002.xml")
    assert step_and_code(mailed(of_cms(changed))) == ("signature", Code.CONTENT_ALTERED)


def test_an_envelope_in_the_place_of_a_signature_is_not_opened() -> None:
    signature = of_cms(cms.encrypt(signed(dem_part()), [shared_pki().service_ec.der], legacy=False))
    signature = signature.replace(b"pkcs7-mime", b"pkcs7-signature")
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
    entity = b"\r\n".join([head + b"--b", dem_part(), b"--b", signature, b"--b--", b""])
    for raw in (mailed(entity), mailed(encrypted(entity))):
        assert step_and_code(raw) == ("signature", Code.SIGNATURE_UNREADABLE)


def test_what_is_inside_an_envelope_is_one_content_with_one_signature() -> None:
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
    alone = b"\r\n".join([head + b"--b", dem_part(), b"--b--", b""])
    assert step_and_code(mailed(encrypted(alone))) == ("signed", Code.NOT_SIGNED)


def test_what_cannot_be_read_is_told_at_the_step_that_reads_it() -> None:
    junk = of_cms(b"junk")
    assert step_and_code(mailed(junk)) == ("signed", Code.SIGNATURE_UNREADABLE)
    assert step_and_code(mailed(encrypted(junk))) == ("signed", Code.SIGNATURE_UNREADABLE)
    no_mail = b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"
    assert step_and_code(mailed(encrypted(no_mail))) == ("decrypted", Code.MAIL_UNREADABLE)


def test_a_certificate_that_came_along_is_a_step_of_its_own() -> None:
    names = [step.name for step in explain(with_certificate(conseil().identity.pem))[1] if step.passed]
    assert names[-2:] == ["contents", "answer certificate"]
