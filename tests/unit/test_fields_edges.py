"""Where reading a header field ends: each limit holds to the character, and each form that can be read in two ways."""

import pickle

import pytest

from mailflow.core.anomalies import Code
from mailflow.mail.fields import (
    MimeError,
    addr_spec,
    count_addresses,
    media_type,
    parameters,
    plain_address,
    read_fields,
    usable_message_id,
    variants,
)


def refusal(action: object) -> tuple[Code, str]:
    """Why it is refused."""
    assert callable(action)
    with pytest.raises(MimeError) as caught:
        action()
    assert str(caught.value) == f"{caught.value.code.value}: {caught.value.detail}"
    return caught.value.code, caught.value.detail


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", "%C3%A9", "é"),
        ("UTF-8", "%C3%A9", "é"),
        ("us-ascii", "e", "e"),
        ("iso-8859-1", "%A4", "¤"),
        ("iso-8859-15", "%A4", "€"),
        ("windows-1252", "%80", "€"),
        ("", "e", "e"),
        ("utf-16", "e", ""),
    ],
)
def test_a_parameter_is_read_in_the_charsets_that_are_in_use(charset: str, octets: str, text: str) -> None:
    assert parameters(f"x; name*={charset}''{octets}") == {"name": text}


@pytest.mark.parametrize("value", ["utf-8", "utf-8'fr", "'", "e"])
def test_a_parameter_that_does_not_tell_its_charset_apart_says_nothing(value: str) -> None:
    assert parameters(f"x; name*={value}") == {"name": ""}
    assert parameters(f"x; name*0*={value}; name*1=b") == {"name": ""}


def test_only_the_first_section_of_a_parameter_tells_the_charset() -> None:
    assert parameters("x; name*0*=utf-8''%C3%A9; name*1='a'b; name*2*=c''d") == {"name": "é'a'bc''d"}
    assert parameters("x; name*0=utf-8''%41; name*1*=%42") == {"name": "utf-8''%41B"}
    assert parameters("x; name*0=a; name*2=c") == {"name": ""}
    assert parameters("x; name*=us-ascii''%C3") == {"name": "\ufffd"}


@pytest.mark.parametrize(
    "value", ["x; a=1; A=2", "x; a*0=1; a*0=2", "x; a*=us-ascii''1; a*0=2", "x; a*0*=us-ascii''1; a*0=2"]
)
def test_what_comes_twice_is_not_read(value: str) -> None:
    assert refusal(lambda: parameters(value)) == (Code.MAIL_UNREADABLE, "a parameter that comes twice")


def test_what_a_parameter_says_plainly_and_in_sections_may_differ() -> None:
    assert variants("x; a=1; a*=us-ascii''2", "a") == {"1", "2"}
    assert variants("x; a=1; a*=us-ascii''1; b=3", "a") == {"1"}
    assert variants("x; a=\"\"; a*=zip''2", "a") == variants("x", "a") == set()
    assert parameters("x; a=1; a*=us-ascii''2") == {"a": "2"}


def test_parameters_are_read_up_to_their_limit_and_their_quotes() -> None:
    longest = "x; name=" + "a" * (4096 - len("x; name="))
    assert parameters(longest) == {"name": "a" * (4096 - 8)}
    assert refusal(lambda: parameters(longest + "a"))[0] is Code.MAIL_LIMITS_EXCEEDED
    assert parameters('x; a="\\"; b=c\\\\"; d=e ; f = "g" ') == {"a": '"; b=c\\', "d": "e", "f": "g"}
    assert refusal(lambda: parameters('x; a="b')) == (Code.MAIL_UNREADABLE, "parameters that cannot be read")
    assert parameters("x") == parameters("") == {}
    assert parameters(";a=b") == {"a": "b"}


@pytest.mark.parametrize("value", ["", "text", "text/", "/plain", "a b/c", "text/plain x", "text/plain/x", ";a/b"])
def test_what_is_no_media_type_is_plain_text(value: str) -> None:
    assert media_type(value) == "text/plain"


def test_a_media_type_is_told_in_lower_case_without_its_parameters() -> None:
    assert media_type(" Application/PKCS7-Mime ; name=a/b") == "application/pkcs7-mime"


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"Subject", "a header line that is no field"),
        (b"Sub ject: x", "a header line that is no field"),
        (b": x", "a header line that is no field"),
        (b" folded: first", "a header line that is no field"),
        (b"A: b\r\n\r\nC: d", "a header line that is no field"),
        (b"A: b\rC: d", "bare CR or NUL in a header"),
        (b"A: b\0", "bare CR or NUL in a header"),
    ],
)
def test_a_header_that_holds_anything_but_fields_is_not_read(block: bytes, why: str) -> None:
    assert refusal(lambda: read_fields(block)) == (Code.MAIL_UNREADABLE, why)


def test_fields_are_unfolded_in_their_order() -> None:
    block = b"B \t: 1\r\n\t2\r\n  3\r\na:\xff\nB:\r\n"
    assert read_fields(block) == (("b", "1\t2  3"), ("a", "\ufffd"), ("b", ""))
    assert read_fields(b"") == ()


@pytest.mark.parametrize("mark", [",", ";", ":", "\\"])
def test_what_may_be_a_list_a_group_or_a_route_is_no_single_address(mark: str) -> None:
    assert addr_spec(f"Desk {mark} <desk@example.org>") is None
    assert addr_spec(f'"Desk {mark}a" <desk@example.org>') == "desk@example.org"


@pytest.mark.parametrize(
    "value",
    [
        "a > b <c@d.example>",
        '"unclosed a@b.example',
        'a@b.example "',
        "a@b.example \\",
        "(a\\) a@b.example",
        "a@b <c@d>",
    ],
)
def test_what_is_not_closed_or_pointed_at_twice_is_no_address(value: str) -> None:
    assert addr_spec(value) is None


def test_addresses_have_their_longest_form() -> None:
    domain = "@" + ".".join(["d" * 60] * 3)
    local = "a" * (254 - len(domain))
    assert len(local) > 64
    assert plain_address(local + domain) is None
    fitting = "a" * 64 + "@" + ("d" * 63 + ".") * 2 + "d" * (254 - 65 - 128)
    assert len(fitting) == 254
    assert plain_address(fitting) == fitting
    assert plain_address(fitting + "d") is None
    assert plain_address("a" + fitting) is None
    assert plain_address("a" * 65 + "@b.example") is None
    assert addr_spec("<a@b.example>".rjust(998)) == "a@b.example"
    assert addr_spec("<a@b.example>".rjust(999)) is None


def test_a_message_id_is_repeated_up_to_its_longest_form() -> None:
    longest = f"<{'a' * (250 - len('<@b.example>'))}@b.example>"
    assert usable_message_id(longest) == longest
    assert usable_message_id(longest.replace("<", "<a")) == ""


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("a@b", 1),
        ("a@b)", 1),
        ('a@b "open', 0),
        ("a@b (open", 0),
        ('"a\\"b@c" <d@e>', 1),
        ("a@b, c@d", 2),
        ('"x@y" <a@b> (c@d)', 1),
        ('"open a@b', 0),
        ("", 0),
        ("A: a@b, c@d;", 2),
    ],
)
def test_addresses_are_counted_outside_of_comments_and_quotes(value: str, count: int) -> None:
    assert count_addresses(value) == count


def test_an_error_travels_to_other_processes() -> None:
    error = MimeError(Code.MAIL_UNREADABLE, "why")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.detail) == (error.code, "why")
