"""NIR and SIREN: what they look like, and what a typing error does to them."""

import pytest

from mailflow.core.identifiers import canonical_nir, is_siren


@pytest.mark.parametrize(
    ("text", "nir"),
    [
        ("255081416802538", "255081416802538"),
        ("2 55 08 14 168 025 38", "255081416802538"),
        ("1 90 02 2A 004 123 54", "190022A00412354"),
        ("190022b00412381", "190022B00412381"),
        ("190 02 2a 004 123 54", "190022A00412354"),
    ],
)
def test_a_nir_is_read_with_or_without_spaces(text: str, nir: str) -> None:
    assert canonical_nir(text) == nir


@pytest.mark.parametrize(
    "text",
    ["", "255081416802539", "25508141680253", "2550814168025381", "355081416802538x", "255131416802538",
     "555081416802538", "٢55081416802538", "255082C16802538"],
)  # fmt: skip
def test_what_is_no_nir_is_none(text: str) -> None:
    assert canonical_nir(text) is None


@pytest.mark.parametrize("position", range(15))
def test_one_wrong_digit_shows(position: int) -> None:
    nir = "255081416802538"
    wrong = nir[:position] + str((int(nir[position]) + 1) % 10) + nir[position + 1 :]
    assert canonical_nir(wrong) is None


def test_a_siren_has_nine_digits_and_a_sum() -> None:
    assert is_siren("732829320")
    assert is_siren("356000000")
    assert not is_siren("732829321")
    assert not is_siren("73282932")
    assert not is_siren("732 829 320")
    assert not is_siren("٧32829320")
