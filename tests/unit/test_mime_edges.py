"""Where reading a mail ends: each limit holds to the octet, and each form that two readers could take differently."""

import pytest

from mailflow.core.anomalies import Code
from mailflow.mail.mime import (
    Entity,
    Glance,
    MimeError,
    MimeLimits,
    from_address,
    glance,
    has_other_recipients,
    is_cms,
    read,
    signed_parts,
    walk,
)

LIMITS = MimeLimits(header_bytes_max=1000, depth_max=2, parts_max=3)


def refusal(action: object) -> tuple[Code, str]:
    """Why it is refused."""
    assert callable(action)
    with pytest.raises(MimeError) as caught:
        action()
    assert str(caught.value) == f"{caught.value.code.value}: {caught.value.detail}"
    return caught.value.code, caught.value.detail


# Entities


def entity(headers: bytes, body: bytes = b"", limits: MimeLimits = LIMITS) -> Entity:
    return read(headers + b"\r\n\r\n" + body, limits)


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    """Header and body of a multipart."""
    between = b"\r\n--" + boundary + b"\r\n"
    return (
        b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n" + b"".join(between + part for part in parts)
    ) + (b"\r\n--" + boundary + b"--\r\n")


def test_a_header_is_read_up_to_its_limit() -> None:
    fits = b"A: " + b"x" * 997
    assert entity(fits).value("a") == "x" * 997
    assert read(fits, LIMITS).value("a") == "x" * 997, "without a body too"
    for line_end in (b"\n\n", b"\r\n\r\n"):
        assert read(fits + line_end + b"body", LIMITS).body == b"body"
        assert refusal(lambda line_end=line_end: read(fits + b"x" + line_end, LIMITS)) == (
            Code.MAIL_LIMITS_EXCEEDED,
            "a header block that is too large",
        )


def test_an_entity_without_a_header_is_a_body() -> None:
    for line_end in (b"\r\n", b"\n"):
        one = read(line_end + b"body", LIMITS)
        assert (one.fields, one.body, one.octets) == ((), b"body", line_end + b"body")
    assert read(b"", LIMITS).body == b""


@pytest.mark.parametrize("name", ["Content-Type", "Content-Transfer-Encoding", "content-disposition"])
def test_a_field_that_says_how_to_read_comes_once(name: str) -> None:
    again = f"{name}: a\r\nX: y\r\n{name}: a".encode()
    assert refusal(lambda: entity(again)) == (Code.MAIL_UNREADABLE, "a Content field that comes twice")
    assert entity(b"X: y\r\nX: z").values("x") == ("y", "z")


def test_as_many_parts_are_read_as_the_limits_say_and_as_deep() -> None:
    part = b"\r\nx"
    assert [one.body for one in read(multipart(part, part, part), LIMITS).parts] == [b"x"] * 3
    assert refusal(lambda: read(multipart(*[part] * 4), LIMITS).parts) == (Code.MAIL_LIMITS_EXCEEDED, "too many parts")
    deep = multipart(multipart(part, boundary=b"c"))
    assert [one.depth for one in walk(read(deep, LIMITS))] == [0, 1, 2]
    assert refusal(
        lambda: [*walk(read(multipart(multipart(multipart(part, boundary=b"d"), boundary=b"c")), LIMITS))]
    ) == (
        Code.MAIL_LIMITS_EXCEEDED,
        "parts nested too deeply",
    )


def test_in_a_walk_all_parts_are_counted_together() -> None:
    part = b"\r\nx"
    just = multipart(part, multipart(part, boundary=b"c"))
    assert len([*walk(read(just, LIMITS))]) == 4, "three parts and the mail"
    more = multipart(part, multipart(part, part, boundary=b"c"))
    assert refusal(lambda: [*walk(read(more, LIMITS))]) == (Code.MAIL_LIMITS_EXCEEDED, "too many parts")


def test_parts_come_in_their_order_and_as_they_were() -> None:
    inner = multipart(b"A: 1\r\n\r\none", b"\r\ntwo\r\n", boundary=b"c")
    found = [*walk(read(multipart(inner, b"\n"), MimeLimits(header_bytes_max=1000, depth_max=2, parts_max=4)))]
    assert [one.octets for one in found[1:]] == [inner, b"A: 1\r\n\r\none", b"\r\ntwo\r\n", b"\n"]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-other"])
