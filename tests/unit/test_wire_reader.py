"""Reading a request file: whatever the bytes, everything wrong is named by code and path, and nothing is repeated."""

from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest, HousingSought, digest_of
from mailflow.core.model import Operation, RequestFile
from mailflow.wire.reader import FileLimits, read_file
from tests.support.requests import LIMITS, NAME, RECEIVED_AT, a_file, a_form, forms

REQUEST = "/interfaceNuu/demande[1]"
FORM = f"{REQUEST}/demandeLogement"
APPLICANT = f"{FORM}/personnePhysique/demandeur"
TYPES = f"{FORM}/logementRecherche/listeTypeLogement"
T4 = '<tns:typeLogement code="T4"/>'
PLACES = f"{FORM}/logementRecherche/listeLocalisationSouhaite"


def read(content: bytes, name: str = NAME, limits: FileLimits = LIMITS) -> RequestFile:
    return read_file(name, content, limits=limits, received_at=RECEIVED_AT)


def named(anomalies: tuple[Anomaly, ...]) -> set[tuple[Code, str]]:
    return {(anomaly.code, anomaly.path) for anomaly in anomalies}


def altered(*changes: tuple[str, str]) -> bytes:
    """A valid file in which each text is replaced; each must occur."""
    text = a_file(a_form()).decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def test_a_valid_file_is_read_whole() -> None:
    file = read(a_file(a_form(), reference="DOSSIER-1"))
    (request,) = file.requests
    assert file.anomalies == request.anomalies == ()
    assert (file.desk, file.version, file.operation) == ("59123", "02.01", Operation.CREATION)
    assert file.dated_at == RECEIVED_AT
    assert request.form == a_form()
    assert request.reference == "DOSSIER-1"
    assert len(file.digest) == len(request.digest) == 64


@given(st.binary(max_size=300))
def test_any_bytes_give_a_file(content: bytes) -> None:
    file = read(content)
    assert file.anomalies
    assert file.requests == ()


@given(st.data())
@settings(max_examples=150)
def test_a_valid_file_that_was_damaged_anywhere_gives_a_file(data: st.DataObject) -> None:
    content = bytearray(a_file(a_form()))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 30))
        content[start : start + length] = data.draw(st.binary(max_size=10) | st.just(b"<") | st.just(b"\xc3\xa9"))
    file = read(bytes(content))
    assert all(anomaly.path in ("", "/*") or anomaly.path.startswith("/interfaceNuu") for anomaly in file.anomalies)


@given(st.text(max_size=60))
def test_any_name_gives_a_file(name: str) -> None:
    file = read(a_file(a_form()), name=name)
    assert (Code.FILE_NAME_WRONG, "") in named(file.anomalies)
    assert file.desk == "59123"


@given(forms())
@settings(max_examples=60)
def test_any_form_that_was_written_is_read_again(form: HousingRequest) -> None:
    (request,) = read(a_file(form)).requests
    assert request.form == form
    assert not [anomaly for anomaly in request.anomalies if anomaly.code is Code.XML_NOT_VALID]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", Code.XML_NOT_WELL_FORMED),
        (b"PK\x03\x04", Code.XML_NOT_WELL_FORMED),
        (b"<interfaceNuu>", Code.XML_NOT_WELL_FORMED),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', Code.XML_DOCTYPE),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', Code.XML_DOCTYPE),
        (b'<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd"/></a>', Code.XML_INCLUSION),
        (b'<?xml version="1.0" encoding="UTF-7"?><a/>', Code.XML_ENCODING),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', Code.XML_ENCODING),
        ("<a/>".encode("utf-16"), Code.XML_ENCODING),
        ("<a/>".encode("utf-32"), Code.XML_ENCODING),
        (b"<a>\xe9</a>", Code.XML_ENCODING),
        (b"<a>" * 300 + b"</a>" * 300, Code.XML_LIMITS_EXCEEDED),
        (b"<a>" + b"<b/>" * 500_000 + b"</a>", Code.XML_LIMITS_EXCEEDED),
        (b" " * (4 << 20) + b"<a/>", Code.FILE_TOO_LARGE),
    ],
)
def test_what_is_no_acceptable_xml_is_refused_by_name(content: bytes, code: Code) -> None:
    assert named(read(content).anomalies) == {(code, "")}


