"""The reader of SMTP replies: however the octets come, they are the same replies, and what is none is told at once."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from aiosmtplib import SMTP, SMTPResponse, SMTPServerDisconnected
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.smtp_session import MALFORMED, REPLY_BYTES_MAX, Reader, Session

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(str.strip)
REPLIES = st.lists(
    st.builds(lambda code, texts: (code, texts), st.integers(100, 999), st.lists(TEXTS, min_size=1, max_size=3)),
    max_size=4,
)


def octets_of(replies: Sequence[tuple[int, Sequence[str]]], end: str = "\r\n") -> bytes:
    """As a server writes them."""
    lines = [
        f"{code}{'-' if n < len(texts) else ' '}{text}{end}"
        for code, texts in replies
        for n, text in enumerate(texts, 1)
    ]
    return "".join(lines).encode()


def read(octets: bytes, cuts: Sequence[int] = ()) -> tuple[list[SMTPResponse], Reader]:
    """Fed in pieces that end there."""
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    reader = Reader()
    return [reply for n, m in pairwise(places) for reply in reader.feed(octets[n:m])], reader


@given(REPLIES, st.lists(st.integers(0, 10_000)), st.sampled_from(["\r\n", "\n"]))
def test_however_they_come_they_are_the_same_replies(
    replies: list[tuple[int, list[str]]], cuts: list[int], end: str
) -> None:
    found, reader = read(octets_of(replies, end), cuts)
    assert [(one.code, one.message.split("\n")) for one in found] == replies
    assert reader.is_between_replies


LIKE_REPLIES = st.lists(
    st.sampled_from([b"250", b" ", b"-", b"ok", b"\r", b"\n", b"2", b"\xff", b"\0"]), max_size=40
).map(b"".join)


@given(st.binary(max_size=200) | LIKE_REPLIES, st.lists(st.integers(0, 200)))
def test_any_octets_mean_the_same_in_pieces_until_they_are_malformed(octets: bytes, cuts: list[int]) -> None:
    whole, _ = read(octets)
    pieces, _ = read(octets, cuts)
    end = next((n for n, reply in enumerate(whole, 1) if reply.code == MALFORMED), None)
    assert pieces[:end] == whole
    assert MALFORMED not in [reply.code for reply in whole[:-1]]
    if b"\n" in octets and not octets[:3].isdigit():
        assert whole[0].code == MALFORMED


def test_a_bare_code_is_a_reply() -> None:
    assert read(b"250\r\n")[0] == [SMTPResponse(250, "")]


def test_half_a_reply_is_none() -> None:
    for octets in (b"25", b"250 ok", b"250-ok\r\n", b"250-ok\r\n250"):
        found, reader = read(octets)
        assert (found, reader.is_between_replies) == ([], False)


def test_lines_of_one_reply_that_say_different_things_are_malformed() -> None:
    for octets in (b"550-no\r\n250 ok\r\n", b"250-a\r\n250-b\r\n550 c\r\n"):
        assert [reply.code for reply in read(octets)[0]] == [MALFORMED]


def test_a_reply_without_end_is_malformed() -> None:
    (endless,), _ = read(b"250 " + b"a" * REPLY_BYTES_MAX)
    assert endless.code == MALFORMED
    found, _ = read(b"250-a\r\n" * REPLY_BYTES_MAX)
    assert [reply.code for reply in found] == [MALFORMED]


def test_a_connection_that_is_gone_already_has_no_session() -> None:
    with pytest.raises(SMTPServerDisconnected):
        Session(SMTP(hostname="127.0.0.1"))
