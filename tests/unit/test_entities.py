"""What is written can be read again, by us and by the standard library, and passes through SMTP unchanged."""

import email
import email.header
import email.policy
import email.utils
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.entities import LINE_OCTETS_MAX, Address, EntityError, date, file_part, mail, mixed, text_part
from mailflow.mail.mime import Entity, MimeLimits, from_address, message_id, read, walk

LIMITS = MimeLimits(header_bytes_max=65536, depth_max=8, parts_max=100)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=40)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=50)


def passes_smtp(raw: bytes) -> bool:
    """Whether no server on the way has a reason to touch it: seven bits, CRLF, lines within the limit."""
    lines = raw.split(b"\r\n")
    return (
        raw.isascii()
        and b"\0" not in raw
        and lines[-1] == b""
        and all(len(line) <= LINE_OCTETS_MAX and b"\r" not in line and b"\n" not in line for line in lines)
    )


def again(octets: bytes) -> Entity:
    return read(octets, LIMITS)


def decoded(piece: bytes | str, charset: str | None) -> str:
    """What the standard library says of a piece of a header."""
    return piece if isinstance(piece, str) else piece.decode(charset or "ascii")


@given(TEXTS)
def test_a_text_can_be_read_again(text: str) -> None:
    octets = text_part(text)
    assert passes_smtp(octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 76
    part = again(octets)
    assert (part.content_type, part.parameter("charset")) == ("text/plain", "utf-8")
    read_again = part.decoded(1 << 20).decode("utf-8")
    assert read_again == text.removesuffix("\n").replace("\n", "\r\n") + "\r\n"
    assert email.message_from_bytes(octets).get_payload(decode=True) == read_again.encode()


@pytest.mark.parametrize("text", ["From the desk", "x\nFrom here", ".", "a\n.\nb", "..", "blank \nat end\t", "--b"])
def test_lines_that_programs_change_on_the_way_are_escaped(text: str) -> None:
    body = again(text_part(text)).body
    assert not re.search(rb"(?m)^From |^\.|[ \t]\r?$", body)


def test_a_text_is_the_same_with_crlf_and_with_lf() -> None:
    assert text_part("a\r\nb\r\n") == text_part("a\nb")


@given(NAMES, st.binary(max_size=500))
def test_a_file_can_be_read_again(name: str, content: bytes) -> None:
    octets = file_part(name, content, "application/xml")
    assert passes_smtp(octets)
    part = again(octets)
    assert (part.content_type, part.filename, part.parameter("name")) == ("application/xml", name, name)
    assert part.decoded(500) == content
    assert max(map(len, part.body.split(b"\r\n"))) <= 76


def test_an_ascii_name_stands_there_as_it_is() -> None:
    name = "RET59123-202610011200-000001.xml"
    octets = file_part(name, b"<a/>", "application/xml; charset=utf-8")
    assert f'name="{name}"'.encode() in octets
    assert f'filename="{name}"'.encode() in octets
    assert again(octets).parameter("charset") == "utf-8"


@given(st.lists(st.one_of(TEXTS.map(text_part), st.binary(max_size=99).map(lambda x: file_part("a", x, "a/b")))))
def test_parts_come_out_of_a_multipart_as_they_went_in(parts: list[bytes]) -> None:
    octets = mixed(parts, "=_boundary")
    assert passes_smtp(octets)
    assert [part.octets for part in again(octets).parts] == parts


def test_multiparts_nest() -> None:
    octets = mixed([mixed([text_part("a")], "inner"), text_part("b")], "outer")
    assert [part.content_type for part in walk(again(octets))] == [
        "multipart/mixed",
        "multipart/mixed",
        "text/plain",
        "text/plain",
    ]


def test_a_mail_carries_its_headers_in_order_and_its_entity_unchanged() -> None:
    entity = mixed([text_part("Bonjour à tous"), file_part("a.xml", b"<a/>", "application/xml")], "b1")
    raw = mail(
        [
            ("From", "Service d’enregistrement <Register@register.example>"),
            ("To", "answers@desk.example"),
            ("Date", date(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))),
            ("Message-ID", "<a.1@register.example>"),
            ("Subject", "[école] Réponse à votre envoi 812"),
        ],
        entity,
    )
    assert passes_smtp(raw)
    assert raw.endswith(entity)
    found = again(raw)
    assert [name for name, _ in found.fields][:6] == ["from", "to", "date", "message-id", "subject", "mime-version"]
    assert from_address(found) == "register@register.example"
    assert message_id(found) == "<a.1@register.example>"
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert parsed["Subject"] == "[école] Réponse à votre envoi 812"
    assert parsed["From"].addresses[0].display_name == "Service d’enregistrement"
    assert parsed["Date"].datetime == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@given(st.lists(WORDS, min_size=1, max_size=30).map(" ".join))
