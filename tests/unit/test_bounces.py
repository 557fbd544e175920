"""What nobody answers is known by the marks that real servers give it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.mail.bounces import HOPS_MAX, Automatic, Bounce, Key, RecipientReport, bounced, classify
from mailflow.mail.mime import MimeError, MimeLimits, canonical, read

LIMITS = MimeLimits(header_bytes_max=65536, depth_max=8, parts_max=100)
SAMPLES = Path(__file__).parent.parent / "data" / "bounces"
FAILED = (RecipientReport(action="failed", status="5.1.1"),)


def classified(raw: bytes) -> Automatic | None:
    return classify(
        read(raw, LIMITS),
        own_addresses={"register@register.example"},
        own_message_id=lambda found: found.endswith("@register.example>"),
    )


def sample(name: str) -> bytes:
    return canonical((SAMPLES / f"{name}.eml").read_bytes())


@pytest.mark.parametrize(
    ("name", "bounce"),
    [
        (
            "postfix_failed",
            Bounce(
                envelope_id="b13e0cff5404220122bdae9fa172ea2019d42b2d",
                message_id="<a1b2c3d4.0@register.example>",
                verp="b13e0cff5404220122bdae9fa172ea2019d42b2d",
                recipients=FAILED,
            ),
        ),
        (
            "postfix_delayed",
            Bounce(
                envelope_id="b13e0cff5404220122bdae9fa172ea2019d42b2d",
                message_id="<a1b2c3d4.0@register.example>",
                verp="b13e0cff5404220122bdae9fa172ea2019d42b2d",
                recipients=(RecipientReport(action="delayed", status="4.4.1"),),
            ),
        ),
        (
            "exchange_failed",
            Bounce(
                message_id="<a1b2c3d4.1@register.example>",
                verp="30d14c659dab3039cb151c9e968003bbbf1f614c",
                recipients=(RecipientReport(action="failed", status="5.2.2"),),
            ),
        ),
        (
            "exim_plain",
            Bounce(
                message_id="<a1b2c3d4.2@register.example>",
                verp="470e788ea04d6de4ba5f74a06255928f59623ff8",
                recipients=(RecipientReport(action="failed", status=""),),
            ),
        ),
        (
            "exim_report",
            Bounce(
                message_id="<a1b2c3d4.3@register.example>",
                verp="eb5284a3154646b2fd5aa19920752c46e460c1e1",
                recipients=(RecipientReport(action="failed", status="5.0.0"),),
            ),
        ),
        (
            "gmail_failed",
            Bounce(
                message_id="<a1b2c3d4.4@register.example>",
                verp="a09df79c8894a736f47c203df1bc426182fb0f07",
                recipients=FAILED,
            ),
        ),
        (
            "qmail_plain",
            Bounce(message_id="<a1b2c3d4.7@register.example>", verp="3b5d5c3712955042212316173ccf37be80000001"),
        ),
        (
            "opensmtpd_delayed",
            Bounce(
                message_id="<a1b2c3d4.8@register.example>",
                verp="3b5d5c3712955042212316173ccf37be80000002",
                recipients=(RecipientReport(action="delayed", status="4.0.0"),),
            ),
        ),
        (
            "broken_report",
            Bounce(message_id="<a1b2c3d4.6@register.example>", verp="484cad86d2849bca56d6f1baa601c1dd7e2bfc2b"),
        ),
    ],
)
def test_a_bounce_tells_which_of_our_mails_it_is_about(name: str, bounce: Bounce) -> None:
    for raw in (sample(name), sample(name).replace(b"\r\n", b"\n")):
        found = classified(raw)
        assert found is not None
        assert found.code is Code.MAIL_IS_BOUNCE
        assert found.bounce == bounce
        assert found.bounce.failed is (not name.endswith("_delayed"))


ABOUT_US = (
    b"Action: failed\r\nOriginal-Recipient: rfc822;Register@register.example\r\nFinal-Recipient: rfc822; x@y.example"
)
ABOUT_A_DESK = b"Action: failed\r\nFinal-Recipient: rfc822;\r\n <answers@desk.example>\r\nStatus: 5.1.1"
FORWARDED_TO_US = (
    b"Action: failed\r\nFinal-Recipient: rfc822;register@register.example\r\n"
    b"Original-Recipient: rfc822;answers@desk.example\r\nStatus: 5.1.1"
)


@pytest.mark.parametrize(
    ("blocks", "recipients", "failed"),
    [
        ([ABOUT_US], (), False),
        ([ABOUT_US.replace(b"Original-R", b"X-R").replace(b"x@y", b"register@register")], (), False),
        ([ABOUT_US, ABOUT_A_DESK], FAILED, True),
        (
            [ABOUT_US, ABOUT_A_DESK.replace(b"failed", b"delayed")],
            (RecipientReport(action="delayed", status="5.1.1"),),
            False,
        ),
        ([FORWARDED_TO_US], FAILED, True),
        ([b"Action: failed\r\nStatus: 5.1.1"], FAILED, True),
        ([], None, True),
    ],
)
def test_what_a_report_says_of_a_mailbox_of_ours_is_no_failure(
    blocks: list[bytes], recipients: tuple[RecipientReport, ...] | None, failed: bool
) -> None:
    status = b"\r\n\r\n".join([b"Reporting-MTA: dns; mx.example", *blocks])
    found = classified(
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + status + b"\r\n\r\n--b--\r\n"
    )
    assert found is not None
    assert found.bounce == Bounce(recipients=recipients)
    assert found.bounce.failed is failed
    assert found.detail == "delivery status report" + " on a mailbox of ours" * (recipients == ())


@pytest.mark.parametrize(
    ("addresses", "failed"),
    [("Register@register.example", False), ("register@register.example,\r\n answers@desk.example", True)],
)
def test_so_it_is_without_a_report(addresses: str, failed: bool) -> None:
    found = classified(f"From: Mailer-Daemon@mx.example\r\nX-Failed-Recipients: {addresses}\r\n\r\n".encode())
    assert found is not None
    assert found.bounce is not None
    assert found.bounce.failed is failed


@pytest.mark.parametrize(
    ("mark", "body", "code"),
    [
        ("Auto-Submitted: auto-replied", "Bonjour", Code.MAIL_IS_AUTOMATIC),
        ("Auto-Submitted: Auto-Replied (vacation)", "Bonjour", Code.MAIL_IS_AUTOMATIC),
        ("Auto-Submitted: auto-replied", "Message-ID: <1@register.example>", Code.MAIL_IS_BOUNCE),
        ("Auto-Submitted: auto-replied\r\nX-Failed-Recipients: a@b.example", "Bonjour", Code.MAIL_IS_BOUNCE),
        ("Auto-Submitted: auto-generated (failure)", "Bonjour", Code.MAIL_IS_BOUNCE),
        ("In-Reply-To: <1@register.example>", "Bonjour", Code.MAIL_IS_BOUNCE),
    ],
)
def test_what_a_mail_daemon_replies_is_a_bounce_unless_it_only_replies(mark: str, body: str, code: Code) -> None:
    found = classified(f"From: Mailer-Daemon@mx.example\r\n{mark}\r\n\r\n{body}\r\n".encode())
    assert found is not None
    assert found.code is code


def test_the_keys_of_a_bounce_come_in_the_order_of_their_reliability() -> None:
    bounce = Bounce(envelope_id="a", message_id="<b@c>", verp="d")
    assert bounced(bounce) == ((Key.ENVELOPE_ID, "a"), (Key.MESSAGE_ID, "<b@c>"), (Key.VERP, "d"))
    assert bounced(Bounce(verp="d")) == ((Key.VERP, "d"),)
    assert bounced(Bounce()) == ()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("exchange_absent", Code.MAIL_IS_AUTOMATIC),
        ("exim_delayed", Code.MAIL_IS_AUTOMATIC),
        ("postmaster_absent", Code.MAIL_IS_AUTOMATIC),
        ("vacation_old", Code.MAIL_IS_AUTOMATIC),
        ("read_receipt", Code.MAIL_IS_AUTOMATIC),
        ("list", Code.MAIL_IS_BULK),
    ],
)
def test_automatic_and_bulk_mail_is_known(name: str, code: Code) -> None:
    found = classified(sample(name))
    assert found is not None
    assert (found.code, found.bounce) == (code, None)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Auto-Submitted: auto-generated", Code.MAIL_IS_AUTOMATIC),
        ("Auto-Submitted: auto-notified; owner-email=x", Code.MAIL_IS_AUTOMATIC),
        ("Return-Path: < >", Code.MAIL_IS_AUTOMATIC),
        ("X-Autoreply: yes", Code.MAIL_IS_AUTOMATIC),
        ("X-Loop: a", Code.MAIL_IS_AUTOMATIC),
        ("Precedence: auto_reply", Code.MAIL_IS_AUTOMATIC),
        ("Precedence: junk", Code.MAIL_IS_BULK),
        ("Feedback-ID: a:b", Code.MAIL_IS_BULK),
        ("X-Failed-Recipients: a@b.example", Code.MAIL_IS_BOUNCE),
        ("Message-ID: <1@register.example>", Code.MAIL_IS_OUR_OWN),
        ("Content-Type: multipart/report; report-type=feedback-report; boundary=b", Code.MAIL_IS_AUTOMATIC),
        ("Auto-Submitted: no", None),
        ("Return-Path: <agent@desk.example>", None),
        ("Precedence: first-class", None),
        ("Subject: Undelivered Mail Returned to Sender", None),
    ],
)
def test_each_mark_alone_decides(header: str, code: Code | None) -> None:
    found = classified(f"From: agent@desk.example\r\n{header}\r\n\r\nBonjour\r\n".encode())
    assert (found.code if found else None) is code


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("register@register.example", Code.MAIL_IS_OUR_OWN),
        ("Register <Register@Register.example>", Code.MAIL_IS_OUR_OWN),
        ("MAILER-DAEMON (Mail Delivery System)", Code.MAIL_IS_BOUNCE),
        ("Postmaster <postmaster@desk.example>", Code.MAIL_IS_BOUNCE),
        ("logement-list <bounces+12@lists.example>", Code.MAIL_IS_BOUNCE),
        ("no-reply@desk.example", Code.MAIL_IS_AUTOMATIC),
        ("Ne pas répondre <ne-pas-repondre@desk.example>", Code.MAIL_IS_AUTOMATIC),
        ("Postmaster General <general@desk.example>", None),
        ("bounces.team@desk.example", None),
        ("a@b.example, c@d.example", None),
    ],
)
def test_some_senders_are_known_by_their_address(sender: str, code: Code | None) -> None:
    found = classified(f"From: {sender}\r\n\r\nBonjour\r\n".encode())
    assert (found.code if found else None) is code


def test_a_mail_loops_after_one_hop_too_many() -> None:
    hop = b"Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0000\r\n"
    assert classified(b"From: a@b.example\r\n" + hop * HOPS_MAX + b"\r\n") is None
    found = classified(b"From: a@b.example\r\n" + hop * (HOPS_MAX + 1) + b"\r\n")
    assert found is not None
    assert found.code is Code.MAIL_LOOPS


def test_our_own_answer_come_back_is_known_as_ours_though_it_is_automatic_too() -> None:
    found = classified(b"From: x@y.example\r\nMessage-ID: <1@register.example>\r\nAuto-Submitted: auto-replied\r\n\r\n")
    assert found is not None
    assert found.code is Code.MAIL_IS_OUR_OWN


def test_nothing_of_a_report_but_its_keys_and_codes_is_kept() -> None:
    for path in sorted(SAMPLES.glob("*.eml")):
        found = repr(classified(canonical(path.read_bytes())))
        assert "desk.example" not in found, path.name
        assert "answers" not in found, path.name


LINES = st.sampled_from(
    [
        *(line for name in ("postfix_failed", "exim_plain", "gmail_failed") for line in sample(name).split(b"\r\n")),
        b"Original-Envelope-Id: \xff",
        b"Action:",
        b"From: \xff <<",
        b"X-Failed-Recipients: \x00",
    ]
)


@given(st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=60).map(b"\r\n".join)))
def test_any_mail_that_can_be_read_can_be_classified(raw: bytes) -> None:
    try:
        mail = read(raw, LIMITS)
    except MimeError:
        return
    found = classify(mail, own_addresses=set(), own_message_id=lambda _: False)
    assert found is None or (found.bounce is not None) == (found.code is Code.MAIL_IS_BOUNCE)


RECIPIENT = b"Action: failed\nOriginal-Recipient: ;\n \n\n"


@pytest.mark.parametrize(
    "filler", [b"+0123", b"Message-ID: <", b"\n ", b"Action:", b"From: a\r\n", b" \t", b"<", RECIPIENT]
)
def test_a_large_report_of_one_pattern_is_read_to_its_limit(filler: bytes) -> None:
    # A search that is quadratic in one of these would run for minutes.
    body = filler * ((1 << 20) // len(filler))
    head = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\nTo: " + b"bounce+0" * 5000
    part = b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + body + b"\r\n"
    found = classified(head + b"\r\n\r\n" + part + part.replace(b"delivery-status", b"rfc822") + b"--b--\r\n")
    assert found is not None
    assert found.code is Code.MAIL_IS_BOUNCE
