"""Header fields: file names in all their forms, one plain From address, a Message-ID that can be repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.mail.fields import count_addresses, parameters
from mailflow.mail.mime import MimeError, MimeLimits, from_address, message_id, read

LIMITS = MimeLimits(header_bytes_max=65536, depth_max=8, parts_max=100)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"Content-Disposition: attachment; filename=a.xml", "a.xml"),
        (b'Content-Disposition: attachment;\r\n filename="a \\"b\\"; c.xml" ; size=3;', 'a "b"; c.xml'),
        (b"Content-Type: text/xml; name=a.xml", "a.xml"),
        (b"Content-Type: text/xml; name=b.xml\r\nContent-Disposition: attachment; filename=a.xml", "a.xml"),
        (b"Content-Disposition: attachment; filename*=utf-8'fr'%C3%A9t%C3%A9.xml", "été.xml"),
        (b"Content-Disposition: attachment; filename*=iso-8859-1''%E9.xml; filename=e.xml", "é.xml"),
        (b'Content-Disposition: attachment; filename*1=b.xml; filename*0="a;"', "a;b.xml"),
        (b"Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%A9; filename*2=%41", "é%41"),
        (b"Content-Disposition: attachment; filename*1=lost", ""),
        (b"Content-Disposition: attachment; filename*=zip''a", ""),
        (b"Content-Disposition: attachment; filename*=broken", ""),
        (b"Content-Disposition: attachment; ; x; filename=my logo.png", "my logo.png"),
        (b"Content-Disposition: attachment", ""),
        (b"X: y", ""),
    ],
)
def test_file_names_are_read_in_all_their_forms(header: bytes, name: str) -> None:
    assert read(header + b"\r\n\r\n", LIMITS).filename == name


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("Desk@Example.org", "desk@example.org"),
        ("<desk@example.org>", "desk@example.org"),
        ('"Logement, guichet; n° 1: a@b (c)" <desk@example.org>', "desk@example.org"),
        ('"other@example.net" <desk@example.org>', "desk@example.org"),
        ("Mairie de Besançon <desk@example.org>", "desk@example.org"),
        ("=?utf-8?q?other=40example.net?= <desk@example.org>", "desk@example.org"),
        ("(a <b@c>, (d)) desk@example.org (e\\) f)", "desk@example.org"),
        ("Desk\r\n <desk@example.org>", "desk@example.org"),
        ("o'neil+x_y=z@sub-1.example.org", "o'neil+x_y=z@sub-1.example.org"),
        ("desk@localhost", "desk@localhost"),
    ],
)
def test_one_plain_from_address_is_found(value: str, address: str) -> None:
    assert from_address(read(f"From: {value}\r\n\r\n".encode(), LIMITS)) == address


@pytest.mark.parametrize(
    "header",
    [
        "Subject: none",
        "From:",
        "From: <>",
        "From: Desk",
        "From: a@b.example, c@d.example",
        "From: A <a@b.example>, C <c@d.example>",
        "From: a@b.example\r\nFrom: a@b.example",
        "From: a@b.example c@d.example",
        "From: <a@b.example> <c@d.example>",
        "From: <a@b.example> c@d.example",
        "From: c@d.example <a@b.example>",
        "From: desks: a@b.example;",
        "From: undisclosed-recipients:;",
        "From: <@relay.example:a@b.example>",
        'From: "a b"@c.example',
        'From: "a@b.example',
        "From: (a@b.example",
        "From: a@b.example)",
        "From: <a@b.example",
        "From: a@b.example>",
        "From: <<a@b.example>>",
        "From: a@[127.0.0.1]",
        "From: a(x)@b.example",
        "From: a@(x)b.example",
        "From: a.@b.example",
        "From: .a@b.example",
        "From: a..b@c.example",
        "From: a@b..example",
        "From: a@-b.example",
        "From: a@b@c.example",
        "From: é@b.example",
        "From: a@bücher.example",
        "From: a@b.example\u200b",
        "From: \uff41@b.example",
        "From: a\uff20b.example",
        "From: =?utf-8?q?a=40b.example?=",
        "From: =?utf-8?q?a?=@b.example",
        "From: a\\@b.example",
        f"From: {'a' * 65}@b.example",
        f"From: a@{'b.' * 130}example",
        f"From: {'(' * 2000}a@b.example{')' * 2000}",
    ],
)
def test_anything_but_one_plain_from_address_is_ambiguous(header: str) -> None:
    with pytest.raises(MimeError) as caught:
        from_address(read(f"{header}\r\n\r\n".encode(), LIMITS))
    assert caught.value.code is Code.MAIL_FROM_AMBIGUOUS


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Message-ID: <a.b$c@d.example>", "<a.b$c@d.example>"),
        ("Message-ID:\r\n <a@[10.0.0.1]>", "<a@[10.0.0.1]>"),
        ("X: y", ""),
        ("Message-ID: <a@b.example>\r\nMessage-ID: <c@d.example>", ""),
        ("Message-ID: a@b.example", ""),
        ("Message-ID: <a@b.example> (x)", ""),
        ("Message-ID: <a b@c.example>", ""),
        ("Message-ID: <é@c.example>", ""),
        ("Message-ID: <a@b>\r\n <c@d>", ""),
        ("Message-ID: <a>", ""),
        (f"Message-ID: <{'a' * 250}@b>", ""),
    ],
)
def test_only_a_message_id_that_can_be_repeated_is_given(header: str, found: str) -> None:
    assert message_id(read(f"{header}\r\n\r\n".encode(), LIMITS)) == found


@given(st.text(max_size=300))
def test_for_any_text_a_from_field_gives_an_address_in_plain_ascii_or_none(value: str) -> None:
    try:
        address = from_address(read(b"From: " + value.encode("utf-8", "replace") + b"\r\n\r\n", LIMITS))
    except MimeError:
        return
    assert address.isascii()
    assert address.count("@") == 1
    assert address == address.strip().lower()


@given(st.text(max_size=300))
def test_for_any_text_addresses_are_counted(value: str) -> None:
    assert 0 <= count_addresses(value) <= value.count("@")


def test_a_parameter_whose_name_cannot_be_read_makes_the_mail_unreadable() -> None:
    with pytest.raises(MimeError) as caught:
        parameters("attachment; *=x")
    assert str(caught.value) == f"{Code.MAIL_UNREADABLE.value}: a parameter name that cannot be read"