def test_a_multipart_is_not_encoded(encoding: str) -> None:
    mail = f"Content-Transfer-Encoding: {encoding}\r\n".encode() + multipart(b"\r\nx")
    assert refusal(lambda: read(mail, LIMITS).parts) == (Code.MAIL_UNREADABLE, "a multipart in a transfer encoding")
    for plain in (b"8BIT", b"7bit", b"binary"):
        mail = b"Content-Transfer-Encoding: " + plain + b"\r\n" + multipart(b"\r\nx")
        assert len(read(mail, LIMITS).parts) == 1


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\n\r\nx\r\n--b--", [b"x"]),
        (b"--b\n\nx\n--b--", [b"x"]),
        (b"before\r\n--b \t\r\n\r\nx\r\n--b--  \r\nafter\r\n--b\r\n", [b"x"]),
        (b"--b\r\n\r\nx\r\n--bb\r\n--b\r\n\r\ny\r\n--b--", [b"x\r\n--bb", b"y"]),
        (b"--b\r\n\r\nx\r\n--b-\r\n--b--", [b"x\r\n--b-"]),
        (b"--b\r\n--b\r\n\r\n--b--", [b"", b""]),
        (b"--b--", []),
    ],
)
def test_parts_are_cut_at_whole_lines(body: bytes, parts: list[bytes]) -> None:
    assert [one.body for one in entity(b"Content-Type: multipart/mixed; boundary=b", body).parts] == parts


@pytest.mark.parametrize("boundary", ["", '"b "', '"b\u00e9"', '"b@c"', "b" * 71])
def test_a_boundary_is_a_legal_one(boundary: str) -> None:
    mail = entity(f"Content-Type: multipart/mixed; boundary={boundary}".encode(), b"--b--")
    assert refusal(lambda: mail.parts) == (Code.MAIL_UNREADABLE, "a multipart without a legal boundary")
    assert len(read(multipart(b"\r\nx", boundary=b"b" * 70), LIMITS).parts) == 1


def test_what_is_no_multipart_has_no_parts_and_what_is_must_end() -> None:
    assert entity(b"Content-Type: text/plain; boundary=b", b"--b--").parts == ()
    mail = entity(b"Content-Type: multipart/mixed; boundary=b", b"--b\r\n\r\nx\r\n--b\r\n")
    assert refusal(lambda: mail.parts) == (Code.MAIL_UNREADABLE, "a multipart without its closing delimiter")


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        ("", b"a=\r\n", b"a=\r\n"),
        ("7BIT", b"a\r\n", b"a\r\n"),
        ("8bit", b"\xe9", b"\xe9"),
        ("binary", b"\0", b"\0"),
        ("Base64", b"YW\r\nJ j\tZA==", b"abcd"),
        ("base64", b"b3RoZXI=", b"other"),
        ("base64", b"", b""),
        ("quoted-printable", b"a=3D=\r\nb \t\r\nc=\n", b"a=b\r\nc"),
    ],
)
def test_a_transfer_encoding_is_taken_away(encoding: str, body: bytes, content: bytes) -> None:
    one = entity(f"Content-Transfer-Encoding: {encoding}".encode() if encoding else b"A: b", body)
    assert one.decoded(len(content)) == content
    if content:
        assert refusal(lambda: one.decoded(len(content) - 1)) == (Code.MAIL_LIMITS_EXCEEDED, "a part that is too large")


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        ("base64", b"YWJj!", "invalid base64"),
        ("base64", b"YWJ", "invalid base64"),
        ("base64", b"Y===", "invalid base64"),
        ("base64", b"YQ==YQ==", "invalid base64"),
        ("quoted-printable", b"=3", "invalid quoted-printable"),
        ("quoted-printable", b"=GG", "invalid quoted-printable"),
        ("quoted-printable", b"\x80", "invalid quoted-printable"),
        ("x-uuencode", b"", "an unknown transfer encoding"),
    ],
)
def test_what_is_wrongly_encoded_is_refused_rather_than_guessed(encoding: str, body: bytes, why: str) -> None:
    one = entity(f"Content-Transfer-Encoding: {encoding}".encode(), body)
    assert refusal(lambda: one.decoded(100)) == (Code.PART_UNREADABLE, why)


