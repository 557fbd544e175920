"""The judge on what a proven sender signed: faults are answered by name, and stop nothing that could be read."""

import hashlib
import io
import zipfile
from dataclasses import replace

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Fault
from mailflow.mail import entities
from mailflow.mail.attachments import ContentLimits
from mailflow.mail.model import Rejected
from mailflow.wire.management import QuestionElement
from tests.support.judging import (
    LIMITS,
    MAIRIE,
    SERVICE,
    a_dem,
    a_ges,
    a_judge,
    a_mail,
    accepted,
    dem_name,
    dem_part,
    explain,
    ges_part,
    mailed,
    mairie,
    multipart,
    refused,
    signed,
)
from tests.support.pki import shared_pki
from tests.support.trust import a_trust, enrolled


def in_order(*parts: bytes) -> list[str]:
    """The names of the files that are read from a mail with these parts."""
    return [file.name for file in accepted(a_mail(multipart(*parts))).submission.files]


def a_zip(*files: tuple[str, bytes]) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return octets.getvalue()


def cer_part(content: bytes, name: str = "CER59123-202603021000.pem") -> bytes:
    return entities.file_part(name, content, "application/x-pem-file")


def test_several_files_are_read_in_order_and_text_is_for_people() -> None:
    text = entities.text_part("DEM59123: bonjour")
    assert in_order(text, dem_part(1), dem_part(2), text) == [dem_name(1), dem_name(2)]


def test_a_file_in_a_zip_is_read_like_one_beside_it() -> None:
    zipped = entities.file_part("demandes.zip", a_zip((dem_name(1), a_dem()), (dem_name(2), a_dem("Petit"))), "a/b")
    assert in_order(zipped, dem_part(3)) == [dem_name(1), dem_name(2), dem_name(3)]


def test_a_request_that_is_wrong_is_no_fault_of_the_mail() -> None:
    broken = entities.file_part(dem_name(1), b"<interfaceNuu", "application/xml")
    verdict = accepted(a_mail(multipart(broken, dem_part(2))))
    first, second = verdict.submission.files
    assert [anomaly.code for anomaly in first.anomalies] == [Code.XML_NOT_WELL_FORMED]
    assert (first.digest, second.anomalies) == (hashlib.sha256(b"<interfaceNuu").hexdigest(), ())


def test_a_file_with_a_wrong_name_is_read_so_that_it_can_be_answered() -> None:
    (file,) = accepted(a_mail(entities.file_part("demandes.xml", a_dem(), "text/xml"))).submission.files
    assert [anomaly.code for anomaly in file.anomalies] == [Code.FILE_NAME_WRONG]


def test_a_part_that_cannot_be_read_is_told_beside_the_files_that_can() -> None:
    broken = b'Content-Type: application/zip; name="b.zip"\r\n\r\nno zip\r\n'
    verdict = accepted(a_mail(multipart(broken, dem_part())))
    assert [anomaly.code for anomaly in verdict.anomalies] == [Code.PART_UNREADABLE]
    assert len(verdict.submission.files) == 1


