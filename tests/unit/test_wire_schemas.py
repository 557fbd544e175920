"""What we publish: generated, committed, and true of what the code accepts."""

import json
import re
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.core.shapes import WireModel, models_below, shape_of
from mailflow.wire.acknowledgement import Acknowledgement, Reception
from mailflow.wire.catalogue import published
from mailflow.wire.codec import EXTENSION, NUU, build, read, to_bytes, write
from mailflow.wire.envelope import ROOT, Header, InterfaceFile, RequestElement
from mailflow.wire.management import ManagementFile
from mailflow.wire.reader import read_file
from mailflow.wire.samples import EXCHANGES, Exchange, FileSample
from mailflow.wire.xsd import extension_validator, interface_schema, validator
from tests.support.available import require
from tests.support.requests import FORM, LIMITS, request_elements

SCHEMAS = Path(__file__).parents[2] / "schemas"
PUBLISHED = published()
XS = "{http://www.w3.org/2001/XMLSchema}"


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_committed_is_what_the_models_give(name: str) -> None:
    assert (SCHEMAS / name).read_bytes() == PUBLISHED[name], "run `make schemas`"


def is_ours(name: str) -> bool:
    """Whether the sample is in our namespace."""
    return etree.QName(etree.fromstring(PUBLISHED[name])).namespace == EXTENSION


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if name.endswith(".xml")))
def test_samples_are_valid(name: str) -> None:
    root = etree.fromstring(PUBLISHED[name])
    schema = extension_validator() if is_ours(name) else validator()
    assert schema.validate(root), schema.error_log


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if name.endswith(".xml")))
def test_samples_are_valid_for_xmllint(name: str) -> None:
    require("xmllint")
    schema = "mailflow-1.xsd" if is_ours(name) else "nuu.xsd"
    done = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--schema", SCHEMAS / schema, SCHEMAS / name],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_schema_has_the_public_names_of_the_interface() -> None:
    names = {element.get("name") for element in etree.fromstring(interface_schema()).iter(f"{XS}element")}
    assert names >= {
        "interfaceNuu", "entete", "typeFichier", "dateFichier", "demande", "demandeLogement", "numUnique", "numGuichet",
        "dateCreationDemande", "logementRecherche", "demandeElargie", "listeTypeLogement", "typeLogement",
        "listeLocalisationSouhaite", "localisationSouhaite", "commune", "personnePhysique", "demandeur",
        "dateNaissance", "listeAnomalie", "anomalie",
    }  # fmt: skip


def test_the_catalogue_is_published_whole() -> None:
    entries = json.loads(PUBLISHED["anomalies.json"])
    assert [entry["code"] for entry in entries] == list(Code)
    assert all(all(entry.values()) for entry in entries)


VALUES = (
    st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32, max_codepoint=0xFFFD), max_size=12)
    | st.sampled_from(["", " true ", "2024-02-29", " 2023-02-29", "2024-02-29Z", "1", "x" * 64, "x" * 65, "x" * 151])
    | st.sampled_from(
        ["12.5", "12.50", "12.500", "12,5", "-1", "+1", "007", "1e2", "99999999.99", "1899", "2099", "2100"]
    )
    | st.from_regex(r"\A20[0-9]{2}-[0-1][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|\+0[0-9]:00)?)?\Z")
)
NUU_NAMES = sorted({element.get("name") or "" for element in etree.fromstring(interface_schema()).iter(f"{XS}element")})


def mutate(data: st.DataObject, request: etree._Element) -> None:
    """One thing below a request is changed: a value, or where and how often elements stand."""
    draw = data.draw
    element = draw(st.sampled_from(list(request.iter())))
    parent = element.getparent()
    if element is request or parent is None:
        return
    match draw(st.sampled_from(["value", "value", "value", "text", "delete", "repeat", "move", "rename", "attribute"])):
        case "value" if element.attrib:
            element.set(draw(st.sampled_from(sorted(map(str, element.attrib)))), draw(VALUES))
        case "value" | "text" if not len(element):
            element.text = draw(VALUES)
        case "text":
            element.text = draw(st.sampled_from(["", " ", "\n\t", "\u00a0", "x"]))
        case "delete":
            parent.remove(element)
        case "repeat":
            parent.insert(draw(st.integers(0, len(parent))), deepcopy(element))
        case "move":
            parent.insert(draw(st.integers(0, len(parent))), element)
        case "rename":
            element.tag = f"{{{NUU}}}{draw(st.sampled_from(NUU_NAMES))}"
        case "attribute":
            name = draw(st.sampled_from(["code", "autre", f"{{{EXTENSION}}}reference", f"{{{EXTENSION}}}autre"]))
            element.set(name, draw(VALUES))


DOCUMENTS = [
    content
    for name, content in sorted(PUBLISHED.items())
    if name.endswith(".xml") and not is_ours(name) and b"<tns:demande" in content
]


