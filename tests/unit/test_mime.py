"""Reading MIME: exact octets, one reading only, own errors, bounded cost."""

import base64
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.mail.mime import (
    Entity,
    MimeError,
    MimeLimits,
    canonical,
    from_address,
    glance,
    message_id,
    read,
    signed_parts,
    walk,
)

LIMITS = MimeLimits(header_bytes_max=65536, depth_max=8, parts_max=100)
SIGNED = (
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="%s"\r\n\r\n'
)
SIGNATURE = (
    b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nAQID\r\n"
)


def signed(part: bytes, boundary: bytes = b"sig") -> bytes:
    """A mail whose signature part decodes to 01 02 03."""
    return b"".join(
        [SIGNED % boundary, b"--", boundary, b"\r\n", part, b"\r\n--", boundary, b"\r\n", SIGNATURE, b"--", boundary]
    ) + (b"--\r\n")


def entity(header: bytes, body: bytes = b"") -> Entity:
    return read(header + b"\r\n\r\n" + body, LIMITS)


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body + b"--" + boundary + b"--\r\n"


def nested(levels: int) -> bytes:
    part = b"\r\nin the middle"
    for level in range(levels):
        part = multipart(part, boundary=b"b%d" % level)
    return part


def fault(raw: bytes) -> Code | None:
    """What a mail that nobody signed is refused with: everything read that can be read."""
    try:
        mail = read(raw, LIMITS)
        for part in walk(mail):
            part.decoded(len(raw))
        from_address(mail)
        return None if signed_parts(mail) else Code.NOT_SIGNED
    except MimeError as error:
        return error.code


LEGAL = {
    "plain text": b"Content-Type: text/plain\r\n\r\nBonjour\r\n",
    "no final line end": b"Content-Type: text/plain\r\n\r\nBonjour",
    "trailing blank lines": b"Content-Type: text/plain\r\n\r\nBonjour\r\n\r\n\r\n",
    "trailing spaces": b"Content-Type: text/plain\r\n\r\nBonjour  \r\n \t\r\n",
    "no header": b"\r\nBonjour\r\n",
    "no body": b"Content-Type: text/plain\r\n\r\n",
    "header only, one line end": b"Content-Type: text/plain\r\n",
    "empty": b"",
    "empty line only": b"\r\n",
    "folded header": b"Content-Type: text/plain;\r\n\tcharset=utf-8\r\nX-A: 1\r\n  2\r\n\r\nx",
    "odd header case and spaces": b"content-TYPE : Text/Plain\r\nX-B:\r\n\r\nx",
    "long header line": b"X-Long: " + b"a" * 3000 + b"\r\n\r\nx",
    "header in latin-1": b"X-City: Besan\xe7on\r\n\r\nx",
    "header in utf-8": "X-City: Besançon\r\n\r\nx".encode(),
    "8bit": "Content-Transfer-Encoding: 8bit\r\n\r\nBesançon\r\n".encode(),
    "binary with NUL": b"Content-Transfer-Encoding: binary\r\n\r\n\x00\x01\xff\r\n",
    "bare CR": b"Content-Type: text/plain\r\n\r\na\rb\r\r\n",
    "bare LF": b"Content-Type: text/plain\r\n\r\na\nb\n",
    "ends in CR": b"Content-Type: text/plain\r\n\r\na\r",
    "ends in LF": b"Content-Type: text/plain\r\n\r\na\n",
    "quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\nBesan=C3=A7on=\r\n!\r\n",
    "base64": b"Content-Transfer-Encoding: base64\r\n\r\nQm9u\r\nam91cg==\r\n",
    "nested multipart": multipart(b"\r\na", b"Content-Type: text/xml\r\n\r\n<a/>", boundary=b"inner"),
    "nested, boundary a prefix of ours": multipart(b"\r\na", boundary=b"si"),
    "nested, ours a prefix of its boundary": multipart(b"\r\na", boundary=b"sig2"),
    "nested, ours and a dash": multipart(b"\r\na", boundary=b"sig-"),
    "nested with preamble and epilogue": b"Content-Type: multipart/mixed; boundary=x\r\n\r\nbefore\r\n--x\r\n\r\na\r\n"
    b"--x--\r\nafter\r\n\r\n",
    "boundary inside a line": b"\r\nsee --sig and --sig--\r\n",
    "boundary with something after it": b"\r\n--sigma\r\n--sig x\r\n--sig--x\r\n--sig---\r\n",
    "dashes": b"\r\n--\r\n----\r\n--si\r\n",
    "mail inside": b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\n\r\n--x\r\n",
}


