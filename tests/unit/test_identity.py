"""Names are compared without what people write differently."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.identity import exact_key, is_usable, normalise


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DUPONT", "dupont"),
        ("Lefèvre", "LEFEVRE"),
        ("Lefe\u0300vre", "Lefèvre"),
        ("Jean-Pierre", "jean pierre"),
        ("Pierre Jean", "Jean-Pierre"),
        ("d'Arc", "D’ARC"),
        ("d'Arc", "d Arc"),
        ("Lœuillet", "LOEUILLET"),
        ("Cæsar", "caesar"),
        ("Weiß", "WEISS"),
        ("  Le   Goff ", "Le Goff"),
        ("Martin-Durand", "DURAND MARTIN"),
        ("İsmail", "ismail"),
        ("Łukasz", "lukasz"),
        ("Søren", "SOREN"),
        ("Ｄupont", "Dupont"),
        ("Du\u00adpont", "Dupont"),
        ("Du\u200bpont", "Dupont"),
        ("Du\u2060pont\u200e", "Dupont"),
        ("Zoe\u034f\u0301", "Zoé"),
        ("Du\ufe0fpont", "Dupont"),
        ("Dupont\u3164", "Dupont"),
        ("D\u02bcArc", "d'Arc"),
    ],
)
def test_these_are_the_same_name(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("Dupont", "Dupond"), ("Jean", "Jeanne"), ("Jean Jean", "Jean")])
def test_these_are_different_names(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(name: str) -> None:
    once = normalise(name)
    assert normalise(once) == once


@given(st.lists(st.text("abcdeéèœ'", min_size=1, max_size=6), min_size=1, max_size=4))
def test_the_order_of_a_compound_name_is_of_no_account(parts: list[str]) -> None:
    turned = list(reversed(parts))
    assert normalise("-".join(parts)) == normalise(" ".join(turned))


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_key_tells_surname_from_first_name(surname: str, first: str, other_surname: str, other_first: str) -> None:
    day = date(1990, 1, 1)
    same = exact_key(surname, first, day) == exact_key(other_surname, other_first, day)
    assert same == ((normalise(surname), normalise(first)) == (normalise(other_surname), normalise(other_first)))


def test_a_key_tells_the_birth_date() -> None:
    assert exact_key("Durand", "Zoé", date(1990, 1, 2)) != exact_key("Durand", "Zoé", date(1990, 2, 1))


@pytest.mark.parametrize(
    ("name", "usable"), [("Ng", True), ("Ω", True), ("-", False), ("' '", False), ("123", False), ("\u3164", False)]
)
def test_a_name_needs_a_letter(name: str, usable: bool) -> None:
    assert is_usable(name) is usable