@given(st.data())
@settings(max_examples=600)
def test_the_codec_and_the_schema_agree(data: st.DataObject) -> None:
    """A sample of any operation, sent or returned, is changed in one to three places: both accept it, or neither."""
    root = etree.fromstring(data.draw(st.sampled_from(DOCUMENTS)))
    requests = root.findall(f"{{{NUU}}}demande")
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, data.draw(st.sampled_from(requests)))
    root = etree.fromstring(etree.tostring(root))
    _, faults = read(root, InterfaceFile, "/interfaceNuu")
    assert (faults == ()) == validator().validate(root), (faults, validator().error_log)


@given(request_elements())
@settings(max_examples=100)
def test_a_document_that_was_read_is_written_again_the_same(request: RequestElement) -> None:
    header = Header(file_type="CRE", dated_at=EXCHANGES[0].made_at)
    content = to_bytes(write(InterfaceFile(version="02.01", header=header, requests=(request,)), ROOT, NUU))
    root = etree.fromstring(content)
    document, faults = read(root, InterfaceFile, "")
    assert faults == ()
    assert to_bytes(write(document, ROOT, NUU)) == content
    assert validator().validate(root), validator().error_log


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if "/DEM" in name))
def test_a_sample_is_read_and_written_again_the_same(name: str) -> None:
    document, faults = read(etree.fromstring(PUBLISHED[name]), InterfaceFile, "")
    assert faults == ()
    assert to_bytes(write(document, ROOT, NUU)) == PUBLISHED[name]


@pytest.mark.parametrize("exchange", EXCHANGES[:2], ids=lambda exchange: exchange.folder)
def test_samples_of_whole_forms_give_no_cause_for_any_anomaly(exchange: Exchange) -> None:
    (sample,) = exchange.files
    content = sample.content(exchange.made_at)
    file = read_file(exchange.name(sample), content, limits=LIMITS, received_at=exchange.received_at)
    assert file.anomalies == file.requests[0].anomalies == ()


def test_the_sample_in_json_is_that_in_xml() -> None:
    form = HousingRequest.model_validate_json(PUBLISHED["exemples/creation/demandeLogement.json"], by_name=False)
    (sample,) = EXCHANGES[0].files
    assert isinstance(sample, FileSample)
    assert sample.requests[0].form == form


def test_the_samples_use_every_element_and_attribute() -> None:
    samples = b"".join(content for name, content in PUBLISHED.items() if name.endswith(".xml"))
    names = {name for model in (InterfaceFile, Acknowledgement, Reception, ManagementFile) for name in names_of(model)}
    assert [name for name in sorted(names) if not re.search(rf"[: ]{name}[ />=]".encode(), samples)] == []


def names_of(root: type[WireModel]) -> Iterator[str]:
    for model in models_below(root):
        yield from (shape.wire_name for shape in shape_of(model))


def test_every_model_below_the_root_is_reached_by_one_shape() -> None:
    seen: set[type[WireModel]] = set()

    def walk(model: type[WireModel]) -> None:
        seen.add(model)
        for shape in shape_of(model):
            assert (shape.model is None) != (shape.plain is None)
            if shape.model is not None and shape.model not in seen:
                walk(shape.model)

    walk(InterfaceFile)
    assert HousingRequest in seen


def test_json_that_the_model_cannot_hold_is_named_by_the_same_paths() -> None:
    data = {
        **FORM,
        "numGuichet": 59123,
        "surprise": "x",
        "form_version": "05",
        "logementRecherche": {
            "demandeElargie": "oui",
            "listeTypeLogement": ["T3", 4, "x" * 65],
            "listeLocalisationSouhaite": [{"commune": "59350"}, "59512", {"commune": ["59512"], "autre": 1}],
        },
    }
    form, faults = build(HousingRequest, data, "/d")
    assert [fault.path for fault in faults].count("/d/*") == 2
    assert {(fault.code, fault.path) for fault in faults} == {
        (Code.XML_NOT_VALID, "/d/numGuichet"),
        (Code.XML_NOT_VALID, "/d/*"),
        (Code.XML_NOT_VALID, "/d/logementRecherche/demandeElargie"),
        (Code.XML_NOT_VALID, "/d/logementRecherche/listeTypeLogement/typeLogement[2]"),
        (Code.TEXT_TOO_LONG, "/d/logementRecherche/listeTypeLogement/typeLogement[3]"),
        (Code.XML_NOT_VALID, "/d/logementRecherche/listeLocalisationSouhaite/localisationSouhaite[2]"),
        (Code.XML_NOT_VALID, "/d/logementRecherche/listeLocalisationSouhaite/localisationSouhaite[3]/commune"),
        (Code.XML_NOT_VALID, "/d/logementRecherche/listeLocalisationSouhaite/localisationSouhaite[3]/*"),
    }
    assert form.desk is None
    assert form.sought
    assert form.sought.types == ("T3", "", "")
    assert [place.municipality for place in form.sought.places] == ["59350", None, None]