@pytest.mark.parametrize("part", LEGAL.values(), ids=LEGAL.keys())
def test_the_octets_of_a_signed_part_come_out_as_they_were_signed(part: bytes) -> None:
    found = signed_parts(read(signed(part), LIMITS))
    assert found is not None
    assert found.content == part
    assert found.cms == b"\x01\x02\x03"


@pytest.mark.parametrize("part", LEGAL.values(), ids=LEGAL.keys())
def test_every_legal_entity_can_be_read_and_decoded(part: bytes) -> None:
    for found in walk(read(part, LIMITS)):
        found.decoded(len(part))


@given(st.binary(max_size=300).filter(lambda body: b"--sig" not in body))
def test_any_signed_octets_come_out_unchanged(body: bytes) -> None:
    part = b"Content-Transfer-Encoding: binary\r\n\r\n" + body
    found = signed_parts(read(signed(part), LIMITS))
    assert found is not None
    assert found.content == part


@pytest.mark.parametrize(
    "framing",
    [
        SIGNED % b"sig" + b"preamble\r\n--sig\r\n%s\r\n--sig\r\n" + SIGNATURE + b"--sig--\r\nepilogue",
        SIGNED % b"sig" + b"--sig \t\r\n%s\r\n--sig  \r\n" + SIGNATURE + b"--sig-- \r\n",
        SIGNED % b"sig" + b"--sig\r\n%s\r\n--sig\r\n" + SIGNATURE + b"--sig--",
        SIGNED % b"sig" + b"\r\n--sig\r\n%s\r\n--sig\r\n" + SIGNATURE + b"--sig--\r\n--sig\r\nX-late: 1\r\n\r\n--sig--",
        (SIGNED % b"a 'b' (c)+_,./:=?d").replace(b"pkcs7-s", b"x-pkcs7-s")
        + b"--a 'b' (c)+_,./:=?d\r\n%s\r\n--a 'b' (c)+_,./:=?d\r\n"
        + SIGNATURE.replace(b"pkcs7-s", b"x-pkcs7-s")
        + b"--a 'b' (c)+_,./:=?d--\r\n",
    ],
    ids=["preamble and epilogue", "blanks after the boundary", "no last line end", "more in the epilogue", "all marks"],
)
def test_what_stands_around_the_parts_changes_nothing(framing: bytes) -> None:
    part = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
    found = signed_parts(read(framing % part, LIMITS))
    assert found is not None
    assert found.content == part


def test_a_mail_that_lost_its_carriage_returns_is_what_was_signed_once_it_is_canonical() -> None:
    part = b"Content-Type: text/plain\r\n\r\nBonjour\r\n\r\n"
    found = signed_parts(read(signed(part).replace(b"\r\n", b"\n"), LIMITS))
    assert found is not None
    assert found.content == part.replace(b"\r\n", b"\n")
    assert canonical(found.content) == part


@given(st.binary())
def test_canonical_form_is_reached_once_and_keeps_bare_carriage_returns(octets: bytes) -> None:
    once = canonical(octets)
    assert canonical(once) == once
    assert once.replace(b"\r\n", b"\n") == octets.replace(b"\r\n", b"\n")


