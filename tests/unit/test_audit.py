"""The audit mailbox decides a doubtful send by the body of the copies, and by the time that is left."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.audit import GAPS_MIN, Verdict, body_digest, decide
from mailflow.register.clocks import APART_MAX
from mailflow.register.doubt import Missed

SINCE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WAIT = timedelta(minutes=75)
RESERVE = timedelta(hours=2)
SENDING_MAX = timedelta(minutes=20)
SENT = b"From: a@example.test\r\nMessage-ID: <1@example.test>\r\n\r\nNumber 059\r\n\r\n.\r\n"
TRACE = b"Return-Path: <b@example.test>\r\nReceived: from x\r\n\tby y; today\r\n"


def judge(
    *copies: bytes,
    missed_for: timedelta = timedelta(0),
    left: timedelta = timedelta(hours=12),
    copies_before: int = 0,
) -> Verdict:
    return decide(
        copies,
        body_digest(SENT),
        copies_before=copies_before,
        missed_for=missed_for,
        at=SINCE,
        deadline_at=SINCE + left,
        sending_max=SENDING_MAX,
        wait=WAIT,
        reserve=RESERVE,
    )


def test_a_copy_with_the_same_body_means_sent_whatever_was_added_on_the_way() -> None:
    assert judge(TRACE + SENT) is Verdict.SENT


def test_a_copy_counts_however_late_it_is() -> None:
    assert judge(SENT, missed_for=timedelta(days=2)) is Verdict.SENT


def test_another_body_under_our_message_id_is_no_copy() -> None:
    forged = SENT.replace(b"059", b"060")
    assert judge(forged) is Verdict.WAIT
    assert judge(forged, SENT) is Verdict.SENT


@pytest.mark.parametrize(
    ("left", "needed"),
    [
        (RESERVE + timedelta(seconds=1), WAIT),
        (RESERVE, WAIT / 2),
        (timedelta(hours=-1), WAIT / 2),
        (timedelta(days=-3), WAIT / 2),
    ],
)
def test_without_a_copy_the_same_octets_go_again_after_the_wait(left: timedelta, needed: timedelta) -> None:
    """However urgent, nothing goes again while its sender may be at it."""
    assert judge(missed_for=needed - timedelta(seconds=1), left=left) is Verdict.WAIT
    assert judge(missed_for=needed, left=left) is Verdict.RESEND
    assert judge(SENT, left=left) is Verdict.SENT


@pytest.mark.parametrize("left", [RESERVE, timedelta(days=-3)])
def test_one_more_look_is_never_enough(left: timedelta) -> None:
    first = Missed(SINCE, SINCE)
    second = first.again(SINCE + timedelta(days=3), WAIT / GAPS_MIN)
    assert judge(missed_for=first.time, left=left) is judge(missed_for=second.time, left=left) is Verdict.WAIT


GAPS = st.timedeltas(timedelta(days=-4), timedelta(days=4))


@given(st.lists(GAPS, min_size=1))
def test_a_copy_had_no_more_time_than_looks_bear_out(gaps: list[timedelta]) -> None:
    """Whatever clocks say, and how long ever nobody looked."""
    gap_max, at, missed = WAIT / GAPS_MIN, SINCE, Missed(SINCE, SINCE)
    for number, gap in enumerate(gaps, 1):
        at += gap
        before, missed = missed, missed.again(at, gap_max)
        assert timedelta(0) <= missed.time <= number * gap_max
        if at >= before.at:
            assert (missed.at, missed.time) == (at, before.time + min(at - before.at, gap_max))
        elif at >= before.at - APART_MAX:
            assert missed == before, "hosts differ by a little"
        else:
            assert missed == Missed(at, at), "which of the clocks is wrong cannot be known"


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
    assert judge(SENT, missed_for=WAIT, copies_before=1) is Verdict.RESEND
    assert judge(SENT, missed_for=SENDING_MAX, left=timedelta(0), copies_before=1) is Verdict.WAIT, "it left in time"