def test_a_billion_laughs_are_not_told() -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    content = f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><a>&l9;</a>'.encode()
    assert named(read(content).anomalies) == {(Code.XML_DOCTYPE, "")}


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "ISO-8859-15", "windows-1252"])
def test_the_encodings_of_older_software_are_read(encoding: str) -> None:
    text = a_file(a_form()).decode().replace("encoding='UTF-8'", f"encoding='{encoding}'")
    (request,) = read(text.encode(encoding)).requests
    assert request.form == a_form()


def test_a_byte_order_mark_of_utf_8_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf" + a_file(a_form())).anomalies == ()


def test_a_byte_order_mark_of_utf_8_before_another_encoding_is_a_contradiction() -> None:
    content = b"\xef\xbb\xbf" + altered(("encoding='UTF-8'", "encoding='ISO-8859-1'"))
    assert named(read(content).anomalies) == {(Code.XML_ENCODING, "")}


def test_the_root_must_be_that_of_the_interface() -> None:
    content = altered(("http://nuu.application.i2/", "urn:autre"))
    assert named(read(content).anomalies) == {(Code.XML_NOT_VALID, "/*")}


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        ('"02.01"', '"03.00"', Code.VERSION_REFUSED, "/interfaceNuu/@versionInterface"),
        (' versionInterface="02.01"', "", Code.VERSION_REFUSED, "/interfaceNuu/@versionInterface"),
        (">CRE<", ">ABC<", Code.FILE_TYPE_UNKNOWN, "/interfaceNuu/entete/typeFichier"),
        (">CRE<", "><", Code.FILE_TYPE_UNKNOWN, "/interfaceNuu/entete/typeFichier"),
        (
            ">2026-01-15T09:31:00+00:00<",
            ">2026-01-15T10:36:01<",
            Code.FILE_DATE_WRONG,
            "/interfaceNuu/entete/dateFichier",
        ),
        ("entete>", "demande>", Code.XML_NOT_WELL_FORMED, ""),
        ("<tns:demande>", "<tns:autre/><tns:demande>", Code.XML_NOT_VALID, "/interfaceNuu/*[2]"),
    ],
)
def test_a_fault_of_the_file_is_named(old: str, new: str, code: Code, path: str) -> None:
    assert (code, path) in named(read(altered((old, new))).anomalies)


@pytest.mark.parametrize(
    "written", ["2026-01-15T10:31:00", "2026-01-15T10:31:00+01:00", "2026-01-15T09:31:00Z", "2026-01-15"]
)
def test_the_date_of_a_file_may_lack_a_zone_or_a_time(written: str) -> None:
    file = read(altered((">2026-01-15T09:31:00+00:00<", f">{written}<")))
    assert file.anomalies == ()
    assert file.dated_at is not None
    assert RECEIVED_AT - file.dated_at in (timedelta(0), timedelta(hours=10, minutes=31))


def test_a_desk_s_clock_may_be_five_minutes_fast() -> None:
    assert read(altered((">2026-01-15T09:31:00+00:00<", ">2026-01-15T10:36:00<"))).anomalies == ()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("RET", Code.FILE_TYPE_NOT_INBOUND),
        ("DIS", Code.FILE_TYPE_NOT_INBOUND),
        ("COP", Code.COPY_NOT_BY_MAIL),
    ],
)
def test_what_is_no_operation_of_a_desk_is_refused_by_name_and_not_judged_as_one(operation: str, code: Code) -> None:
    file = read(a_file(HousingRequest(), operation=operation))
    assert named(file.anomalies) == {(code, "/interfaceNuu/entete/typeFichier")}
    assert file.operation == operation
    assert file.requests == ()


