"""What the service wrote is read by desks, and by itself after a loss: whatever is wrong in it is told as such."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from lxml import etree

from mailflow.core.form import HousingRequest, digest_of, without_nir
from mailflow.core.model import Operation
from mailflow.wire.acknowledgement import read_codes
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.dispatch import NotOfTheService, read_creations
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.samples import sample_files
from tests.fuzz.targets import answers
from tests.support.requests import forms

WRITTEN = {
    name: octets
    for name, octets in sample_files().items()
    if name.split("/")[1].startswith(("RET", "RGE", "DIS", "acc"))
}


def _spoilt(octets: bytes) -> Iterator[bytes]:
    """Without the first of its elements of a kind, or with nonsense in it."""
    tree = etree.ElementTree(etree.fromstring(octets))
    kinds = {re.sub(r"\[\d+\]", "", tree.getpath(element)): n for n, element in reversed([*enumerate(tree.iter())])}
    for n in kinds.values():
        for spoil in ("left out", "nonsense"):
            root = etree.fromstring(octets)
            element = list(root.iter())[n]
            if spoil == "left out" and (parent := element.getparent()) is not None:
                parent.remove(element)
            else:
                element[:] = []
                element.text = "?"
                element.attrib.update(dict.fromkeys(element.attrib, "?"))
            yield etree.tostring(root)


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_document_with_anything_spoilt_is_read_or_refused_as_its_reader_says(name: str) -> None:
    for octets in _spoilt(WRITTEN[name]):
        answers(octets)


def test_what_answers_no_file_of_the_interface_gives_no_numbers() -> None:
    written = WRITTEN["creation/RETZ0001-202601151030-000001.xml"]
    assert read_creations(written).numbers
    with pytest.raises(NotOfTheService):
        read_creations(written.replace(b'"DEMZ0001-', b'"?'))


@given(form=forms())
@settings(max_examples=50)
def test_a_repeated_form_tells_what_was_asked_for_to_who_has_the_form_itself(form: HousingRequest) -> None:
    """After a loss the register knows by that the same request in another file."""
    number, bare = "059022600000159123", without_nir(form)
    document = InterfaceFile(
        version=VERSIONS[-1],
        answered_file="DEM59123-202603021000-000004.xml",
        answered_digest="ab",
        header=Header(file_type=Operation.RETURN),
        requests=(
            RequestElement(reference="D", number=number, revision=1, form=bare),
            RequestElement(number=number, revision=1, form=bare),
            RequestElement(reference="E", number=number, revision=2, form=bare),
        ),
    )
    assert read_creations(to_bytes(write(document, ROOT, NUU))).repeatable == (("D", digest_of(bare), number),)


def test_codes_are_of_the_mail_as_a_whole_and_of_nothing_else() -> None:
    anomalies = '<listeAnomalie><anomalie code="CTRL_SYS_0009"/></listeAnomalie>'
    told = f'<accuse xmlns="urn:mailflow:interface:1">{anomalies}</accuse>'
    assert read_codes(told.encode()) == {"CTRL_SYS_0009"}
    assert read_codes(told.replace("accuse", "autre").encode()) == set()
    assert read_codes(told[:-1].encode()) == set()
