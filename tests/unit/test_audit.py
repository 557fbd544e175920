"""The audit mailbox decides a doubtful send by the body of the copies, and by the time that is left."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.audit import Verdict, body_digest, decide

SINCE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WAIT = timedelta(minutes=75)
RESERVE = timedelta(hours=2)
SENDING_MAX = timedelta(minutes=20)
SENT = b"From: a@example.test\r\nMessage-ID: <1@example.test>\r\n\r\nNumber 059\r\n\r\n.\r\n"
TRACE = b"Return-Path: <b@example.test>\r\nReceived: from x\r\n\tby y; today\r\n"


def judge(
    *copies: bytes,
    missed_at: datetime | None = SINCE,
    at: datetime = SINCE,
    deadline_at: datetime = SINCE + timedelta(hours=12),
    copies_before: int = 0,
) -> Verdict:
    return decide(
        copies,
        body_digest(SENT),
        copies_before=copies_before,
        since=SINCE,
        missed_at=missed_at,
        at=at,
        deadline_at=deadline_at,
        sending_max=SENDING_MAX,
        wait=WAIT,
        reserve=RESERVE,
    )


def test_a_copy_with_the_same_body_means_sent_whatever_was_added_on_the_way() -> None:
    assert judge(TRACE + SENT) is Verdict.SENT


def test_a_copy_counts_however_late_it_is() -> None:
    assert judge(SENT, at=SINCE + timedelta(days=2)) is Verdict.SENT


def test_another_body_under_our_message_id_is_no_copy() -> None:
    forged = SENT.replace(b"059", b"060")
    assert judge(forged) is Verdict.WAIT
    assert judge(forged, SENT) is Verdict.SENT


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (timedelta(0), Verdict.WAIT),
        (WAIT - timedelta(seconds=1), Verdict.WAIT),
        (WAIT, Verdict.RESEND),
    ],
)
def test_without_a_copy_the_same_octets_go_again_after_the_wait(after: timedelta, verdict: Verdict) -> None:
    assert judge(at=SINCE + after) is verdict


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        (RESERVE + timedelta(seconds=1), Verdict.WAIT),
        (RESERVE, Verdict.RESEND),
        (timedelta(hours=-1), Verdict.RESEND),
    ],
)
def test_without_a_copy_the_same_octets_go_again_while_the_reserve_is_left(left: timedelta, verdict: Verdict) -> None:
    at = SINCE + SENDING_MAX
    assert judge(at=at, deadline_at=at + left) is verdict


def test_what_was_missed_by_a_clock_that_was_behind_has_its_time_all_the_same() -> None:
    behind = SINCE - timedelta(days=3)
    assert judge(missed_at=behind, at=SINCE + WAIT - timedelta(seconds=1)) is Verdict.WAIT
    assert judge(missed_at=behind, at=SINCE + WAIT) is Verdict.RESEND


@pytest.mark.parametrize("left", [RESERVE, timedelta(0), timedelta(days=-3)])
def test_nothing_goes_again_at_the_first_look(left: timedelta) -> None:
    assert judge(missed_at=None, at=SINCE + timedelta(days=3), deadline_at=SINCE + left) is Verdict.WAIT


@pytest.mark.parametrize("left", [RESERVE, timedelta(0), timedelta(hours=-1)])
def test_however_urgent_nothing_goes_again_while_its_sender_may_be_at_it(left: timedelta) -> None:
    at = SINCE + SENDING_MAX - timedelta(seconds=1)
    assert judge(at=at, deadline_at=at + left) is Verdict.WAIT
    assert judge(SENT, at=at, deadline_at=at + left) is Verdict.SENT


def test_the_digest_ignores_how_a_server_stores_line_ends() -> None:
    assert body_digest(SENT.replace(b"\r\n", b"\n")) == body_digest(SENT)


def test_the_digest_ignores_empty_lines_at_the_end_but_not_in_between() -> None:
    assert body_digest(SENT + b"\r\n\r\n") == body_digest(SENT) == body_digest(SENT.removesuffix(b"\r\n"))
    assert body_digest(SENT.replace(b"059\r\n", b"059\r\n\r\n")) != body_digest(SENT)


def test_a_mail_without_a_header_has_its_body_after_the_empty_line() -> None:
    assert body_digest(b"\r\nx\r\n") == body_digest(b"A: b\r\n\r\nx\r\n")


def test_a_header_alone_has_an_empty_body() -> None:
    assert body_digest(b"A: b\r\n") == body_digest(b"A: b\r\n\r\n") != body_digest(b"A: b\r\n\r\nx\r\n")


BODIES = st.lists(st.binary(max_size=8).filter(lambda line: not set(line) & set(b"\r\n")), max_size=6)


@given(BODIES, BODIES)
def test_the_digests_of_two_bodies_are_equal_only_when_their_lines_are(first: list[bytes], second: list[bytes]) -> None:
    def lines(body: list[bytes]) -> bytes:
        return b"\r\n".join(body).rstrip(b"\r\n")

    same = body_digest(b"\r\n" + b"\r\n".join(first)) == body_digest(TRACE + b"\r\n" + b"\r\n".join(second))
    assert same == (lines(first) == lines(second))


@given(st.binary())
def test_any_octets_have_a_digest(raw: bytes) -> None:
    assert len(body_digest(raw)) == 64


def test_of_what_is_sent_once_more_only_a_further_copy_proves_that_it_went() -> None:
    assert judge(SENT, copies_before=1) is Verdict.WAIT
    assert judge(SENT, SENT, copies_before=1) is Verdict.SENT
    assert judge(SENT, at=SINCE + WAIT, copies_before=1) is Verdict.RESEND
    assert judge(SENT, deadline_at=SINCE, copies_before=1) is Verdict.WAIT, "its time was kept"
