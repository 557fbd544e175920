"""File names of the interface."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.numbers import DeskCode
from mailflow.wire.names import (
    FileName,
    FileNameError,
    Kind,
    parse_name,
    parse_request_name,
    return_name,
)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@given(
    st.sampled_from(Kind),
    st.text(ALPHABET, min_size=5, max_size=5),
    st.datetimes(),
    st.integers(0, 999_999),
)
def test_a_name_is_read_as_it_was_written(kind: Kind, desk: str, minute: object, sequence: int) -> None:
    name = FileName(
        kind=kind,
        desk=DeskCode(desk),
        minute=f"{minute:%Y%m%d%H%M}".rjust(12, "0"),
        sequence=None if kind is Kind.CERTIFICATE else f"{sequence:06}",
    )
    assert parse_name(str(name)) == name


@given(st.text(max_size=40) | st.from_regex(r"\A[A-Z]{3}[0-9A-Z]{5}-[0-9]{12}-[0-9]{6}\.xml\Z"))
def test_any_text_is_a_name_or_none(text: str) -> None:
    try:
        name = parse_name(text)
    except FileNameError:
        return
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DEM5912-202601151030-000001.xml",
        "dem59123-202601151030-000001.xml",
        "DEM59123-202601151030-000001.XML",
        "DEM59123-202601151030-000001.xml ",
        "DEM59123-202601151030-000001.xml\n",
        "DEM59123-202602301030-000001.xml",
        "DEM59123-202601152430-000001.xml",
        "DEM59123-202601151030-00001.xml",
        "DEM59123-202601151030.xml",
        "DEM59123-202601151030-000001.pdf",
        "CER59123-202601151030-000001.pem",
        "XYZ59123-202601151030-000001.xml",
        "../DEM59123-202601151030-000001.xml",
        "DEM59123-٢٠٢٦٠١١٥١٠٣٠-000001.xml",
    ],
)
def test_what_differs_by_a_letter_is_no_name(text: str) -> None:
    with pytest.raises(FileNameError):
        parse_name(text)


def test_only_a_request_file_is_a_request_file() -> None:
    with pytest.raises(FileNameError):
        parse_request_name("RET59123-202601151030-000001.xml")


def test_what_comes_back_has_the_time_and_sequence_of_what_was_sent() -> None:
    assert return_name("DEM59123-202601151030-000001.xml") == "RET59123-202601151030-000001.xml"
    assert return_name("GES59123-202601151030-000001.xml") == "RGE59123-202601151030-000001.xml"


@given(st.text(max_size=60) | st.text(max_size=60).map("GES".__add__))
def test_a_return_to_any_name_is_safe_to_write_into_a_header(text: str) -> None:
    name = return_name(text)
    assert name.startswith("RGE" if text.startswith("GES") else "RET")
    assert set(name) <= set(ALPHABET + "abcdefxml-.")
    assert name == return_name(text)