def test_a_file_without_a_request_is_refused() -> None:
    assert named(read(a_file()).anomalies) == {(Code.FILE_WITHOUT_REQUEST, "/interfaceNuu")}


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        (">1990-02-28<", ">28/02/1990<", Code.XML_NOT_VALID, f"{APPLICANT}/dateNaissance"),
        (">1990-02-28<", "><", Code.XML_NOT_VALID, f"{APPLICANT}/dateNaissance"),
        (">true<", ">1<", Code.XML_NOT_VALID, f"{FORM}/logementRecherche/demandeElargie"),
        (">Durand<", f">{'x' * 101}<", Code.TEXT_TOO_LONG, f"{APPLICANT}/nom"),
        (">Durand<", "><tns:b/>Durand<", Code.XML_NOT_VALID, f"{APPLICANT}/nom"),
        ("<tns:nom>", '<tns:nom lang="fr">', Code.XML_NOT_VALID, f"{APPLICANT}/nom/@*"),
        ("<tns:demandeur>", "<tns:demandeur>texte", Code.XML_NOT_VALID, APPLICANT),
        ("</tns:prenom>", "</tns:prenom>texte", Code.XML_NOT_VALID, APPLICANT),
        ("<tns:demandeur>", "<tns:demandeur><tns:secret/>", Code.XML_NOT_VALID, f"{APPLICANT}/*[1]"),
        ("<tns:demandeur>", "<tns:demandeur><nom>x</nom>", Code.XML_NOT_VALID, f"{APPLICANT}/*[1]"),
        ("<tns:nom>", "<tns:nom>Autre</tns:nom><tns:nom>", Code.XML_NOT_VALID, f"{APPLICANT}/nom[2]"),
        ('code="T3"', 'code="T3" n="1"', Code.XML_NOT_VALID, f"{TYPES}/typeLogement[1]/@*"),
        (T4, "<tns:typeLogement>x</tns:typeLogement>", Code.XML_NOT_VALID, f"{TYPES}/typeLogement[2]"),
        (T4, "<tns:type/>", Code.XML_NOT_VALID, f"{TYPES}/*[2]"),
        ("<tns:demandeLogement>", '<tns:demandeLogement x="1">', Code.XML_NOT_VALID, f"{FORM}/@*"),
        ("<tns:demande>", "<tns:demande><tns:numUnique>1</tns:numUnique>", Code.NUMBER_GIVEN, f"{REQUEST}/numUnique"),
    ],
)  # fmt: skip
def test_a_fault_of_a_request_is_its_own_and_named_once(old: str, new: str, code: Code, path: str) -> None:
    file = read(altered((old, new)))
    assert file.anomalies == ()
    assert named(file.requests[0].anomalies) == {(code, path)}


def test_everything_wrong_with_a_request_is_told_at_once() -> None:
    municipalities = "".join(
        f'<tns:localisationSouhaite><tns:commune code="59{n:03}"/></tns:localisationSouhaite>' for n in range(1, 10)
    )
    content = altered(
        ("<tns:prenom>Zoé</tns:prenom>", ""),
        (">2026-01-12<", ">2026-03-01<"),
        (">true<", ">peut-être<"),
        ('code="T4"', 'code="T44"'),
        ('code="59512"', 'code="99512"'),
        ("</tns:listeLocalisationSouhaite>", f"{municipalities}</tns:listeLocalisationSouhaite>"),
        (">59123<", ">59999<"),
    )
    (request,) = read(content).requests
    assert named(request.anomalies) == {
        (Code.VALUE_MISSING, f"{APPLICANT}/prenom"),
        (Code.DEPOSIT_IN_FUTURE, f"{FORM}/dateCreationDemande"),
        (Code.XML_NOT_VALID, f"{FORM}/logementRecherche/demandeElargie"),
        (Code.CODE_UNKNOWN, f"{TYPES}/typeLogement[2]"),
        (Code.TERRITORY_UNKNOWN, f"{PLACES}/localisationSouhaite[2]/commune"),
        (Code.PLACES_TOO_MANY, PLACES),
        (Code.DESK_MISMATCH, f"{FORM}/numGuichet"),
    }


def test_a_fault_leaves_the_other_requests_alone() -> None:
    bad = a_form({"logementRecherche/listeTypeLogement": None})
    file = read(a_file(a_form(), bad, a_form()))
    assert [bool(request.anomalies) for request in file.requests] == [False, True, False]
    assert named(file.requests[1].anomalies) == {
        (Code.VALUE_MISSING, "/interfaceNuu/demande[2]/demandeLogement/logementRecherche/listeTypeLogement")
    }


def test_a_demande_without_its_form_is_named() -> None:
    content = a_file(a_form()).decode()
    start, end = content.index("<tns:demandeLogement>"), content.index("</tns:demande>")
    (request,) = read((content[:start] + content[end:]).encode()).requests
    assert request.form is None
    assert named(request.anomalies) == {(Code.VALUE_MISSING, FORM)}


def test_any_order_of_elements_is_read() -> None:
    text = a_file(a_form()).decode()
    start, end = text.index("<tns:pieceIdentite>"), text.index("<tns:logementRecherche>")
    moved = text[:start] + text[end:].replace("</tns:demandeLogement>", text[start:end] + "</tns:demandeLogement>")
    (request,) = read(moved.encode()).requests
    assert (request.form, request.anomalies) == (a_form(), ())


