"""A verified content gives its files, its certificate, and an anomaly for each fault; nothing is raised."""

import io
import stat
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.mail.attachments import ContentLimits, Contents, read_contents
from mailflow.mail.entities import file_part, mixed, text_part
from mailflow.mail.mime import MimeLimits

LIMITS = ContentLimits(
    mime=MimeLimits(header_bytes_max=65536, depth_max=8, parts_max=100),
    files_max=20,
    zip_bytes_max=100_000,
    zip_file_bytes_max=60_000,
    zip_ratio_max=200,
)
NAME = "DEM59123-202610011200-000001.xml"
OTHER = "DEM59123-202610011200-000002.xml"
XML = b"<interfaceNuu/>"
PEM = b"-----BEGIN CERTIFICATE-----\n"


def contents(*parts: bytes) -> Contents:
    return read_contents(mixed(parts, "=_b"), LIMITS)


def named(found: Contents) -> list[tuple[str, bytes]]:
    return [(file.name, file.content) for file in found.files]


def codes(found: Contents) -> list[Code]:
    return [anomaly.code for anomaly in found.anomalies]


def xml_part(name: str = NAME, content: bytes = XML) -> bytes:
    return file_part(name, content, "application/xml")


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


def zip_part(octets: bytes) -> bytes:
    return file_part("envoi.zip", octets, "application/zip")


def special(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


def test_a_content_may_be_one_file() -> None:
    found = read_contents(xml_part(), LIMITS)
    assert (named(found), found.certificate, codes(found)) == ([(NAME, XML)], None, [])


def test_a_content_may_be_several_files_with_texts_and_a_certificate() -> None:
    found = contents(
        text_part("Bonjour"),
        xml_part(),
        file_part("CER59123-202610011200.pem", PEM, "application/x-pem-file"),
        file_part("logo.png", b"\x89PNG", "image/png"),
        file_part(OTHER, XML, "application/octet-stream"),
    )
    assert (named(found), found.certificate, codes(found)) == ([(NAME, XML), (OTHER, XML)], PEM, [])


def test_files_are_found_in_multiparts_inside_and_never_in_mails_inside() -> None:
    forwarded = b"Content-Type: message/rfc822\r\n\r\n" + xml_part(OTHER)
    found = contents(mixed([text_part("Bonjour"), xml_part()], "inner"), forwarded)
    assert (named(found), codes(found)) == ([(NAME, XML)], [])


@pytest.mark.parametrize("name", ["demande.xml", "dem59123-202610011200-000001.xml", "DEM.XML", "DEM1", "../DEM.xml"])
def test_a_wrongly_named_file_is_returned_so_that_its_name_can_be_answered(name: str) -> None:
    found = contents(file_part(name, XML, "application/octet-stream"))
    assert (named(found), codes(found)) == ([(name, XML)], [])


def test_xml_without_a_name_is_returned_without_a_name() -> None:
    found = read_contents(b"Content-Type: text/xml\r\n\r\n<a/>", LIMITS)
    assert (named(found), codes(found)) == ([("", b"<a/>")], [])


def test_a_name_is_made_safe_to_show_and_never_becomes_a_legal_one() -> None:
    for written in (f"{NAME[:4]}%07{NAME[4:]}", f"{NAME}%0D%0AX", f"{NAME}%E2%80%AE", NAME + "x" * 500):
        part = f"Content-Disposition: attachment; filename*=utf-8''{written}\r\n\r\n".encode() + XML
        (file,) = read_contents(part, LIMITS).files
        assert file.name.isprintable()
        assert file.name != NAME
        assert len(file.name) <= 128


def part_named(**names: str) -> bytes:
    """A file part with these parameters, as they are: `filename`, `filename_` for `filename*`, `name`, `name_`."""
    written = {key.replace("_", "*"): value for key, value in names.items()}
    disposition = "".join(f"; {key}={value}" for key, value in written.items() if key.startswith("filename"))
    kind = "".join(f"; {key}={value}" for key, value in written.items() if key.startswith("name"))
    head = f"Content-Disposition: attachment{disposition}\r\nContent-Type: application/octet-stream{kind}\r\n\r\n"
    return head.encode() + XML


@pytest.mark.parametrize(
    "names",
    [
        {"filename": NAME, "filename_": f"utf-8''{OTHER}"},
        {"filename": "notes.txt", "filename_": f"utf-8''{NAME}"},
        {"filename": NAME, "filename_": "utf-8''notes.txt"},
        {"filename": NAME, "name": OTHER},
        {"name": NAME, "name_": f"utf-8''{OTHER}"},
        {"filename": "envoi.zip", "name": NAME},
        {"filename": "CER59123-202610011200.pem", "name": "notes.txt"},
    ],
)
def test_a_part_whose_names_disagree_is_refused_and_the_others_are_read(names: dict[str, str]) -> None:
    """One reader would take it for one file, another for another: nobody should have to guess which was meant."""
    found = contents(part_named(**names), xml_part("DEM59123-202610011200-000009.xml"))
    assert [file.name for file in found.files] == ["DEM59123-202610011200-000009.xml"]
    assert (found.certificate, codes(found)) == (None, [Code.PART_NAME_AMBIGUOUS])


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ({"filename": NAME, "filename_": f"utf-8''{NAME}", "name": NAME}, NAME),
        ({"name": NAME}, NAME),
        ({"filename": "Piece.pdf", "filename_": "utf-8''Pi%C3%A8ce.pdf"}, None),
    ],
)
def test_names_that_agree_or_that_nobody_looks_at_are_no_fault(names: dict[str, str], name: str | None) -> None:
    found = contents(part_named(**names), xml_part(OTHER))
    assert [file.name for file in found.files] == [*([name] if name else []), OTHER]
    assert codes(found) == []


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [text_part("Bonjour")],
        [file_part("CER59123-202610011200.pem", PEM, "application/x-pem-file")],
        [file_part("demande.pdf", b"%PDF", "application/pdf")],
        [zip_part(zipped())],
    ],
)
def test_a_content_without_any_file_is_told_so(parts: list[bytes]) -> None:
    found = contents(*parts)
    assert (found.files, codes(found)) == ((), [Code.MAIL_WITHOUT_REQUEST])