def test_an_opaque_or_encrypted_mail_gives_its_decoded_structure() -> None:
    for header in (
        b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        b"Content-Type: application/x-pkcs7-mime; smime-type=Enveloped-Data",
        b'Content-Type: APPLICATION/PKCS7-MIME; smime-type="authEnveloped-data"',
        b"Content-Type: application/pkcs7-mime; name=smime.p7m",
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="SMIME.P7M"',
    ):
        found = signed_parts(entity(header + b"\r\nContent-Transfer-Encoding: base64", b"AQID\r\n"))
        assert found is not None
        assert (found.cms, found.content) == (b"\x01\x02\x03", None)


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: text/plain\r\n\r\nhello",
        b"Content-Type: message/rfc822\r\n\r\n" + signed(b"\r\nx"),
        multipart(signed(b"\r\nx")),
        b"Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n\r\n",
        signed(b"\r\nx").replace(b"application/pkcs7-signature", b"application/pgp-signature"),
        signed(b"\r\nx").replace(b"protocol=", b"x-protocol="),
    ],
    ids=["plain", "in a mail", "in a multipart", "certificates only", "compressed", "pgp", "no protocol"],
)
def test_only_the_outermost_part_can_be_the_signed_one(raw: bytes) -> None:
    assert signed_parts(read(raw, LIMITS)) is None


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], Code.NOT_SIGNED),
        ([b"\r\nx"], Code.NOT_SIGNED),
        ([b"\r\nx", b"\r\ny"], Code.SIGNATURE_UNREADABLE),
        ([SIGNATURE, b"\r\nx"], Code.SIGNATURE_UNREADABLE),
        ([b"\r\nx", SIGNATURE, b"\r\ny"], Code.CONTENT_DUPLICATED),
        ([b"\r\nx", b"\r\ny", SIGNATURE], Code.CONTENT_DUPLICATED),
        ([b"\r\nx", SIGNATURE.replace(b"AQID", b"AQI!")], Code.PART_UNREADABLE),
    ],
)
def test_a_signed_mail_is_one_content_and_one_signature(parts: list[bytes], code: Code) -> None:
    raw = SIGNED % b"b" + multipart(*parts).partition(b"\r\n\r\n")[2]
    with pytest.raises(MimeError) as caught:
        signed_parts(read(raw, LIMITS))
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"From: a@b.example\r\nContent-Type: text/plain; charset=x-klingon\r\n\r\nhello", Code.NOT_SIGNED),
        (b"Subject: x\r\n\r\nhello", Code.MAIL_FROM_AMBIGUOUS),
        (b"From: a@b.example\r\n" + nested(400), Code.MAIL_LIMITS_EXCEEDED),
        (b"From: a@b.example\r\nContent-Transfer-Encoding: base64\r\n\r\nQm9=uam91", Code.PART_UNREADABLE),
        (b"From:\r\n\r\nhello", Code.MAIL_FROM_AMBIGUOUS),
    ],
    ids=["unknown charset", "no From", "nesting of 400", "bad base64", "empty From"],
)
def test_each_poison_mail_has_its_name(raw: bytes, code: Code) -> None:
    assert fault(raw) is code


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: x\r\nno field\r\n\r\n",
        b" continues nothing\r\n\r\n",
        b": no name\r\n\r\n",
        b"Sub ject: x\r\n\r\n",
        b"Subj\xe9ct: x\r\n\r\n",
        b"From: a@b.example\rFrom: c@d.example\r\n\r\n",
        b"Subject: a\x00b\r\n\r\n",
        b"Content-Type: text/plain\r\nContent-type: text/xml\r\n\r\n",
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        b"Content-Disposition: inline\r\nContent-Disposition: attachment\r\n\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\n----",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a--",
        b'Content-Type: multipart/mixed; boundary="a\r\n\r\n--a--',
        b"Content-Type: multipart/mixed; boundary=" + b"a" * 71 + b"\r\n\r\n--" + b"a" * 71 + b"--",
        b'Content-Type: multipart/mixed; boundary="a "\r\n\r\n--a --',
        "Content-Type: multipart/mixed; boundary=é\r\n\r\n--é--".encode(),
        b"Content-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: base64\r\n\r\n--a--",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nnever closed\r\n",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\nnever opened",
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(raw: bytes) -> None:
    with pytest.raises(MimeError) as caught:
        list(walk(read(raw, LIMITS)))
    assert caught.value.code is Code.MAIL_UNREADABLE


def test_each_limit_holds_at_its_value_and_not_beyond() -> None:
    limits = MimeLimits(header_bytes_max=5000, depth_max=2, parts_max=3)
    fits = b"X: " + b"a" * 4997
    assert read(fits + b"\r\n\r\n", limits).body == b""
    assert len(list(walk(read(nested(2), limits)))) == 3
    assert len(list(walk(read(multipart(b"\r\n", b"\r\n", b"\r\n"), limits)))) == 4
    for raw in (
        fits + b"a\r\n\r\n",
        b"a" * 5001,
        nested(3),
        multipart(b"\r\n", b"\r\n", b"\r\n", b"\r\n"),
        multipart(multipart(b"\r\n", b"\r\n", boundary=b"c"), b"\r\n"),
        b"Content-Type: multipart/mixed" + b"; a" * 1400 + b"\r\n\r\n",
    ):
        with pytest.raises(MimeError) as caught:
            list(walk(read(raw, limits)))
        assert caught.value.code is Code.MAIL_LIMITS_EXCEEDED


def test_a_mail_of_25_mib_of_delimiters_is_refused_by_its_count() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * (5 << 20) + b"--b--"
    with pytest.raises(MimeError) as caught:
        list(walk(read(raw, LIMITS)))
    assert caught.value.code is Code.MAIL_LIMITS_EXCEEDED


