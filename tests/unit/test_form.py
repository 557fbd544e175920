"""How values may be written, and that nothing else gets in."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from mailflow.core.form import HousingRequest
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