def test_several_certificates_are_refused_and_none_is_used() -> None:
    certificate = file_part("CER59123-202610011200.pem", PEM, "application/x-pem-file")
    found = contents(xml_part(), certificate, certificate)
    assert (named(found), found.certificate) == ([(NAME, XML)], None)
    assert codes(found) == [Code.MAIL_SEVERAL_CERTIFICATES]


def test_an_undecodable_file_is_told_beside_the_good_ones() -> None:
    broken = xml_part(OTHER).replace(b"PGlu", b"P!lu")
    ignored = file_part("logo.png", b"abc", "image/png").replace(b"YWJj", b"!!!!")
    found = contents(broken, xml_part(), broken, ignored)
    assert (named(found), codes(found)) == ([(NAME, XML)], [Code.PART_UNREADABLE])


@pytest.mark.parametrize(
    "layer",
    [
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\n",
        b"Content-Type: application/x-pkcs7-mime; smime-type=signed-data\r\n\r\n",
        b"Content-Type: application/octet-stream; name=smime.p7m\r\n\r\n",
        b"Content-Type: multipart/signed; protocol=x; boundary=l\r\n\r\n--l\r\n\r\nx\r\n--l--\r\n",
        b"Content-Type: multipart/encrypted; boundary=l\r\n\r\n--l\r\n\r\nx\r\n--l--\r\n",
    ],
)
def test_a_layer_inside_the_signed_content_is_refused(layer: bytes) -> None:
    for found in (read_contents(layer, LIMITS), contents(xml_part(), mixed([text_part("x"), layer], "inner"))):
        assert (found.files, codes(found)) == ((), [Code.LAYERING_REFUSED])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (XML, Code.MAIL_UNREADABLE),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", Code.MAIL_UNREADABLE),
        (mixed([text_part("x")] * 101, "b"), Code.MAIL_LIMITS_EXCEEDED),
        (b"X: " + b"a" * 70_000 + b"\r\n\r\n", Code.MAIL_LIMITS_EXCEEDED),
        (mixed([xml_part()] * 21, "b"), Code.MAIL_TOO_MANY_REQUESTS),
        (mixed([zip_part(zipped((NAME, XML)))] * 21, "b"), Code.MAIL_TOO_MANY_REQUESTS),
    ],
)
def test_a_fault_of_the_whole_leaves_no_files(content: bytes, code: Code) -> None:
    found = read_contents(content, LIMITS)
    assert (found.files, found.certificate, codes(found)) == ((), None, [code])


