"""IMAP's grammar: names and sets that we write, responses that we read; for any octets our own error or a value."""

import base64
import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.imap_syntax import (
    UnreadableResponseError,
    capabilities,
    fetched,
    internal_date,
    mailbox_name,
    quoted,
    response_code,
    search_uids,
    uid_next,
    uid_set,
    uidvalidity,
)

uids = st.integers(1, 2**32 - 1)


def unquoted(text: str) -> str:
    assert text[0] == text[-1] == '"'
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def decoded(name: str) -> str:
    """Modified UTF-7 read back, as RFC 3501 section 5.1.3 says."""

    def shifted(match: re.Match[str]) -> str:
        packed = match[1].replace(",", "/")
        return base64.b64decode(packed + "=" * (-len(packed) % 4)).decode("utf-16-be") if packed else "&"

    return re.sub("&([^-]*)-", shifted, name)


def expanded(text: str) -> list[int]:
    ranges = [part.split(":") for part in text.split(",")]
    return [uid for bounds in ranges for uid in range(int(bounds[0]), int(bounds[-1]) + 1)]


# What we write


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_a_quoted_string_reads_back(text: str) -> None:
    assert unquoted(quoted(text)) == text
    assert re.fullmatch(r'"([^"\\]|\\["\\])*"', quoted(text))


@pytest.mark.parametrize("text", ["a\r\nX1 LOGOUT", "a\0", "é", "\x7f"])
def test_a_quoted_string_never_holds_what_would_end_the_line(text: str) -> None:
    with pytest.raises(ValueError):
        quoted(text)


@given(st.text())
def test_a_folder_name_reads_back_from_modified_utf7(name: str) -> None:
    written = mailbox_name(name)
    assert written.isascii()
    assert written.isprintable()
    assert decoded(unquoted(written)) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("INBOX", '"INBOX"'),
        ("~peter/mail/台北/日本語", '"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'),
        ("R&D", '"R&-D"'),
        ("Traités & 😀", '"Trait&AOk-s &- &2D3eAA-"'),
        ('a"b\\', '"a\\"b\\\\"'),
    ],
)
def test_folder_names_are_written_as_in_rfc_3501(name: str, written: str) -> None:
    assert mailbox_name(name) == written


@given(st.lists(st.integers(1, 60), min_size=1))
def test_a_set_of_uids_holds_each_once_and_is_as_short_as_can_be(some: list[int]) -> None:
    text = uid_set(some)
    assert expanded(text) == sorted(set(some))
    gaps = sum(uid + 1 not in some for uid in set(some))
    assert len(text.split(",")) == gaps


def test_an_empty_set_of_uids_cannot_be_written() -> None:
    with pytest.raises(ValueError):
        uid_set([])


# Status and search


@given(st.lists(uids))
def test_search_results_come_in_order_whatever_the_line_they_stand_in(some: list[int]) -> None:
    words = b" ".join(b"%d" % uid for uid in some)
    for lines in ([words], [b"SEARCH " + words], [b"SEARCH", words, b"5 EXISTS"]):
        assert search_uids(lines) == tuple(sorted(set(some)))


@pytest.mark.parametrize("lines", [[], [b"5 EXISTS"], [b"BAD SEARCH 7"], [b"\xd3EA\xd2CH 7"]])
def test_no_search_response_is_not_one_that_finds_nothing(lines: list[bytes]) -> None:
    assert search_uids(lines) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[TRYCREATE] no such mailbox", "TRYCREATE"),
        (b"[uidvalidity 5] ok", "UIDVALIDITY"),
        (b"no [TRYCREATE]", ""),
        (b"[", ""),
        (b"", ""),
    ],
)
def test_the_response_code_stands_at_the_beginning(text: bytes, code: str) -> None:
    assert response_code(text) == code


def test_uidvalidity_is_taken_from_select() -> None:
    assert uidvalidity([b"3 EXISTS", b"OK [UIDVALIDITY 1795567410] UIDs valid", b"[READ-WRITE] done"]) == 1795567410
    with pytest.raises(UnreadableResponseError):
        uidvalidity([b"3 EXISTS", b"[READ-WRITE] done"])


def test_the_next_uid_is_taken_from_select_where_it_is_told() -> None:
    assert uid_next([b"3 EXISTS", b"ok [uidnext 4801] predicted", b"[READ-WRITE] done"]) == 4801
    assert uid_next([b"3 EXISTS", b"[READ-WRITE] done"]) is None


def test_capabilities_are_compared_in_capitals() -> None:
    assert capabilities([b"IMAP4rev1 Move", b"uidplus"]) == {"IMAP4REV1", "MOVE", "UIDPLUS"}


# Dates


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2999, 1, 1)),  # noqa: DTZ001  # gets its zone below
    st.integers(-14 * 60, 14 * 60),
    st.booleans(),
)
def test_an_internal_date_becomes_the_same_instant_in_utc(naive: datetime, minutes: int, padded: bool) -> None:
    instant = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    month = months[3 * instant.month - 3 : 3 * instant.month]
    day = f"{instant.day:2d}" if padded else f"{instant.day:02d}"
    read = internal_date(f"{day}-{month}-{instant:%Y %H:%M:%S %z}".encode())
    assert read == instant
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        b"", b"31-Feb-2026 00:00:00 +0000", b"01-Foo-2026 00:00:00 +0000", b"01-Jan-2026 25:00:00 +0000",
        b"01-Jan-0001 00:00:00 +1400", b"01-Jan-2026 00:00:00 +9999", b"01-Jan-2026 00:00:00 +0000 ",
    ],
)  # fmt: skip
def test_what_is_no_date_is_unreadable(text: bytes) -> None:
    with pytest.raises(UnreadableResponseError):
        internal_date(text)