def test_any_words_in_a_subject_can_be_read_again(value: str) -> None:
    raw = mail([("Subject", value)], text_part(""))
    assert passes_smtp(raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    unfolded = email.message_from_bytes(raw)["Subject"].replace("\r\n", "")
    assert "".join(decoded(*piece) for piece in email.header.decode_header(unfolded)) == value


@given(st.text(), st.text())
def test_no_header_can_be_injected(name: str, value: str) -> None:
    try:
        raw = mail([("Subject", "x"), (name, value)], text_part(""))
    except EntityError:
        return
    assert [found for found, _ in again(raw).fields if found not in ("content-type", "content-transfer-encoding")] == [
        "subject",
        name.lower(),
        "mime-version",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", "a\r\nBcc: x@y.example"),
        ("Subject", "a\nb"),
        ("Subject", "a\rb"),
        ("Subject", "a\0b"),
        ("Subject", "a\tb"),
        ("Subject", "a\x85b"),
        ("Subject", "a\u2028b"),
        ("Subject", "a\ud800b"),
        ("Subject", ""),
        ("Subject", " "),
        ("Subject", " a"),
        ("Sub ject", "a"),
        ("Subject:", "a"),
        ("Sujét", "a"),
        ("", "a"),
        ("Content-Type", "text/html"),
        ("Subject", "a" * LINE_OCTETS_MAX),
    ],
)
def test_an_unsafe_header_is_refused(name: str, value: str) -> None:
    with pytest.raises(EntityError):
        mail([(name, value)], text_part("x"))


@pytest.mark.parametrize(
    "entity",
    [
        b"",
        b"\r\nno line end",
        b"\r\nbare\nLF\r\n",
        b"\r\nbare\rCR\r\n",
        b"\r\n\x00\r\n",
        "\r\né\r\n".encode(),
        b"\r\n" + b"a" * 999 + b"\r\n",
    ],
)
def test_an_entity_that_smtp_would_change_is_refused(entity: bytes) -> None:
    with pytest.raises(EntityError):
        mail([("Subject", "x")], entity)


def test_a_line_of_the_greatest_length_is_not_refused() -> None:
    assert passes_smtp(mail([("Subject", "x")], b"\r\n" + b"a" * 998 + b"\r\n"))


@pytest.mark.parametrize("name", ["", "a\nb", "a\0", "a\u2028", "a\ud800", "é" * 101])
def test_an_unsafe_file_name_is_refused(name: str) -> None:
    with pytest.raises(EntityError):
        file_part(name, b"", "text/plain")


@pytest.mark.parametrize("content_type", ["", "text", "text/plain\r\nX: y", 'text/plain; a="b"', "text/plain;"])
def test_a_content_type_that_is_none_is_refused(content_type: str) -> None:
    with pytest.raises(EntityError):
        file_part("a", b"", content_type)


@pytest.mark.parametrize("boundary", ["", "a b", "a\r\n", "é", "a" * 71, 'a"b', "in-text"])
def test_a_boundary_that_is_illegal_or_stands_in_a_part_is_refused(boundary: str) -> None:
    with pytest.raises(EntityError):
        mixed([text_part("x --in-text x")], boundary)


@given(st.lists(st.text("aZé€\"\\,;:@<>()[].=?'-", min_size=1, max_size=30), min_size=1, max_size=9).map(" ".join))
def test_whatever_a_sender_is_called_there_is_one_address(name: str) -> None:
    raw = mail([("From", Address(name, "service@example.test"))], text_part("x"))
    assert passes_smtp(raw)
    (written, address), *others = email.utils.getaddresses([email.message_from_bytes(raw)["From"].replace("\r\n", "")])
    assert str(email.header.make_header(email.header.decode_header(written))) == name
    assert (address, others) == ("service@example.test", [])
    assert from_address(again(raw)) == "service@example.test"


def test_a_date_is_written_as_rfc_5322_wants_it() -> None:
    assert date(datetime(2026, 3, 5, 9, 7, 1, tzinfo=UTC)) == "Thu, 05 Mar 2026 09:07:01 +0000"
    assert date(datetime(2026, 3, 5, 9, 7, tzinfo=timezone(timedelta(hours=1)))) == "Thu, 05 Mar 2026 09:07:00 +0100"
    with pytest.raises(EntityError):
        date(datetime(2026, 3, 5))  # noqa: DTZ001 -- what must be refused
