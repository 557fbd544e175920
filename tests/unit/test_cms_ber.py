"""The reader stays within its bounds and reads what asn1crypto reads; the writer writes DER."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail.cms import ber
from mailflow.mail.cms.ber import ELEMENTS_MAX, Element, LimitExceeded, Malformed, Reader
from tests.support.crafted import chunked, indefinite


def walk(reader: Reader, element: Element) -> None:
    if element.tag & ber.CONSTRUCTED:
        for child in reader.children(element, element.tag):
            walk(reader, child)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    reader = Reader(data)
    try:
        walk(reader, reader.root())
    except Malformed:
        return
    assert reader.visited <= len(data)


_LEAVES = st.one_of(st.binary(max_size=300).map(ber.octet_string), st.integers().map(ber.integer), st.just(ber.NULL))
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4).flatmap(
        lambda parts: st.sampled_from([ber.sequence(*parts), indefinite(0x30, *parts)])
    ),
    max_leaves=20,
)


@given(_TREES)
def test_every_tree_is_read_to_its_end(data: bytes) -> None:
    reader = Reader(data)
    root = reader.root()
    walk(reader, root)
    assert reader.raw(root) == data


@given(_TREES, st.binary(min_size=1, max_size=3))
def test_nothing_may_follow(data: bytes, more: bytes) -> None:
    with pytest.raises(Malformed):
        Reader(data + more).root()


@given(_TREES, st.data())
def test_a_truncated_tree_is_malformed(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(Malformed):
        Reader(data[:cut]).root()


@given(st.integers(-(1 << 500), 1 << 500))
def test_integers_are_those_of_asn1crypto(value: int) -> None:
    written = ber.integer(value)
    reader = Reader(written)
    assert reader.integer(reader.root()) == value
    assert core.Integer.load(written).native == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 1 << 60), max_size=4))
def test_object_identifiers_are_those_of_asn1crypto(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [first, second, *rest]))
    written = ber.oid(dotted)
    reader = Reader(written)
    assert reader.oid(reader.root()) == dotted
    assert core.ObjectIdentifier.load(written).dotted == dotted


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x2a\x80\x01", b"\x2a\x86", b"\x2a" + b"\x01" * 40])
def test_a_broken_object_identifier_is_malformed(content: bytes) -> None:
    reader = Reader(ber.der(ber.OID, content))
    with pytest.raises(Malformed):
        reader.oid(reader.root())


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 30)),  # noqa: DTZ001 - the strategy adds the zone
    st.integers(-12, 12),
)
def test_times_are_those_of_asn1crypto(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=UTC, microsecond=0)
    try:
        elsewhere = aware + timedelta(hours=hours) - timedelta(hours=hours)
    except OverflowError:
        return
    written = ber.time(elsewhere)
    kind = core.UTCTime if aware.year < 2050 else core.GeneralizedTime
    assert kind.load(written).native == aware


@given(st.binary(max_size=5000), st.integers(1, 300))
def test_an_octet_string_in_chunks_is_the_whole(content: bytes, octets: int) -> None:
    reader = Reader(chunked(content, octets))
    assert reader.octets(reader.root()) == content
    outer = indefinite(0x30, indefinite(0xA0, chunked(content, octets)))
    nested = Reader(outer)
    explicit = nested.only_child(nested.root(), 0x30)
    assert nested.octets(nested.only_child(explicit, 0xA0)) == content


def test_an_octet_string_in_chunks_may_have_a_definite_length() -> None:
    reader = Reader(ber.der(0x24, ber.octet_string(b"a"), ber.octet_string(b"b")))
    assert reader.octets(reader.root()) == b"ab"


@given(st.binary(max_size=500), st.integers(1, 300), st.integers(1, ber.CHUNKS_DEPTH_MAX + 3))
def test_chunks_inside_chunks_are_the_whole_down_to_a_depth(content: bytes, octets: int, depth: int) -> None:
    data = chunked(content, octets)
    for _ in range(depth - 1):
        data = indefinite(0x24, data)
    reader = Reader(data)
    if depth <= ber.CHUNKS_DEPTH_MAX:
        assert reader.octets(reader.root()) == core.OctetString.load(data).native == content
        return
    with pytest.raises(LimitExceeded, match="chunks nested too deep"):
        reader.octets(reader.root())


def test_a_chunk_of_another_type_is_malformed() -> None:
    for chunk in (ber.integer(1), ber.der(0x80, b"a"), ber.der(0xA0, ber.octet_string(b"a"))):
        reader = Reader(indefinite(0x24, indefinite(0x24, chunk)))
        with pytest.raises(Malformed):
            reader.octets(reader.root())


def test_each_element_of_indefinite_length_is_walked_once_however_deep() -> None:
    data = ber.octet_string(b"x") * 1000
    for _ in range(20):
        data = indefinite(0x30, data)
    reader = Reader(data)
    root = reader.root()
    walk(reader, root)
    # Twice at most: once to find the end, once to be looked at.
    assert reader.visited <= 2 * (1000 + 2 * 20) + 1


def test_a_stream_of_100_000_chunks_is_read_in_linear_work() -> None:
    content = bytes(100) * 900
    reader = Reader(chunked(content, 1))
    assert reader.octets(reader.root()) == content
    assert reader.visited <= 2 * len(content) + 2


def test_800_000_chunks_of_one_octet_are_refused_before_they_are_collected() -> None:
    for data in (chunked(bytes(800_000), 1), ber.der(0x24, ber.octet_string(b"x") * 800_000)):
        reader = Reader(data)
        with pytest.raises(LimitExceeded):
            reader.octets(reader.root())
        assert reader.visited == ELEMENTS_MAX + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x04\x80\x00\x00",  # primitive of indefinite length
        b"\x1f\x81\x01\x00",  # tag number over 30
        b"\x30\x85\x00\x00\x00\x00\x00",  # five octets of length
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x30\x80" * 10_000,
        b"\x30\x80" * 30 + b"\x00\x00" * 30,
    ],
)
def test_elements_that_are_not_for_us_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Reader(data).root()


def test_a_child_may_not_reach_beyond_its_parent() -> None:
    reader = Reader(ber.sequence(b"\x04\x05ab"))
    with pytest.raises(Malformed):
        reader.children(reader.root(), ber.SEQUENCE)


def test_a_set_of_is_written_in_the_order_of_der() -> None:
    assert ber.set_of(b"\x04\x01b", b"\x04\x01a", b"\x02\x01\x05") == b"\x31\x09\x02\x01\x05\x04\x01a\x04\x01b"


def test_only_what_has_no_octets_ends_an_indefinite_length() -> None:
    reader = Reader(bytes.fromhex("3080 0001aa 0000"))
    assert [(one.tag, one.start, one.end) for one in reader.children(reader.root(), ber.SEQUENCE)] == [(0, 2, 5)]


def test_a_primitive_has_no_elements() -> None:
    reader = Reader(ber.octet_string(ber.NULL))
    with pytest.raises(Malformed, match="primitive"):
        reader.children(reader.root(), ber.OCTET_STRING)


@pytest.mark.parametrize("octets", [0, ber.INTEGER_OCTETS_MAX + 1])
def test_an_integer_of_no_octets_or_of_too_many_is_malformed(octets: int) -> None:
    reader = Reader(ber.der(ber.INTEGER, b"\x01" * octets))
    with pytest.raises(Malformed, match="integer"):
        reader.integer(reader.root())


def test_each_limit_of_the_reader_holds_to_the_last() -> None:
    deepest = b""
    for _ in range(24):
        deepest = indefinite(0x30, deepest)
    assert Reader(deepest).root().end == len(deepest)
    with pytest.raises(LimitExceeded, match="nested too deep"):
        Reader(indefinite(0x30, deepest)).root()
    for octets, read in ((1, True), (64, True), (65, False)):
        number = ber.der(ber.INTEGER, b"\x01" * octets)
        assert fits(number, Reader.integer) is read
    for octets, read in ((1, True), (40, True), (41, False)):
        assert fits(ber.der(ber.OID, b"\x01" * octets), Reader.oid) is read


def fits(data: bytes, read: Callable[[Reader, Element], object]) -> bool:
    reader = Reader(data)
    try:
        read(reader, reader.root())
    except Malformed:
        return False
    return True


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"\x04\x84\0\0\0\x01", None),
        (b"\x04\x81\x01", None),
        (b"\x04\x85\0\0\0\0\x01", "length"),
        (b"\x04", "truncated"),
        (b"\x1f\x01", "tag number over 30"),
        (b"\x04\x02", "longer than its parent"),
        (b"\x04\x80", "primitive of indefinite length"),
        (b"\x04\0", "trailing data"),
    ],
)
def test_a_length_is_read_in_each_of_its_forms(head: bytes, why: str | None) -> None:
    data = head + b"a" if head != b"\x04" else head
    if why is None:
        reader = Reader(data)
        assert reader.octets(reader.root()) == b"a"
    else:
        with pytest.raises(Malformed, match=why):
            Reader(data).root()


@pytest.mark.parametrize("octets", [b"\x82\x01", b"\x84\0\0\0", b"\x81"])
def test_a_length_that_is_cut_off_is_malformed(octets: bytes) -> None:
    with pytest.raises(Malformed, match="length"):
        Reader(b"\x04" + octets).root()


@pytest.mark.parametrize("dotted", ["0.39", "1.39", "2.0", "2.39", "2.40", "2.120", "2.999.1"])
def test_the_first_two_arcs_of_an_object_identifier_are_told_apart(dotted: str) -> None:
    reader = Reader(ber.oid(dotted))
    assert reader.oid(reader.root()) == dotted == core.ObjectIdentifier.load(reader.data).dotted


@pytest.mark.parametrize(
    ("value", "octets"), [(0, "00"), (127, "7f"), (128, "0080"), (-1, "ff"), (-128, "ff80"), (255, "00ff")]
)
def test_integers_are_written_with_their_sign(value: int, octets: str) -> None:
    assert ber.integer(value) == ber.der(ber.INTEGER, bytes.fromhex(octets))


@pytest.mark.parametrize(("octets", "head"), [(0, "0400"), (127, "047f"), (128, "048180"), (256, "04820100")])
def test_lengths_are_written_in_as_few_octets_as_der_wants(octets: int, head: str) -> None:
    assert ber.octet_string(b"a" * octets) == bytes.fromhex(head) + b"a" * octets


@pytest.mark.parametrize(
    ("at", "tag"),
    [
        (datetime(1949, 12, 31, tzinfo=UTC), ber.GENERALIZED_TIME),
        (datetime(1950, 1, 1, tzinfo=UTC), ber.UTC_TIME),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), ber.UTC_TIME),
        (datetime(2050, 1, 1, tzinfo=UTC), ber.GENERALIZED_TIME),
    ],
)
def test_the_form_of_a_time_follows_from_its_year(at: datetime, tag: int) -> None:
    assert ber.time(at)[0] == tag
