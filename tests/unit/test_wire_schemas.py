"""What we publish: generated, committed, and true of what the code accepts."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.core.shapes import WireModel, shape_of
from mailflow.wire.catalogue import published
from mailflow.wire.codec import build, read
from mailflow.wire.envelope import InterfaceFile
from mailflow.wire.xsd import extension_schema, interface_schema, validator
from tests.support.available import require
from tests.support.requests import FORM, a_file, a_form

SCHEMAS = Path(__file__).parents[2] / "schemas"
PUBLISHED = published()
XS = "{http://www.w3.org/2001/XMLSchema}"


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_committed_is_what_the_models_give(name: str) -> None:
    assert (SCHEMAS / name).read_bytes() == PUBLISHED[name], "run `make schemas`"


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if name.endswith(".xml")))
def test_samples_are_valid(name: str) -> None:
    root = etree.fromstring(PUBLISHED[name])
    schema = etree.XMLSchema(etree.fromstring(extension_schema())) if name.endswith("accuse.xml") else validator()
    assert schema.validate(root), schema.error_log


@pytest.mark.parametrize("name", sorted(name for name in PUBLISHED if name.endswith(".xml")))
def test_samples_are_valid_for_xmllint(name: str) -> None:
    require("xmllint")
    schema = "mailflow-1.xsd" if name.endswith("accuse.xml") else "nuu.xsd"
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


@given(st.data())
@settings(max_examples=150)
def test_the_codec_and_the_schema_agree(data: st.DataObject) -> None:
    """One value of a valid file is replaced by anything: both accept it, or neither."""
    root = etree.fromstring(a_file(a_form({"versionFormulaire": "05"}), reference="D-1"))
    leaf = data.draw(st.sampled_from([element for element in root.iter() if not len(element)]))
    value = data.draw(
        st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32, max_codepoint=0xFFFD), max_size=12)
        | st.sampled_from(
            ["", " true ", "2024-02-29", " 2023-02-29", "2024-02-29Z", "1", "x" * 64, "x" * 65, "x" * 151]
        )
        | st.from_regex(r"\A20[0-9]{2}-[0-1][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|\+0[0-9]:00)?)?\Z")
    )
    if leaf.attrib:
        leaf.set(data.draw(st.sampled_from(["code", "autre"])), value)
    else:
        leaf.text = value
    _, faults = read(root, InterfaceFile, "/interfaceNuu")
    assert (faults == ()) == validator().validate(root), (etree.tostring(leaf), faults)


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
