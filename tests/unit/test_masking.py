"""Files without what they say: only our own words are ever shown, whatever is sent."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from mailflow.core.codes import code_lists
from mailflow.core.model import Operation
from mailflow.core.shapes import WireModel, models_below, shape_of
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.management import MANAGEMENT, ManagementFile, ManagementType
from mailflow.wire.masking import masked_file, shape
from mailflow.wire.xml import XmlLimits
from tests.support.requests import RECEIVED_AT, a_form, request_elements

LIMITS = XmlLimits(bytes_max=1 << 20, nodes_max=100_000)
WORD = re.compile(r"[^\W_]+")
SHAPE = re.compile(r"[9xXéÉ]+")


def names(model: type[WireModel]) -> set[str]:
    """Every name of elements and attributes below a model."""
    shapes = [one for each in models_below(model) for one in shape_of(each)]
    return {one.wire_name for one in shapes} | {one.items.name for one in shapes if one.items}


OURS = {
    *names(InterfaceFile),
    *names(ManagementFile),
    *(value for values in code_lists().lists.values() for value in values),
    *(value for words in (VERSIONS, Operation, ManagementType, code_lists().versions) for value in words),
    *(ROOT, MANAGEMENT, "demande", "code", "tns", "mf", "inconnu", "true", "false", "02", "01"),
    *("xml", "version", "encoding", "xmlns"),
}


def foreign(lines: list[str], *more: str) -> set[str]:
    """Words that are neither ours nor the shape of one."""
    words = {word for line in lines for word in WORD.findall(line)}
    return {word for word in words - OURS - set(more) if not SHAPE.fullmatch(word)}


def file_of(*elements: RequestElement) -> bytes:
    header = Header(file_type="CRE", dated_at=RECEIVED_AT)
    return to_bytes(write(InterfaceFile(version="02.01", header=header, requests=elements), ROOT, NUU))


@given(st.lists(request_elements(), max_size=2))
def test_of_any_file_only_our_words_are_shown(elements: list[RequestElement]) -> None:
    desks = [form.desk for element in elements if (form := element.form) and form.desk]
    assert foreign(masked_file(file_of(*elements), LIMITS), *WORD.findall(" ".join(desks))) == set()


@example("nomÀ".encode())
@given(st.binary() | st.text().map(str.encode) | st.from_regex(r"<\w+( \w+='\w+')*>\w*</\w+>").map(str.encode))
def test_of_any_octets_only_our_words_are_shown(content: bytes) -> None:
    assert foreign(masked_file(content, LIMITS)) == set()


@given(st.text())
def test_a_shape_is_as_long_as_what_it_stands_for(text: str) -> None:
    assert len(shape(text)) == len(text)
    assert shape(shape(text)) == shape(text)


def test_a_file_stays_readable() -> None:
    form = a_form({"personnePhysique/demandeur/nom": "Légrand-Ÿ", "personnePhysique/demandeur/nir": "188027512345678"})
    text = "\n".join(masked_file(file_of(RequestElement(form=form, reference="Dossier 7")), LIMITS))
    for shown in (
        '<tns:interfaceNuu versionInterface="02.01">',
        "<tns:typeFichier>CRE</tns:typeFichier>",
        '<tns:demande mf:reference="Xxxxxxx 9">',
        "<tns:numGuichet>59123</tns:numGuichet>",
        "<tns:nom>Xéxxxxx-É</tns:nom>",
        "<tns:nir>999999999999999</tns:nir>",
        "<tns:dateNaissance>9999-99-99</tns:dateNaissance>",
        "<tns:courriel>xxx@xxxxxxx.xxxxxxx</tns:courriel>",
        '<tns:typeLogement code="T3"/>',
        '<tns:commune code="99999"/>',
        "<tns:demandeElargie>true</tns:demandeElargie>",
    ):
        assert shown in text


def test_what_the_models_do_not_know_has_no_name() -> None:
    content = f'<a:{ROOT} xmlns:a="{NUU}"><a:durand zoe="1">Petit<a:nom>Moreau</a:nom></a:durand></a:{ROOT}>'.encode()
    assert masked_file(content, LIMITS) == [
        "<tns:interfaceNuu>",
        '  <tns:inconnu inconnu="9">Xxxxx',
        "    <tns:inconnu>Xxxxxx</tns:inconnu>",
        "  </tns:inconnu>",
        "</tns:interfaceNuu>",
    ]


def test_a_file_that_cannot_be_read_shows_where_it_breaks() -> None:
    lines = masked_file(f"<{ROOT}>\n <nom>Durand</nom>\n <prenom>Zoé</nom>".encode(), LIMITS)
    assert lines == [f"<{ROOT}>", " <nom>Xxxxxx</nom>", " <prenom>Xxé</nom>"]
