"""How values may be written, and that nothing else gets in."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from mailflow.core.form import HousingRequest, without_nir
from tests.support.requests import FORM, a_form, forms


def test_the_wire_names_fill_the_form() -> None:
    form = a_form()
    assert form.deposited_on == date(2026, 1, 12)
    assert form.person
    assert form.person.applicant
    assert form.person.applicant.surname == "Durand"
    assert form.sought
    assert form.sought.widened is True
    assert [place.municipality for place in form.sought.places] == ["59350", "59512"]


def test_everything_may_be_absent() -> None:
    assert HousingRequest.model_validate({}) == HousingRequest()


@given(forms())
def test_json_gives_the_form_back(form: HousingRequest) -> None:
    text = form.model_dump_json(by_alias=True)
    assert HousingRequest.model_validate_json(text, by_alias=True, by_name=False) == form


@pytest.mark.parametrize(
    "written",
    [
        "2026-1-12",
        "12/01/2026",
        "20260112",
        "2026-02-30",
        "2026-W03-1",
        "1768176000",
        1768176000,
        "２０２６-01-12",
        "2026-01-12T00:00:00",
        "2026_01_12",
        "",
        "0000-01-01",
    ],
)
def test_a_date_is_written_in_one_way_only(written: Any) -> None:
    with pytest.raises(ValidationError):
        a_form({"dateCreationDemande": written})


@pytest.mark.parametrize("written", ["1", "0", "oui", "True", "yes", "", 1])
def test_a_truth_value_is_true_or_false(written: Any) -> None:
    with pytest.raises(ValidationError):
        a_form({"logementRecherche/demandeElargie": written})


@pytest.mark.parametrize(
    "written",
    ["12,50", "1 200", "1.234", "-5", "+5", "1e3", "1_0", "٥", ".5", "5.", "123456789", "NaN", "", 12, 12.5, True],
)
def test_an_amount_is_euros_and_cents_never_a_binary_fraction(written: Any) -> None:
    with pytest.raises(ValidationError):
        a_form({"logementRecherche/loyerMaximum": written})


@pytest.mark.parametrize("written", [Decimal("1E+3"), Decimal("0.001"), Decimal("NaN"), Decimal(-1)])
def test_an_amount_that_could_not_be_written_is_none(written: Decimal) -> None:
    with pytest.raises(ValidationError):
        a_form({"logementRecherche/loyerMaximum": written})


def test_an_amount_keeps_the_digits_that_were_written() -> None:
    form = a_form({"logementRecherche/loyerMaximum": " 650.50\n"})
    assert form.sought
    assert str(form.sought.rent_max) == "650.50"


@pytest.mark.parametrize("written", ["-1", "1.0", "1234567", "", "٣", True, 1_000_000])
def test_a_count_is_a_few_digits(written: Any) -> None:
    with pytest.raises(ValidationError):
        a_form({"personnePhysique/nombrePersonne": written})


def test_a_nir_shows_nowhere() -> None:
    nir = "290025935012306"
    form = a_form({"personnePhysique/demandeur/nir": nir, "personnePhysique/listePersonneACharge": [{"nir": nir}]})
    assert nir not in repr(form)
    assert nir not in str(form)
    bare = without_nir(form)
    assert nir not in bare.model_dump_json()
    assert bare == a_form({"personnePhysique/listePersonneACharge": [{}]})


@pytest.mark.parametrize("name", ["a\x00b", "a\x1bb", "a\x7f", "\x85", "\ufffe", "x" * 101, 12])
def test_a_name_is_text_of_bounded_length_without_control_characters(name: Any) -> None:
    with pytest.raises(ValidationError):
        a_form({"personnePhysique/demandeur/nom": name})


def test_white_space_is_collapsed_but_only_that_of_xml() -> None:
    form = a_form({"personnePhysique/demandeur/nom": "\n  Le\t Goff\u00a0 \r\n"})
    assert form.person
    assert form.person.applicant
    assert form.person.applicant.surname == "Le Goff\u00a0"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValidationError):
        HousingRequest.model_validate({**FORM, "numGuichets": "59123"})


def test_a_form_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        a_form().desk = "59124"  # type: ignore[misc]  # that it is refused is the point


def test_errors_do_not_repeat_what_was_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        a_form({"personnePhysique/demandeur/dateNaissance": "le 3 mars"})
    assert "mars" not in str(caught.value)