def test_all_names_that_a_part_claims_are_told() -> None:
    headers = b"Content-Type: text/xml; name=a; name*=us-ascii''b\r\nContent-Disposition: attachment; filename=c"
    assert entity(headers).names == {"a", "b", "c"}
    assert entity(headers).filename == "c"
    assert entity(b"A: b").names == set()


def test_a_mail_is_from_one_field() -> None:
    for headers, why in ((b"A: b", "no From field"), (b"From: a@b\r\nFrom: a@b", "several From fields")):
        assert refusal(lambda headers=headers: from_address(entity(headers))) == (Code.MAIL_FROM_AMBIGUOUS, why)
    assert from_address(entity(b"From: A <A@b>")) == "a@b"


# Signed parts

SIGNATURE = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj"


def signed(*parts: bytes, protocol: bytes = b"Application/PKCS7-signature") -> Entity:
    body = multipart(*parts).partition(b"\r\n")[2]
    return entity(b"Content-Type: multipart/signed; boundary=b; protocol=" + protocol, body)


@pytest.mark.parametrize("kind", [b"pkcs7-signature", b"x-pkcs7-signature"])
def test_a_content_and_its_signature_are_cut_out(kind: bytes) -> None:
    found = signed_parts(signed(b"\r\nx", SIGNATURE.replace(b"pkcs7-signature", kind), protocol=b"application/" + kind))
    assert found is not None
    assert (found.cms, found.content) == (b"abc", b"\r\nx")


def test_a_multipart_signed_is_one_content_and_one_signature() -> None:
    for parts, code in (
        ((b"\r\nx",), Code.NOT_SIGNED),
        ((b"\r\nx", SIGNATURE, SIGNATURE), Code.CONTENT_DUPLICATED),
        ((b"\r\nx", b"\r\ny"), Code.SIGNATURE_UNREADABLE),
    ):
        assert refusal(lambda parts=parts: signed_parts(signed(*parts)))[0] is code
    assert signed_parts(signed(b"\r\nx", SIGNATURE, protocol=b"application/pgp-signature")) is None
    assert signed_parts(entity(b"Content-Type: text/plain")) is None


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"Content-Type: application/pkcs7-mime", True),
        (b"Content-Type: application/x-pkcs7-mime; smime-type=Signed-Data", True),
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data", True),
        (b"Content-Type: application/pkcs7-mime; smime-type=authenveloped-data", True),
        (b"Content-Type: application/pkcs7-mime; smime-type=compressed-data", False),
        (b"Content-Type: application/octet-stream; name=smime.P7M", True),
        (b"Content-Type: application/octet-stream; name=smime.p7s", False),
        (b"Content-Type: text/plain; name=smime.p7m", False),
        (b"Content-Type: application/octet-stream", False),
    ],
)
def test_signed_or_enveloped_data_are_known_by_type_or_name(header: bytes, what: bool) -> None:
    mail = entity(header, b"abc")
    assert is_cms(mail) is what
    found = signed_parts(mail)
    assert (found is not None) is what
    assert found is None or (found.cms, found.content) == (b"abc", None)


@pytest.mark.parametrize(
    ("headers", "others"),
    [
        (b"To: a@b", False),
        (b"To: a@b, c@d", True),
        (b"To: a@b\r\nCc: c@d", True),
        (b"Cc: a@b", False),
        (b"X: y", False),
    ],
)
def test_whether_a_mail_went_to_others_too(headers: bytes, others: bool) -> None:
    assert has_other_recipients(entity(headers)) is others


def test_a_mail_is_named_by_its_message_id_as_far_as_its_header_can_be_read() -> None:
    assert glance(b"X: y\r\nMessage-ID: <a@b>\r\n\r\nMessage-ID: <c@d>").message_id == "<a@b>"
    assert glance(b"Message-ID: <a@b>\r\nMessage-ID: <a@b>\r\n\r\n").message_id == ""
    assert glance(b"no field\r\n\r\n") == glance(b"") == Glance()
    filler = b"X: " + b"y" * (64 * 1024 - len(b"X: \r\nMessage-ID: <a@b>")) + b"\r\nMessage-ID: <a@b>"
    assert glance(filler + b"\r\n\r\n").message_id == "<a@b>"
    assert glance(b"X" + filler + b"\r\n\r\n").message_id == ""