WITHOUT_FILES = {
    "text only": (entities.text_part("Bonjour"), "MAIL_WITHOUT_REQUEST"),
    "a broken zip only": (entities.file_part("b.zip", b"no zip", "application/zip"), "PART_UNREADABLE"),
    "a path in a zip": (entities.file_part("b.zip", a_zip(("a/b.xml", b"")), "a/b"), "ZIP_REFUSED"),
    "a bomb": (entities.file_part("b.zip", a_zip(("DEM.xml", b"\0" * (1 << 19))), "a/b"), "ZIP_TOO_LARGE"),
    "broken MIME": (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n\r\n", "MAIL_UNREADABLE"),
    "too many files": (multipart(*(dem_part(n) for n in range(21))), "MAIL_TOO_MANY_REQUESTS"),
    "too many parts": (multipart(*[entities.text_part("x")] * 101), "MAIL_LIMITS_EXCEEDED"),
}


@pytest.mark.parametrize(("content", "code"), WITHOUT_FILES.values(), ids=WITHOUT_FILES.keys())
def test_a_proven_sender_is_told_why_nothing_could_be_read(content: bytes, code: str) -> None:
    assert refused(a_mail(content), answered=True) == ("contents", code)


def test_the_answer_to_a_refusal_says_what_was_signed() -> None:
    content = entities.text_part("Bonjour")
    verdict, _ = explain(a_mail(content))
    assert isinstance(verdict, Rejected)
    assert verdict.reply is not None
    assert verdict.reply.content_digest == hashlib.sha256(content).hexdigest()
    assert verdict.reply.recipient == MAIRIE


def test_a_mail_holds_so_many_requests_and_no_more() -> None:
    just = a_mail(multipart(dem_part(1, count=10), dem_part(2, count=10, surname="Petit")))
    assert len(accepted(just).submission.files) == 2
    more = a_mail(multipart(dem_part(1, count=10), dem_part(2, count=11, surname="Petit")))
    assert refused(more, answered=True) == ("contents", "MAIL_TOO_MANY_REQUESTS")


def test_questions_are_read_beside_requests_and_count_like_them() -> None:
    asked = [QuestionElement(file_name=dem_name())] * 10
    mail = a_mail(multipart(ges_part(*asked), dem_part(2, count=10)))
    verdict = accepted(mail)
    assert [file.name for file in verdict.submission.files] == [dem_name(2)]
    (file,) = verdict.inquiry.files
    assert (file.name, len(file.questions), verdict.requests) == (dem_name().replace("DEM", "GES"), 10, 20)
    assert verdict.inquiry.submitter == verdict.submission.submitter
    more = a_mail(multipart(ges_part(*asked), dem_part(2, count=11)))
    assert refused(more, answered=True) == ("contents", "MAIL_TOO_MANY_REQUESTS")


def test_questions_may_come_alone_or_in_a_zip() -> None:
    name = dem_name().replace("DEM", "GES")
    zipped = entities.file_part("questions.zip", a_zip((name, a_ges())), "application/zip")
    for content in (ges_part(), zipped):
        verdict = accepted(a_mail(content))
        assert verdict.submission.files == ()
        assert [file.name for file in verdict.inquiry.files] == [name]


def test_the_limits_are_those_of_the_settings() -> None:
    contents: ContentLimits = replace(LIMITS.contents, files_max=1)
    judge = a_judge(limits=replace(LIMITS, contents=contents))
    assert refused(a_mail(multipart(dem_part(1), dem_part(2))), judge, answered=True)[1] == "MAIL_TOO_MANY_REQUESTS"


# Whom the answer is encrypted to


def other_certificate() -> Identity:
    return shared_pki().issue("for-one-answer", usage="encrypt")


@pytest.mark.parametrize("form", ["pem", "der"])
def test_the_answer_goes_to_the_certificate_that_came_along(form: str) -> None:
    other = other_certificate()
    octets = other.pem if form == "pem" else other.der
    verdict = accepted(a_mail(multipart(cer_part(octets), dem_part())))
    assert verdict.reply.encrypt_to == other.der


UNFIT = {
    "expired": lambda: shared_pki().faulty(Fault.EXPIRED).pem,
    "revoked": lambda: shared_pki().faulty(Fault.REVOKED).pem,
    "of a stranger": lambda: shared_pki().faulty(Fault.OTHER_AUTHORITY).pem,
    "for signing only": lambda: shared_pki().issue("signs-only", usage="sign").pem,
    "of unknown revocation": lambda: shared_pki().faulty(Fault.MISSING_CRL).pem,
    "no certificate": lambda: b"bonjour",
    "empty": lambda: b"",
    "two in one file": lambda: other_certificate().pem * 2,
    "DER with something behind": lambda: other_certificate().der + b"\0",
}


@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT.keys())
def test_a_certificate_that_may_not_be_encrypted_to_refuses_the_mail(make: object) -> None:
    assert callable(make)
    raw = a_mail(multipart(cer_part(make()), dem_part()))
    assert refused(raw, answered=True) == ("answer certificate", "ANSWER_CERTIFICATE_REFUSED")
    verdict, _ = explain(raw)
    assert isinstance(verdict, Rejected)
    assert verdict.reply is not None
    assert verdict.reply.encrypt_to == mairie().identity.der, "the enrolled one serves for the refusal"


def test_two_certificates_are_one_too_many_and_the_enrolled_one_serves() -> None:
    pem = other_certificate().pem
    verdict = accepted(a_mail(multipart(cer_part(pem), cer_part(pem, "CER59123-202603021001.pem"), dem_part())))
    assert [anomaly.code for anomaly in verdict.anomalies] == [Code.MAIL_SEVERAL_CERTIFICATES]
    assert verdict.reply.encrypt_to == mairie().identity.der


def test_without_a_certificate_to_encrypt_to_the_mail_is_judged_all_the_same() -> None:
    """Its answer is then held, never sent in clear."""
    signs_only = replace(mairie().enrolment(), certificates=(enrolled(mairie().identity, CertificateUse.SIGN),))
    assert accepted(a_mail(), a_judge(a_trust(signs_only))).reply.encrypt_to is None


def test_the_message_id_of_an_answer_is_only_repeated_when_it_is_one() -> None:
    headers = b"From: %b\r\nMessage-ID: <a b@c>, <d@e>\r\nMIME-Version: 1.0\r\n" % MAIRIE.encode()
    assert accepted(headers + signed(dem_part())).reply.message_id == ""
    assert accepted(mailed(signed(dem_part()))).reply.message_id == "<1@mairie.example>"


def with_recipients(*fields: tuple[str, str]) -> bytes:
    return entities.mail([("From", MAIRIE), *fields, ("Message-ID", "<1@mairie.example>")], signed(dem_part()))


@pytest.mark.parametrize(
    "fields",
    [
        [("To", f"{SERVICE}, autre@mairie.example")],
        [("To", SERVICE), ("Cc", "autre@mairie.example")],
        [("To", SERVICE), ("To", "autre@mairie.example")],
        [("Cc", f"<{SERVICE}>, Autre <autre@mairie.example>")],
    ],
)
def test_a_mail_that_others_receive_as_well_is_read_and_its_sender_warned(fields: list[tuple[str, str]]) -> None:
    verdict = accepted(with_recipients(*fields))
    assert [anomaly.code for anomaly in verdict.anomalies] == [Code.OTHER_RECIPIENTS]
    assert not any(anomaly.blocks for anomaly in verdict.anomalies)
    assert len(verdict.submission.files) == 1


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("To", SERVICE)],
        [("To", f'"a@b, c@d" (e@f) <{SERVICE}>')],
        [("To", "alias-of-the-service@example.org")],
        [("To", "undisclosed-recipients:;")],
    ],
)
def test_a_mail_to_one_address_gives_no_cause_for_a_warning(fields: list[tuple[str, str]]) -> None:
    assert accepted(with_recipients(*fields)).anomalies == ()