def test_a_nesting_of_400_is_refused_by_name() -> None:
    content = xml_part()
    for level in range(400):
        content = mixed([content], f"b{level}x")
    assert codes(read_contents(content, LIMITS)) == [Code.MAIL_LIMITS_EXCEEDED]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_its_files_in_order(method: int) -> None:
    found = contents(xml_part(), zip_part(zipped((OTHER, b"<b/>"), ("DEM.xml", b"<c/>"), method=method)))
    assert (named(found), codes(found)) == ([(NAME, XML), (OTHER, b"<b/>"), ("DEM.xml", b"<c/>")], [])


def test_a_zip_is_known_by_its_name_or_by_its_type() -> None:
    octets = zipped((NAME, XML))
    for part in (
        file_part("DEM.ZIP", octets, "application/octet-stream"),
        file_part("envoi", octets, "application/x-zip-compressed"),
    ):
        assert named(contents(part)) == [(NAME, XML)]


@pytest.mark.parametrize(
    "octets",
    [
        zipped((NAME, XML), ("lisez-moi.txt", b"")),
        zipped((f"a/{NAME}", XML)),
        zipped((f"../{NAME}", XML)),
        zipped((f"DEM/../{NAME}", XML)),
        zipped(("DEM\\a.xml", XML)),
        zipped((f"/{NAME}", XML)),
        zipped(("DEM/", b"")),
        zipped(("DEM.zip", zipped((NAME, XML)))),
        zipped(("demande.pdf", b"%PDF")),
        zipped(("CER59123-202610011200.pem", PEM)),
        zipped((special(NAME, stat.S_IFLNK | 0o777), b"/etc/passwd")),
        zipped((special(NAME, stat.S_IFIFO | 0o600), b"")),
        zipped((NAME, XML), method=zipfile.ZIP_BZIP2),
        zipped((NAME, XML), method=zipfile.ZIP_LZMA),
        zipped((NAME, XML)).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
        zipped(("DEM1.xmlQ.exe", XML)).replace(b"DEM1.xmlQ", b"DEM1.xml\0"),
    ],
    ids=[
        "other file",
        "folder",
        "parent",
        "parent inside",
        "backslash",
        "root",
        "directory",
        "zip",
        "document",
        "certificate",
        "link",
        "pipe",
        "bzip2",
        "lzma",
        "encrypted",
        "NUL in the name",
    ],
)
def test_a_zip_with_anything_but_plain_files_is_refused_whole(octets: bytes) -> None:
    found = contents(xml_part(OTHER), zip_part(octets))
    assert (named(found), codes(found)) == ([(OTHER, XML)], [Code.ZIP_REFUSED])


@pytest.mark.parametrize(
    "octets",
    [
        zipped((NAME, bytes(60_001))),
        zipped((NAME, bytes(50_000)), (OTHER, bytes(50_001))),
        zipped((NAME, b"a" * 50_000)),
        zipped(*((f"DEM{number}.xml", b"") for number in range(21))),
    ],
    ids=["one file", "all files", "ratio", "entries"],
)
def test_a_zip_beyond_a_limit_is_refused_whole(octets: bytes) -> None:
    found = contents(xml_part(OTHER), zip_part(octets))
    assert (named(found), codes(found)) == ([(OTHER, XML)], [Code.ZIP_TOO_LARGE])


