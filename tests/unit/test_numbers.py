"""The unique number and the territories."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.numbers import (
    SEQUENCE_MAX,
    TERRITORIES,
    DeskCode,
    NumberError,
    Territory,
    compose,
    is_municipality_code,
    is_school_desk,
    month_key,
    parse,
    territory_of,
)

DESKS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5).map(DeskCode)


@given(
    st.sampled_from(sorted(TERRITORIES)),
    st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    st.integers(0, SEQUENCE_MAX),
    DESKS,
)
def test_a_number_says_what_it_was_composed_of(
    territory: Territory, deposited_on: date, sequence: int, desk: DeskCode
) -> None:
    number = compose(territory, deposited_on, sequence, desk)
    parts = parse(number)
    assert len(number) == 18
    assert (parts.territory, parts.month, parts.year) == (territory, deposited_on.month, deposited_on.year)
    assert (parts.sequence, parts.desk) == (sequence, desk)
    assert number[3:7] == month_key(deposited_on)


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_none(text: str) -> None:
    try:
        parts = parse(text)
    except NumberError:
        return
    assert compose(parts.territory, date(parts.year, parts.month, 1), parts.sequence, parts.desk) == text


@pytest.mark.parametrize("number", ["059042300004259123", "1111224123456MA07X", "974012500000759123"])
def test_numbers_in_the_wild_are_read(number: str) -> None:
    parts = parse(number)
    assert f"{parts.territory}{parts.month:02}{parts.year % 100}{parts.sequence:06}{parts.desk}" == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "05904230000425912",
        "0590423000042591234",
        "059132300004259123",
        "059002300004259123",
        "075042300004259123",
        "999042300004259123",
        "059042300004a59123",
        "059042300004259 23",
        "059042300004259123\n",
        "0590423٠٠٠٠٤٢59123",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NumberError):
        parse(text)


@pytest.mark.parametrize("sequence", [-1, SEQUENCE_MAX + 1])
def test_a_sequence_never_wraps(sequence: int) -> None:
    with pytest.raises(NumberError):
        compose(Territory("059"), date(2026, 1, 1), sequence, DeskCode("59123"))


@pytest.mark.parametrize("desk", ["5912", "591234", "5912a", "59 23", ""])
def test_a_number_ends_in_a_whole_desk_code(desk: str) -> None:
    with pytest.raises(NumberError):
        compose(Territory("059"), date(2026, 1, 1), 1, DeskCode(desk))


@pytest.mark.parametrize(
    ("commune", "territory"),
    [
        ("59350", "059"),
        ("01001", "001"),
        ("75056", "111"),
        ("75101", "111"),
        ("77288", "111"),
        ("91228", "111"),
        ("95127", "111"),
        ("2A004", "02A"),
        ("2B033", "02B"),
        ("97411", "974"),
        ("97608", "976"),
        ("00000", "000"),
        ("20004", None),
        ("97501", None),
        ("98818", None),
        ("99123", None),
        ("00001", None),
        ("5935", None),
        ("2C001", None),
        ("2a004", None),
        ("٥٩٣٥٠", None),
    ],
)
def test_a_municipality_lies_in_the_territory_of_its_departement(commune: str, territory: str | None) -> None:
    assert territory_of(commune) == territory


@given(st.text(max_size=6))
def test_only_well_formed_codes_have_a_territory(text: str) -> None:
    if territory_of(text) is not None:
        assert is_municipality_code(text)
        assert territory_of(text) in TERRITORIES


def test_school_desks_begin_with_z() -> None:
    assert is_school_desk(DeskCode("Z0001"))
    assert not is_school_desk(DeskCode("59Z23"))
