"""What mails should have brought about, read by other means: each thing that does not agree is told by its name."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.promises import Promise
from mailflow.mail import entities
from mailflow.review.recounting import (
    Asked,
    Made,
    Order,
    Record,
    Told,
    ToldFile,
    broken,
    files_in,
    read_file,
    read_order,
)
from tests.support.judging import a_dem, dem_name, dem_part, multipart

NUMBERS = ("059022600000159123", "059022600000259123")
FILE = a_dem("Durand", 2)
CONTENT = multipart(dem_part(count=2), b"Content-Type: text/plain\r\n\r\nBonjour")


def ret(*numbers: str | None) -> bytes:
    said = (f"<numUnique>{n}</numUnique>" if n else "<listeAnomalie><anomalie/></listeAnomalie>" for n in numbers)
    requests = "".join(f"<demande>{one}</demande>" for one in said)
    return f'<interfaceNuu xmlns="http://nuu.application.i2/">{requests}</interfaceNuu>'.encode()


def right() -> Record:
    """One file of two creations, both numbered."""
    outcomes = tuple(Told(number=number, anomalies=0, replayed=False) for number in NUMBERS)
    told = ToldFile(
        name=dem_name(),
        digest=hashlib.sha256(FILE).hexdigest(),
        record="r1",
        repeated=False,
        anomalies=0,
        outcomes=outcomes,
    )
    order = Order(sender="mairie", recipient="a@mairie.example", anomalies=0, files=(told,))
    made = {n: Made(record="r1", position=p, intake=7, desk="59123") for p, n in enumerate(NUMBERS)}
    return Record(
        intake=7,
        sender="mairie",
        proven="mairie",
        order=order,
        recipients=frozenset({"a@mairie.example"}),
        address="b@mairie.example",
        is_frozen=True,
        returned={"r1": ret(*NUMBERS)},
        made=made,
    )


def with_file(record: Record, **changes: object) -> Record:
    assert record.order is not None
    file = replace(record.order.files[0], **changes)  # type: ignore[arg-type]  # any of its fields
    return replace(record, order=replace(record.order, files=(file,)))


def with_number(record: Record, number: str | None, **changes: object) -> Record:
    """The first outcome is another."""
    assert record.order is not None
    first, second = record.order.files[0].outcomes
    first = replace(first, number=number, **changes)  # type: ignore[arg-type]  # any of its fields
    made = {number: record.made[NUMBERS[0]], NUMBERS[1]: record.made[NUMBERS[1]]} if number else record.made
    told = with_file(record, outcomes=(first, second))
    return replace(told, made=made, returned={"r1": ret(number, NUMBERS[1])})


def test_what_was_decided_rightly_is_not_doubted() -> None:
    assert list(broken(CONTENT, right())) == []
    refused = replace(with_number(right(), None, anomalies=1), made={NUMBERS[1]: right().made[NUMBERS[1]]})
    assert list(broken(CONTENT, refused)) == []
    moved = replace(right(), recipients=frozenset({"b@mairie.example"}))
    assert list(broken(CONTENT, moved)) == [], "it goes where the sender's answers go today"


HARMS: dict[Promise, list[Callable[[Record], Record]]] = {
    Promise.FILES: [
        lambda record: with_file(record, name=dem_name(2)),
        lambda record: with_file(record, digest="0" * 64),
    ],
    Promise.OUTCOMES: [
        lambda record: with_file(record, outcomes=record.order.files[0].outcomes[:1] if record.order else ()),
        lambda record: with_number(record, None),
    ],
    Promise.FOLLOWS: [
        lambda record: with_number(record, "060022600000159123"),
        lambda record: with_number(record, "059032600000159123"),
        lambda record: with_number(record, "059022600000159124"),
    ],
    Promise.ONE: [
        lambda record: with_number(record, NUMBERS[1]),
        lambda record: replace(record, made={NUMBERS[0]: record.made[NUMBERS[0]]}),
        lambda record: replace(record, made={n: replace(m, intake=8) for n, m in record.made.items()}),
        lambda record: replace(record, made={n: replace(m, record="r2") for n, m in record.made.items()}),
        lambda record: replace(record, made={n: replace(m, position=1) for n, m in record.made.items()}),
    ],
    Promise.RETURNED: [
        lambda record: replace(record, returned={"r1": ret(NUMBERS[1], NUMBERS[0])}),
        lambda record: replace(record, returned={"r1": ret(NUMBERS[0])}),
        lambda record: replace(record, returned={"r1": b"<"}),
        lambda record: replace(record, returned={}),
    ],
    Promise.RECIPIENT: [
        lambda record: replace(record, recipients=frozenset({"c@elsewhere.example"})),
        lambda record: replace(record, sender="other"),
        lambda record: replace(record, proven="other"),
    ],
    Promise.TOLD: [
        lambda record: replace(record, order=None),
        lambda record: replace(record, made={**record.made, "059022600000359123": record.made[NUMBERS[0]]}),
    ],
}


@pytest.mark.parametrize(
    ("promise", "harm"),
    [(promise, harm) for promise, harms in HARMS.items() for harm in harms],
)
def test_each_harm_is_told_by_its_name(promise: Promise, harm: Callable[[Record], Record]) -> None:
    assert promise in {told for told, _ in broken(CONTENT, harm(right()))}


def test_every_promise_is_tried() -> None:
    assert set(HARMS) | {Promise.PROVEN} == set(Promise)


def test_a_change_is_of_the_number_that_the_file_names() -> None:
    renewal = FILE.replace(b">CRE<", b">REN<").replace(
        b"<tns:demandeLogement", b"<tns:numUnique>059022600000159123</tns:numUnique><tns:demandeLogement", 1
    )
    content = entities.file_part(dem_name(), renewal, "application/xml")
    record = with_file(right(), digest=hashlib.sha256(renewal).hexdigest())
    told = [about for promise, about in broken(content, record) if promise is Promise.FOLLOWS]
    assert told == ["file 1, request 2: another number than the file names"]


def test_files_are_found_in_parts_and_in_zips() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(dem_name(2), FILE)
        archive.writestr("other.txt", b"x")
    inside = entities.file_part("files.zip", packed.getvalue(), "application/zip")
    content = multipart(dem_part(1), inside, dem_part(3))
    assert [name for name, _ in files_in(content)] == [dem_name(1), dem_name(2), dem_name(3)]


def test_a_file_is_read_as_far_as_it_is_compared() -> None:
    read = read_file(FILE)
    assert read is not None
    assert (read.operation, len(read.requests), read.anomalies) == ("CRE", 2, 0)
    assert read.requests[0] == Asked(desk="59123", deposited="2026-02-10", communes=("59350",))
    assert read_file(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>") is None
    assert read_file(b"") is None


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda inside: b"<a><demande>" + inside))
def test_any_octets_are_read_or_not(octets: bytes) -> None:
    read_file(octets)
    files_in(octets)
    list(broken(octets, right()))


def test_what_is_no_order_is_said_to_be_none() -> None:
    with pytest.raises((KeyError, TypeError)):
        read_order({"context": {}})