def test_a_hint_where_the_schema_lies_is_ignored() -> None:
    hint = (
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://nuu.application.i2/ nuu.xsd"'
    )
    file = read(altered((' versionInterface="02.01"', f'{hint} versionInterface="02.01"')))
    assert file.anomalies == ()
    assert file.requests[0].anomalies == ()


def test_comments_and_sections_are_read_through() -> None:
    (request,) = read(altered((">Durand<", "><!-- a -->Du<![CDATA[ran]]>d<?b c?><"))).requests
    assert (request.form, request.anomalies) == (a_form(), ())


def test_a_request_over_its_limit_is_refused_alone() -> None:
    large = a_form({"logementRecherche/listeTypeLogement": ["T3"] * 100})
    limit = len(a_file(a_form())) + 200
    limits = FileLimits(file_bytes_max=1 << 20, request_bytes_max=limit, requests_max=10, nodes_max=10_000)
    first, second = read(a_file(a_form(), large), limits=limits).requests
    assert first.anomalies == ()
    assert second.form is None
    assert named(second.anomalies) == {(Code.FILE_TOO_LARGE, "/interfaceNuu/demande[2]")}


def test_too_many_requests_are_refused_as_a_whole() -> None:
    limits = FileLimits(file_bytes_max=1 << 20, request_bytes_max=1 << 18, requests_max=2, nodes_max=10_000)
    file = read(a_file(*[a_form()] * 3), limits=limits)
    assert named(file.anomalies) == {(Code.XML_LIMITS_EXCEEDED, "/interfaceNuu")}
    assert file.requests == ()


def test_the_digest_of_a_request_tells_what_is_asked_and_not_how_it_is_written() -> None:
    one = read(a_file(a_form(), reference="A")).requests[0]
    other = read(altered((">Durand<", ">\n  Durand <"))).requests[0]
    different = read(altered((">Durand<", ">Durant<"))).requests[0]
    assert one.digest == other.digest != different.digest


def test_the_digest_of_a_request_stays_the_same_from_release_to_release() -> None:
    digest = read(a_file(a_form())).requests[0].digest
    assert digest == "5c05ec8cb4bcb8a893a45c1c4bb94587ec4efbbe2cf82aff72d88a77d95d5515"
    assert digest_of(HousingRequest(sought=HousingSought())) == sha256(b'{"logementRecherche":{}}').hexdigest()


def test_an_empty_reference_is_none() -> None:
    assert read(a_file(a_form(), reference=" ")).requests[0].reference is None


def test_text_astray_hides_no_missing_value() -> None:
    content = altered(("<tns:demandeur>", "<tns:demandeur>texte"), ("<tns:nom>Durand</tns:nom>", ""))
    assert named(read(content).requests[0].anomalies) == {
        (Code.XML_NOT_VALID, APPLICANT),
        (Code.VALUE_MISSING, f"{APPLICANT}/nom"),
    }


@given(st.sampled_from(["Durand", "Zoé", "1990-02-28", "59000", "T4", "59512", "59123", "true", "nom", "typeLogement"]))
def test_no_value_and_no_unknown_name_is_ever_repeated(value: str) -> None:
    file = read(altered((value, "Sekret<Sekret Sekret='Sekret'/>" if value[0].islower() is False else "Sekret")))
    told = [*file.anomalies, *(anomaly for request in file.requests for anomaly in request.anomalies)]
    assert told
    assert not any("Sekret" in repr(anomaly) for anomaly in told)


def test_a_request_of_nothing_but_faults_is_answered_within_bounds() -> None:
    strangers = "<tns:x/>" * 20_000
    file = read(altered(("<tns:demandeur>", f"<tns:demandeur>{strangers}")))
    (request,) = file.requests
    assert len(request.anomalies) == 101
    assert request.anomalies[-1] == Anomaly(code=Code.MORE_ANOMALIES, path=REQUEST)


def test_a_file_of_nothing_but_faults_is_answered_within_bounds() -> None:
    file = read(altered(("<tns:demande>", f"{'<tns:x/>' * 20_000}<tns:demande>")))
    assert len(file.anomalies) == 101
    assert file.anomalies[-1] == Anomaly(code=Code.MORE_ANOMALIES, path="/interfaceNuu")
