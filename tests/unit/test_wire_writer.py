"""What goes back: valid against what we publish, the same bytes each time, and readable again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mailflow.core.anomalies import Anomaly, Code, Severity, catalogue
from mailflow.core.form import HousingRequest, without_nir
from mailflow.core.model import (
    Door,
    Environment,
    FileReceipt,
    Outcome,
    Refused,
    RequestFile,
    SenderCode,
)
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.wire.acknowledgement import write_receipt
from mailflow.wire.codec import read
from mailflow.wire.envelope import InterfaceFile
from mailflow.wire.reader import read_file
from mailflow.wire.writer import write_return
from mailflow.wire.xsd import extension_schema, validator
from tests.support.outcomes import done, retries
from tests.support.requests import LIMITS, NAME, RECEIVED_AT, a_file, a_form, forms

NUMBER = UniqueNumber("059012600004259123")
DECIDED_AT = RECEIVED_AT + timedelta(seconds=2, milliseconds=250)


def receipt_for(content: bytes, *outcomes: Outcome, name: str = NAME) -> FileReceipt:
    """The receipt of a file, with these outcomes; without any, each request gets what reading found."""
    file = read_file(name, content, limits=LIMITS, received_at=RECEIVED_AT)
    found = tuple(Refused(anomalies=request.anomalies) for request in file.requests)
    return FileReceipt(
        file=file, record="1", decided_at=DECIDED_AT, anomalies=file.anomalies, outcomes=outcomes or found
    )


def returned(receipt: FileReceipt) -> InterfaceFile:
    """The return as a desk's software reads it, after it has been validated."""
    root = etree.fromstring(write_return(receipt, environment=Environment.SCHOOL))
    assert validator().validate(root), validator().error_log
    document, faults = read(root, InterfaceFile, "")
    assert faults == ()
    return document


def test_a_registered_request_comes_back_with_its_number() -> None:
    (request,) = returned(receipt_for(a_file(a_form(), reference="D-1"), done(NUMBER))).requests
    assert (request.number, request.state, request.reference) == (NUMBER, "active", "D-1")
    assert request.form == a_form()
    assert request.anomalies == ()


def test_a_refused_request_comes_back_with_its_anomalies() -> None:
    anomalies = (Anomaly(code=Code.REQUEST_EXISTS, path="/interfaceNuu/demande[1]", number=NUMBER),)
    (request,) = returned(receipt_for(a_file(a_form()), Refused(anomalies=anomalies))).requests
    assert (request.number, request.state, request.form) == (None, None, a_form())
    (told,) = request.anomalies
    assert (told.code, told.path, told.number) == (Code.REQUEST_EXISTS, "/interfaceNuu/demande[1]", NUMBER)
    assert told.severity == "erreur"
    assert told.retry == "corriger"
    assert told.label
    assert told.remedy


def test_a_warning_asks_for_nothing_to_be_sent_again() -> None:
    warnings = (Anomaly(code=Code.TELEPHONE_DOUBTFUL), Anomaly(code=Code.REQUEST_MAY_EXIST, number=NUMBER))
    receipt = receipt_for(a_file(a_form()), done(NUMBER, *warnings))
    again = replace(receipt, anomalies=(Anomaly(code=Code.FILE_CONTENT_KNOWN),))
    assert retries(again) == [
        (Code.FILE_CONTENT_KNOWN, None),
        (Code.TELEPHONE_DOUBTFUL, None),
        (Code.REQUEST_MAY_EXIST, None),
    ]
    assert {entry.code for entry in catalogue().values() if entry.severity is Severity.WARNING and entry.retry} == set()


def test_the_first_child_of_an_anomaly_holds_its_text() -> None:
    content = write_return(receipt_for(a_file(HousingRequest())), environment=Environment.SCHOOL)
    for anomaly in etree.fromstring(content).iter("{http://nuu.application.i2/}anomalie"):
        assert (anomaly[0].text or "").endswith(".")