@pytest.mark.parametrize("filler", [b"--b", b"\n--b x", b"\n--b-", b"\r\n", b"--", b"\n", b"= ", b" ", b"\n\r"])
def test_large_mails_of_one_pattern_are_read_whole(filler: bytes) -> None:
    # A search that is quadratic in one of these would run for minutes.
    body = b"x" + filler * ((2 << 20) // len(filler)) + b"x"
    mail = read(multipart(b"Content-Type: text/plain\r\n\r\n" + body), LIMITS)
    assert mail.parts[0].body == body
    printable = read(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + body, LIMITS)
    if b"=" in filler:
        with pytest.raises(MimeError):
            printable.decoded(len(body))
    else:
        assert printable.decoded(len(body)).strip() != b""


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        (b"BASE64", b"QUJD\r\nRA==\r\n", b"ABCD"),
        (b"base64", b"", b""),
        (b"base64", b" QU\tJD \n", b"ABC"),
        (b"quoted-printable", b"a=3D=\r\nb  \r\nc=20\r\n=c3=A9= \t\r\nd=", "a=b\r\nc \r\néd".encode()),
        (b"7bit", b"a\r\n", b"a\r\n"),
        (b"8bit", b"\xff\n", b"\xff\n"),
        (b"binary", b"\x00", b"\x00"),
    ],
)
def test_transfer_encodings_are_undone(encoding: bytes, body: bytes, content: bytes) -> None:
    assert entity(b"Content-Transfer-Encoding: " + encoding, body).decoded(100) == content


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"base64", b"QUJ"),
        (b"base64", b"QUJDRA="),
        (b"base64", b"QUJDRA==QUJD"),
        (b"base64", b"QU=="[:3] + b"JD"),
        (b"base64", b"QUJD===="),
        (b"base64", b"QU.D"),
        (b"base64", b"-_-_"),
        (b"quoted-printable", b"a=ZZ"),
        (b"quoted-printable", b"a=4"),
        (b"quoted-printable", b"a= b"),
        (b"quoted-printable", b"\xe9"),
        (b"x-uuencode", b"begin 644 a"),
        (b"base64 8bit", b"QUJD"),
    ],
)
def test_a_faulty_transfer_encoding_is_refused_and_not_guessed(encoding: bytes, body: bytes) -> None:
    with pytest.raises(MimeError) as caught:
        entity(b"Content-Transfer-Encoding: " + encoding, body).decoded(100)
    assert caught.value.code is Code.PART_UNREADABLE


def test_a_part_larger_than_asked_for_is_refused() -> None:
    part = entity(b"Content-Transfer-Encoding: base64", base64.b64encode(bytes(10)))
    assert part.decoded(10) == bytes(10)
    with pytest.raises(MimeError) as caught:
        part.decoded(9)
    assert caught.value.code is Code.MAIL_LIMITS_EXCEEDED


FIELDS = st.sampled_from(
    [
        b"From: a@b.example",
        b'From: "a" <(b',
        b"Message-ID: <a@b>",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/mixed; boundary*=utf-8''%62",
        b"Content-Type: multipart/signed; protocol=application/pkcs7-signature; boundary=b",
        b"Content-Type: application/pkcs7-signature",
        b'Content-Type: application/pkcs7-mime; smime-type="',
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: x; filename*0*=utf-8''%41; filename*1=",
        b"\tfolded=\xff",
        b"no field",
    ]
)
PIECES = st.one_of(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n--b\r\n", b"\r\n--b--", b"--c", b" ", b"=", b"=C3", b"QUJD", b"\0"]),
    FIELDS,
    st.binary(max_size=4),
)
MAILS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda fields, pieces: b"\r\n".join(fields) + b"\r\n\r\n" + b"".join(pieces),
        st.lists(FIELDS, max_size=4),
        st.lists(PIECES, max_size=40),
    ),
)


def attempt(ask: Callable[[], object]) -> None:
    """Ask; the reader's own error is an answer too."""
    with suppress(MimeError):
        ask()


@settings(max_examples=500)
@given(MAILS)
def test_for_any_bytes_a_reader_returns_or_raises_its_own_error(raw: bytes) -> None:
    seen = glance(raw)
    with suppress(MimeError):
        mail = read(raw, LIMITS)
        assert message_id(mail) == seen.message_id
        with suppress(MimeError):
            assert from_address(mail) == seen.from_address
        attempt(lambda: signed_parts(mail))
        for part in walk(mail):
            assert part.octets in raw
            assert part.octets.endswith(part.body)
            attempt(partial(part.decoded, len(raw)))
            attempt(partial(getattr, part, "filename"))