def test_a_zip_at_its_limits_is_read() -> None:
    octets = zipped((NAME, bytes(60_000)), (OTHER, bytes(40_000)), method=zipfile.ZIP_STORED)
    assert [len(file.content) for file in contents(zip_part(octets)).files] == [60_000, 40_000]
    twenty = zipped(*((f"DEM{number}.xml", b"") for number in range(20)))
    assert len(contents(zip_part(twenty)).files) == 20


def test_the_zips_of_a_mail_share_one_limit() -> None:
    octets = zipped((NAME, bytes(60_000)), method=zipfile.ZIP_STORED)
    found = contents(zip_part(octets), zip_part(octets))
    assert (len(found.files), codes(found)) == (1, [Code.ZIP_TOO_LARGE])


def lying(content: bytes, claimed_bytes: int) -> bytes:
    """A zip whose headers claim another size, with the checksum of what that size would give."""
    octets = zipped((NAME, content))
    honest = struct.pack("<L", len(content))
    checksum = struct.pack("<L", zlib.crc32(content))
    claimed = struct.pack("<L", zlib.crc32(content[:claimed_bytes]))
    return octets.replace(honest, struct.pack("<L", claimed_bytes)).replace(checksum, claimed)


def test_no_more_comes_out_of_a_lying_zip_than_the_limits_allow() -> None:
    small = contents(zip_part(lying(bytes(50_000), 10)))
    assert sum(len(file.content) for file in small.files) <= 10
    large = contents(zip_part(lying(b"ab", 1 << 30)))
    assert codes(large) in ([Code.PART_UNREADABLE], [Code.MAIL_WITHOUT_REQUEST]) or len(large.files[0].content) <= 2


def test_entries_that_share_their_octets_are_refused() -> None:
    octets = zipped((NAME, bytes(50_000)))
    start = octets.index(b"PK\x01\x02")
    end = octets.index(b"PK\x05\x06")
    entry = octets[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(entry) * 20, start, 0)
    found = contents(zip_part(octets[:start] + entry * 20 + tail))
    assert (found.files, codes(found)) == ((), [Code.ZIP_REFUSED])


@pytest.mark.parametrize("octets", [b"", b"PK", b"PK\x05\x06", XML, zipped((NAME, XML))[:-1], zipped((NAME, XML))[9:]])
def test_a_zip_that_is_none_is_told_so(octets: bytes) -> None:
    found = contents(zip_part(octets))
    assert (found.files, codes(found)) == ((), [Code.PART_UNREADABLE])


def test_a_damaged_file_in_a_zip_is_found_by_its_checksum() -> None:
    octets = zipped((NAME, XML), method=zipfile.ZIP_STORED).replace(XML, XML.replace(b"N", b"M"))
    assert codes(contents(zip_part(octets))) == [Code.PART_UNREADABLE]


@settings(max_examples=500)
@given(st.data())
def test_for_any_damage_a_zip_gives_files_or_an_anomaly(data: st.DataObject) -> None:
    octets = bytearray(zipped((NAME, XML * 3), (OTHER, b"")))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    found = contents(zip_part(bytes(octets)))
    assert found.files or found.anomalies
    assert sum(len(file.content) for file in found.files) <= LIMITS.zip_bytes_max


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [XML, xml_part(), text_part("x"), zip_part(zipped((NAME, XML))), b"--b\r\n", b"--b--", b"\r\n"]
            )
        ).map(lambda pieces: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(pieces)),
    )
)
def test_for_any_content_something_is_said(content: bytes) -> None:
    found = read_contents(content, LIMITS)
    assert found.files or found.anomalies