def test_good_and_bad_requests_come_back_in_their_order() -> None:
    receipt = receipt_for(
        a_file(a_form(), a_form(), a_form()),
        done(NUMBER),
        Refused(anomalies=(Anomaly(code=Code.REQUEST_EXISTS),)),
        done(NUMBER, Anomaly(code=Code.FILE_CONTENT_KNOWN)),
    )
    requests = returned(receipt).requests
    assert [request.number for request in requests] == [NUMBER, None, NUMBER]
    assert [len(request.anomalies) for request in requests] == [0, 1, 1]


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"<a/>", b"<!DOCTYPE a><a/>"])
def test_an_unreadable_file_gets_a_header_and_its_anomalies(content: bytes) -> None:
    document = returned(receipt_for(content))
    assert document.header
    assert (document.header.file_type, document.header.dated_at) == ("RET", RECEIVED_AT + timedelta(seconds=2))
    assert document.anomalies
    assert document.requests == ()


def test_a_return_says_what_it_answers_and_where_it_comes_from() -> None:
    receipt = receipt_for(a_file(a_form()))
    document = returned(receipt)
    assert document.environment == "ecole"
    assert document.answered_file == NAME
    assert document.answered_digest == receipt.file.digest
    assert document.version == "02.01"


def test_a_name_that_is_none_of_the_interface_is_not_repeated() -> None:
    assert returned(receipt_for(a_file(a_form()), name="Durand\r\nBcc: x.xml")).answered_file is None


def test_a_value_that_the_model_cannot_hold_is_not_repeated() -> None:
    content = a_file(a_form()).replace(b">1990-02-28<", b">28 fevrier<")
    (request,) = returned(receipt_for(content)).requests
    assert request.form
    assert request.form.person
    assert request.form.person.applicant
    assert request.form.person.applicant.born_on is None
    assert request.form.person.applicant.surname == "Durand"


@given(forms())
@settings(max_examples=60)
def test_any_form_is_returned_valid_and_whole(form: HousingRequest) -> None:
    receipt = receipt_for(a_file(form))
    (request,) = returned(receipt).requests
    assert request.form == without_nir(form)
    assert write_return(receipt, environment=Environment.SCHOOL) == write_return(
        receipt, environment=Environment.SCHOOL
    )


@given(st.binary(max_size=200), st.text(max_size=30))
def test_any_file_is_returned_valid(content: bytes, name: str) -> None:
    returned(receipt_for(content, name=name))


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_returned_valid(data: st.DataObject) -> None:
    content = bytearray(a_file(a_form(), a_form()))
    start = data.draw(st.integers(0, len(content)))
    content[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=6))
    returned(receipt_for(bytes(content)))


def test_every_code_of_the_catalogue_can_be_returned() -> None:
    anomalies = tuple(Anomaly(code=code) for code in Code)
    (request,) = returned(receipt_for(a_file(a_form()), Refused(anomalies=anomalies))).requests
    assert [told.code for told in request.anomalies] == list(Code)


def test_the_receipt_part_is_valid_and_counts_what_became_of_each_file() -> None:
    receipt = receipt_for(a_file(a_form(), a_form()), done(NUMBER), Refused(anomalies=()))
    unread = FileReceipt(
        file=RequestFile(name="autre", desk=DeskCode(""), digest="f" * 64), record=None, decided_at=DECIDED_AT
    )
    content = write_receipt(
        intake="812",
        environment=Environment.PRODUCTION,
        door=Door.MAIL,
        sender=SenderCode("lille"),
        signer="a" * 64,
        content_digest="b" * 64,
        received_at=datetime(2026, 7, 1, 10, 0, 0, 250_000, tzinfo=UTC),
        decided_at=DECIDED_AT,
        anomalies=(),
        files=(receipt, unread),
    )
    root = etree.fromstring(content)
    assert etree.XMLSchema(etree.fromstring(extension_schema())).validate(root)
    texts = {etree.QName(element).localname: element.text for element in root.iter() if not len(element)}
    assert texts["dateReception"] == "2026-07-01T12:00:00.250000+02:00"
    assert texts["canal"] == "mail"
    assert texts["environnement"] == "production"
    counts = [(e.findtext("{*}nom"), e.findtext("{*}enregistrees"), e.findtext("{*}refusees")) for e in root[-1]]
    assert counts == [(NAME, "1", "1"), (None, "0", "0")]