# FETCH


def a_string(octets: bytes, *, literal: bool) -> list[bytes | bytearray]:
    """The parts of a response that give these octets: text, or text that announces a literal, and the literal."""
    if literal:
        return [b"{%d}" % len(octets), bytearray(octets), b""]
    return [b'"' + re.sub(rb'(["\\])', rb"\\\1", octets) + b'"']


def joined(pieces: Sequence[Sequence[bytes | bytearray]]) -> list[bytes | bytearray]:
    """Lines as the protocol collects them: text runs together until a literal comes."""
    lines: list[bytes | bytearray] = [b""]
    for piece in pieces:
        lines[-1] += piece[0]
        lines.extend(piece[1:])
    return lines


quotable = st.binary(max_size=30).map(lambda octets: re.sub(rb"[\r\n]", b".", octets))
others: st.SearchStrategy[list[bytes | bytearray]] = st.sampled_from(
    [
        [b"FLAGS (\\Seen $odd [x)"],
        [b"FLAGS ()"],
        [b'ENVELOPE (NIL "* 1 (" ((NIL NIL "a" "b")) NIL)'],
        [b"BODY[HEADER.FIELDS (DATE FROM)]<0> ", *a_string(b")\r\nUID 9", literal=True)],
        [b"MODSEQ (917162500)"],
        [b"X-GM-MSGID 12"],
    ]
)


@st.composite
def responses(draw: st.DrawFn) -> tuple[list[bytes | bytearray], int, int, bytes | None]:
    uid, size = draw(uids), draw(st.integers(0, 2**40))
    body = draw(st.none() | st.binary(max_size=60) | quotable)
    literal = body is not None and (b"\r" in body or b"\n" in body or draw(st.booleans()))
    octets: list[bytes | bytearray] = [b"NIL"] if body is None else a_string(body, literal=literal)
    name = draw(st.sampled_from([b"BODY[] ", b"BODY[]<0> ", b"body[]<0> "]))
    items: list[list[bytes | bytearray]] = [[b"UID %d" % uid], [b"RFC822.SIZE %d" % size]]
    items.append([name + octets[0], *octets[1:]])
    extra = [draw(others) for _ in range(draw(st.integers(0, 2)))]
    items.extend([b"".join(piece[:2]), *piece[2:]] if len(piece) > 1 else list(piece) for piece in extra)
    shuffled = draw(st.permutations(items))
    pieces: list[list[bytes | bytearray]] = [[b"%d FETCH (" % draw(uids)]]
    for number, item in enumerate(shuffled):
        pieces.append([b" " if number else b""])
        pieces.append(item)
    return joined([*pieces, [b")"]]), uid, size, body


@given(st.lists(responses(), max_size=4), st.booleans())
def test_fetch_responses_are_read_whatever_the_order_and_form_of_their_items(
    some: list[tuple[list[bytes | bytearray], int, int, bytes | None]], between: bool
) -> None:
    noise: list[bytes | bytearray] = [b"7 EXISTS", b"2 EXPUNGE", b"2 FETCH (FLAGS (\\Deleted))", b"OK still here"]
    lines = [line for one in some for line in [*(noise if between else []), *one[0]]]
    read = list(fetched(lines))
    assert [(items.uid, items.size_bytes, items.body) for items in read] == [one[1:] for one in some]


def test_an_internal_date_in_a_fetch_response_is_read() -> None:
    (items,) = fetched([b'1 FETCH (UID 7 INTERNALDATE " 1-Nov-2026 08:00:00 +0200")'])
    assert items.received_at == datetime(2026, 11, 1, 6, tzinfo=UTC)


fragments = st.sampled_from(
    b'1 FETCH (|(|)| |UID |5|BODY[]|<0>|NIL|"|[|]|{3}|{|RFC822.SIZE |INTERNALDATE |"01-Jan-2026 00:00:00 +0000"|\\|\xff'
    .split(b"|")
)  # fmt: skip
odd_lines = st.lists(st.lists(fragments, max_size=12).map(b"".join) | st.binary(max_size=30).map(bytearray), max_size=8)


@given(odd_lines)
def test_any_lines_give_items_or_our_own_error(lines: list[bytes]) -> None:
    try:
        for items in fetched([b"1 FETCH (" + lines[0], *lines[1:]] if lines else []):
            assert items.uid >= 0
    except UnreadableResponseError:
        pass


@given(st.binary(max_size=60))
def test_any_octets_are_a_search_result_a_date_a_code_or_nothing(octets: bytes) -> None:
    assert all(uid >= 0 for uid in search_uids([octets]) or ())
    assert response_code(octets).isupper() or not response_code(octets)
    with contextlib.suppress(UnreadableResponseError):
        assert internal_date(octets).tzinfo is UTC


def test_deep_nesting_and_long_lines_are_read_without_recursion() -> None:
    depth = 20_000
    (items,) = fetched([b"1 FETCH (UID 3 BODYSTRUCTURE " + b"(" * depth + b")" * depth + b" RFC822.SIZE 4)"])
    assert (items.uid, items.size_bytes) == (3, 4)
