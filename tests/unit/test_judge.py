"""The judge: each step of its checklist, what is answered and what is met with silence."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.core.model import Door, Standing
from mailflow.demo.pki import Fault
from mailflow.mail import entities
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Accepted, Rejected
from tests.support.judging import (
    CONSEIL,
    JUDGED_AT,
    MAIRIE,
    RECEIVED_AT,
    SERVICE,
    Software,
    a_judge,
    a_mail,
    accepted,
    conseil,
    dem_name,
    dem_part,
    encrypted,
    everybody,
    explain,
    mailed,
    mairie,
    multipart,
    refused,
    signed,
    stranger,
    undetermined,
)
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_trust

WAYS = {
    "detached": mailed(signed(dem_part())),
    "opaque": mailed(signed(dem_part(), opaque=True)),
    "detached, encrypted": mailed(encrypted(signed(dem_part()))),
    "opaque, encrypted": mailed(encrypted(signed(dem_part(), opaque=True))),
    "encrypted for old clients": mailed(encrypted(signed(dem_part()), legacy=True)),
}


@pytest.mark.parametrize("raw", WAYS.values(), ids=WAYS.keys())
def test_a_mail_in_order_becomes_a_submission(raw: bytes) -> None:
    verdict = accepted(raw)
    submission, reply = verdict.submission, verdict.reply
    assert (submission.intake, submission.door, submission.received_at) == (7, Door.MAIL, RECEIVED_AT)
    assert submission.submitter.sender == "mairie"
    assert submission.submitter.certificate == mairie().identity.fingerprint == reply.signer
    assert submission.submitter.trust_generation == everybody().material.directory.generation
    (file,) = submission.files
    assert (file.name, file.desk, file.anomalies) == (dem_name(), "59123", ())
    (request,) = file.requests
    assert request.anomalies == ()
    assert verdict.anomalies == ()
    assert (reply.sender, reply.recipient, reply.message_id) == ("mairie", MAIRIE, "<1@mairie.example>")
    assert (reply.encrypt_to, reply.legacy_encryption) == (mairie().identity.der, False)


def test_the_way_of_protection_changes_nothing_of_what_is_read() -> None:
    verdicts = [accepted(raw) for raw in WAYS.values()]
    assert len({verdict.submission for verdict in verdicts}) == 1
    assert len({verdict.reply.content_digest for verdict in verdicts}) == 1


def test_the_checklist_is_told_in_order() -> None:
    _, steps = explain(mailed(encrypted(signed(dem_part(), opaque=True))))
    names = [step.name for step in steps]
    ours = ["mime", "decrypted", "signed", "from", "signature", "layers", "contents"]
    assert [name for name in names if name in ours] == ours
    assert names.index("signature") < names.index("nothing on the paths is revoked") < names.index("layers")


def test_a_judge_says_the_same_with_and_without_reasons() -> None:
    mail = Unjudged(intake=7, raw=a_mail(), received_at=RECEIVED_AT)
    assert a_judge().judge(mail, JUDGED_AT) == a_judge().explain(mail, JUDGED_AT)[0]


def test_a_mail_is_not_shown_in_an_error() -> None:
    assert "Durand" not in repr(Unjudged(intake=7, raw=b"Durand", received_at=RECEIVED_AT))


# Steps 1 to 3: form, signature, From


def unsigned() -> bytes:
    return mailed(dem_part())


SILENT = {
    "no mail at all": (b"\0" * 70_000, "mime", "MAIL_LIMITS_EXCEEDED"),
    "two content types": (b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", "mime", "MAIL_UNREADABLE"),
    "not signed": (unsigned(), "signed", "NOT_SIGNED"),
    "encrypted only": (mailed(encrypted(dem_part())), "signed", "NOT_SIGNED"),
    "encrypted twice": (mailed(encrypted(encrypted(signed(dem_part())))), "signed", "LAYERING_REFUSED"),
    "encrypted, then signed": (mailed(signed(encrypted(dem_part()))), "layers", "LAYERING_REFUSED"),
    "signed, encrypted, signed": (mailed(signed(encrypted(signed(dem_part())))), "layers", "LAYERING_REFUSED"),
    "signed twice": (mailed(signed(signed(dem_part()), boundary="twice")), "layers", "LAYERING_REFUSED"),
    "signed part inside a mixed one": (mailed(multipart(signed(dem_part()))), "signed", "NOT_SIGNED"),
    "no From": (mailed(signed(dem_part()), sender=None), "from", "MAIL_FROM_AMBIGUOUS"),
    "two From fields": (
        mailed(signed(dem_part()), headers=[("From", MAIRIE)]),
        "from",
        "MAIL_FROM_AMBIGUOUS",
    ),
    "two addresses": (mailed(signed(dem_part()), f"{MAIRIE}, {CONSEIL}"), "from", "MAIL_FROM_AMBIGUOUS"),
    "a group": (mailed(signed(dem_part()), f"mairie: {MAIRIE};"), "from", "MAIL_FROM_AMBIGUOUS"),
}


@pytest.mark.parametrize(("raw", "step", "code"), SILENT.values(), ids=SILENT.keys())
def test_whoever_is_not_proven_is_not_answered(raw: bytes, step: str, code: str) -> None:
    assert refused(raw, answered=False) == (step, code)


def test_a_signed_mail_forwarded_as_an_attachment_is_nothing() -> None:
    inside = b"Content-Type: message/rfc822\r\n\r\n" + a_mail()
    assert refused(mailed(inside), answered=False) == ("signed", "NOT_SIGNED")
    assert refused(mailed(multipart(inside)), answered=False) == ("signed", "NOT_SIGNED")


def test_a_mail_of_another_inside_ones_own_signature_is_not_opened() -> None:
    inside = b"Content-Type: message/rfc822\r\n\r\n" + mailed(signed(dem_part(), conseil()), CONSEIL)
    assert refused(mailed(signed(multipart(inside), boundary="around")), answered=True) == (
        "contents",
        "MAIL_WITHOUT_REQUEST",
    )


def test_what_is_encrypted_to_somebody_else_is_not_opened() -> None:
    strange = replace(a_judge(), keys=(conseil().decryption_key,))
    assert refused(mailed(encrypted(signed(dem_part()))), strange, answered=False) == (
        "decrypted",
        "DECRYPTION_FAILED",
    )


# Step 4: the signature


def test_an_altered_content_is_refused() -> None:
    raw = a_mail()
    assert refused(raw.replace(b"application/xml", b"application/XML"), answered=False) == (
        "signature",
        "CONTENT_ALTERED",
    )


def test_line_ends_that_a_relay_made_bare_are_made_whole() -> None:
    raw = a_mail()
    bare = raw.replace(b"\r\n", b"\n")
    assert accepted(bare).submission == accepted(raw).submission
    _, steps = explain(bare)
    assert [step.detail for step in steps if step.name == "signature"] == ["ecdsa-sha256 sha256, lines made canonical"]


def test_extra_parts_beside_the_signature_are_refused() -> None:
    raw = a_mail()
    extra = raw.replace(b"--outer--", b"--outer\r\n" + dem_part(2) + b"--outer--")
    assert refused(extra, answered=False) == ("signed", "CONTENT_DUPLICATED")


def test_what_stands_around_the_signed_part_is_not_seen() -> None:
    raw = a_mail()
    before = raw.replace(b"--outer\r\n", dem_part(2) + b"--outer\r\n", 1)
    after = raw + dem_part(2)
    assert accepted(before).submission == accepted(after).submission == accepted(raw).submission


# Step 5: trust


def test_a_certificate_that_nobody_enrolled_is_nobodys() -> None:
    raw = mailed(signed(dem_part(), stranger()))
    assert refused(raw, answered=False) == ("trust", "SIGNER_NOT_ENROLLED")


def test_an_address_of_another_sender_is_refused() -> None:
    assert refused(mailed(signed(dem_part()), CONSEIL), answered=False) == ("trust", "FROM_NOT_ENROLLED")


def test_a_suspended_sender_is_met_with_silence() -> None:
    suspended = a_judge(a_trust(replace(mairie().enrolment(), standing=Standing.SUSPENDED)))
    assert refused(a_mail(), suspended, answered=False) == ("trust", "SENDER_SUSPENDED")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.REVOKED, "CERTIFICATE_REVOKED"),
        (Fault.EXPIRED, "CERTIFICATE_NOT_VALID_THEN"),
        (Fault.OTHER_AUTHORITY, "PATH_REFUSED"),
        (Fault.ENCRYPTION_ONLY, "KEY_USAGE_REFUSED"),
    ],
)
def test_a_certificate_with_a_fault_is_refused_with_its_reason(fault: Fault, code: str) -> None:
    faulty = Software(identity=shared_pki().faulty(fault), address=MAIRIE, code="faulty")
    assert refused(mailed(signed(dem_part(), faulty)), a_judge(a_trust(faulty.enrolment())), answered=False) == (
        "trust",
        code,
    )


def test_without_revocation_data_it_cannot_be_told_yet() -> None:
    silent = Software(identity=shared_pki().faulty(Fault.MISSING_CRL), address=MAIRIE, code="silent")
    judge = a_judge(a_trust(silent.enrolment()))
    verdict = undetermined(mailed(signed(dem_part(), silent)), judge)
    assert verdict.anomaly.code is Code.REVOCATION_UNKNOWN
    _, steps = explain(mailed(signed(dem_part(), silent)), judge)
    assert (steps[-1].name, steps[-1].passed) == ("trust", False)


def test_the_signing_time_is_held_against_the_reception_and_not_the_judging() -> None:
    raw = a_mail()
    late = JUDGED_AT + timedelta(days=3)
    trust = a_trust(mairie().enrolment(), crls=shared_pki().crls(published=late - timedelta(hours=1)))
    judged = a_judge(trust).judge(Unjudged(intake=7, raw=raw, received_at=RECEIVED_AT), late)
    assert isinstance(judged, Accepted)
    played_late = Unjudged(intake=7, raw=raw, received_at=AT + timedelta(days=7, seconds=1))
    verdict = a_judge().judge(played_late, AT + timedelta(days=7, seconds=1))
    assert isinstance(verdict, Rejected)
    assert (verdict.anomalies[0].code, verdict.reply) == (Code.SIGNING_TIME_OUT_OF_WINDOW, None)


# Bounces, automatic replies, loops


def test_who_signs_is_heard_whatever_the_headers_say() -> None:
    """A desk's software may well send with `Auto-Submitted` and from a daemon's address."""
    marks = [("Auto-Submitted", "auto-replied"), ("Precedence", "bulk"), ("X-Failed-Recipients", "a@b.example")]
    assert accepted(mailed(signed(dem_part()), headers=marks)).submission == accepted(a_mail()).submission


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("Auto-Submitted", "auto-replied")], "MAIL_IS_AUTOMATIC"),
        ([("List-Id", "<a.b.example>")], "MAIL_IS_BULK"),
        ([("X-Failed-Recipients", "a@b.example")], "MAIL_IS_BOUNCE"),
        ([("Received", "from a by b")] * 31, "MAIL_LOOPS"),
    ],
)
def test_automatic_mails_are_told_apart_and_never_answered(headers: list[tuple[str, str]], code: str) -> None:
    assert refused(mailed(entities.text_part("Absent"), headers=headers), answered=False) == ("signed", code)


def test_a_bounce_names_the_mail_that_did_not_arrive() -> None:
    verdict, _ = explain(
        mailed(
            entities.text_part("Undelivered"),
            "MAILER-DAEMON@relay.example",
            [("In-Reply-To", "<ours@service.example>")],
        )
    )
    assert isinstance(verdict, Rejected)
    assert verdict.bounce is not None
    assert (verdict.bounce.message_id, verdict.bounce.failed) == ("<ours@service.example>", True)


def test_a_mail_of_ours_that_comes_back_is_known() -> None:
    text = entities.text_part("Réponse")
    assert refused(mailed(text, SERVICE), answered=False) == ("signed", "MAIL_IS_OUR_OWN")
    ours = entities.mail([("From", CONSEIL), ("Message-ID", "<abc@SERVICE.example>")], text)
    assert refused(ours, answered=False) == ("signed", "MAIL_IS_OUR_OWN")
    other = entities.mail([("From", CONSEIL), ("Message-ID", "<abc@other-service.example>")], text)
    assert refused(other, answered=False) == ("signed", "NOT_SIGNED")


# Whatever comes


POISON = {
    "unknown charset": b'From: %b\r\nContent-Type: text/plain; charset="no-such"\r\n\r\n\xff\xfe\r\n',
    "no From": b"Content-Type: text/plain\r\n\r\nBonjour\r\n",
    "nesting of 400": b"From: %b\r\n"
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400)),
    "bad base64": b"From: %b\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
    "empty From": b"From: \r\nContent-Type: text/plain\r\n\r\nBonjour\r\n",
}


@pytest.mark.parametrize("raw", POISON.values(), ids=POISON.keys())
def test_mails_that_crash_parsers_are_set_aside(raw: bytes) -> None:
    step, code = refused(raw.replace(b"%b", MAIRIE.encode()), answered=False)
    assert (step, code) in {("signed", "NOT_SIGNED"), ("signed", "PART_UNREADABLE")}


@settings(max_examples=200)
@given(raw=st.binary(max_size=300))
def test_for_any_octets_there_is_a_verdict(raw: bytes) -> None:
    verdict, steps = explain(raw)
    assert isinstance(verdict, Rejected)
    assert verdict.reply is None
    assert not steps[-1].passed


RIGHT = list(WAYS.values())


@settings(max_examples=150)
@given(data=st.data())
def test_a_mail_that_was_damaged_is_read_as_before_or_refused(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(RIGHT))
    start = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(start, min(len(raw), start + 40)))
    damaged = raw[:start] + data.draw(st.binary(max_size=8)) + raw[end:]
    verdict, _ = explain(damaged)
    if isinstance(verdict, Accepted):
        assert verdict.submission == accepted(raw).submission
    else:
        assert isinstance(verdict, Rejected)
        assert verdict.reply is None
