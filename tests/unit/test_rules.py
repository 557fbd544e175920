"""What refuses a request, each by its code and path, and all at once."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings

from mailflow.core.anomalies import Code, Severity, catalogue
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode
from mailflow.core.rules import RULES, Facts, check, territory_sought
from tests.support.requests import DESK, RECEIVED_ON, a_form, forms

ROOT = "/interfaceNuu/demande[1]/demandeLogement"
FACTS = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation.CREATION, at_root=ROOT)
PERSON = "personnePhysique/demandeur"
OTHER = "personnePhysique/coDemandeur"
ADDRESS = f"{PERSON}/coordonnees/adresse"
TYPES = "logementRecherche/listeTypeLogement"
PLACES = "logementRecherche/listeLocalisationSouhaite"


def found(form: HousingRequest) -> set[tuple[Code, str]]:
    """Codes and paths under the form's root."""
    anomalies = check(form, FACTS)
    assert all(anomaly.path.startswith(ROOT) for anomaly in anomalies)
    return {(anomaly.code, anomaly.path.removeprefix(f"{ROOT}/")) for anomaly in anomalies}


def places(*codes: str) -> list[dict[str, str]]:
    return [{"commune": code} for code in codes]


def test_a_whole_form_is_accepted() -> None:
    assert check(a_form(), FACTS) == ()


def test_a_form_of_one_person_is_accepted() -> None:
    assert check(a_form({OTHER: None}), FACTS) == ()


@pytest.mark.parametrize(
    "path",
    [
        "numGuichet",
        "dateCreationDemande",
        f"{PERSON}/nom",
        f"{PERSON}/prenom",
        f"{PERSON}/dateNaissance",
        f"{ADDRESS}/voie",
        f"{ADDRESS}/codePostal",
        f"{ADDRESS}/ville",
        f"{OTHER}/nom",
        f"{OTHER}/prenom",
        f"{OTHER}/dateNaissance",
        f"{OTHER}/lienDemandeur",
        "pieceIdentite/typePieceIdentite",
        "logementRecherche/demandeElargie",
        TYPES,
        PLACES,
    ],
)
def test_what_is_mandatory_is_missed_by_its_path(path: str) -> None:
    assert found(a_form({path: None})) == {(Code.VALUE_MISSING, path)}


@pytest.mark.parametrize("path", [f"{PERSON}/nom", f"{ADDRESS}/ville", "pieceIdentite/typePieceIdentite"])
def test_an_empty_value_is_a_missing_one(path: str) -> None:
    assert found(a_form({path: " "})) == {(Code.VALUE_MISSING, path)}


def test_an_empty_item_is_a_missing_value() -> None:
    form = a_form({TYPES: ["T3", ""], PLACES: [{"commune": "59350"}, {}]})
    assert found(form) == {
        (Code.VALUE_MISSING, f"{TYPES}/typeLogement[2]"),
        (Code.VALUE_MISSING, f"{PLACES}/localisationSouhaite[2]/commune"),
    }


def test_an_empty_form_is_told_everything_at_once() -> None:
    missing = {path for code, path in found(HousingRequest()) if code is Code.VALUE_MISSING}
    assert len(missing) == 12
    assert f"{PERSON}/dateNaissance" in missing


def test_a_named_place_may_stand_for_a_street() -> None:
    assert found(a_form({f"{ADDRESS}/voie": None, f"{ADDRESS}/lieuDit": "Le Hameau"})) == set()


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"numGuichet": "59124"}, Code.DESK_MISMATCH, "numGuichet"),
        ({"dateCreationDemande": "2026-01-16"}, Code.DEPOSIT_IN_FUTURE, "dateCreationDemande"),
        ({"dateCreationDemande": "2025-01-14"}, Code.DEPOSIT_TOO_OLD, "dateCreationDemande"),
        ({f"{PERSON}/civilite": "9"}, Code.CODE_UNKNOWN, f"{PERSON}/civilite"),
        ({f"{OTHER}/lienDemandeur": "X"}, Code.CODE_UNKNOWN, f"{OTHER}/lienDemandeur"),
        ({TYPES: ["T3", "T9"]}, Code.CODE_UNKNOWN, f"{TYPES}/typeLogement[2]"),
        ({"versionFormulaire": "01"}, Code.FORM_VERSION_UNKNOWN, "@versionFormulaire"),
        ({f"{PERSON}/dateNaissance": "2026-01-13"}, Code.BIRTH_IN_FUTURE, f"{PERSON}/dateNaissance"),
        ({f"{OTHER}/dateNaissance": "1906-01-14"}, Code.BIRTH_TOO_OLD, f"{OTHER}/dateNaissance"),
        ({f"{PERSON}/nom": "--"}, Code.NAME_UNUSABLE, f"{PERSON}/nom"),
        ({f"{OTHER}/prenom": "007"}, Code.NAME_UNUSABLE, f"{OTHER}/prenom"),
        ({f"{ADDRESS}/codePostal": "5900"}, Code.POSTCODE_WRONG, f"{ADDRESS}/codePostal"),
        ({f"{ADDRESS}/codePostal": "٥٩٠٠٠"}, Code.POSTCODE_WRONG, f"{ADDRESS}/codePostal"),
        ({f"{PERSON}/coordonnees/telephone": "12"}, Code.TELEPHONE_DOUBTFUL, f"{PERSON}/coordonnees/telephone"),
        ({f"{PERSON}/coordonnees/courriel": "zoe"}, Code.EMAIL_DOUBTFUL, f"{PERSON}/coordonnees/courriel"),
        ({TYPES: ["T3", "T3"]}, Code.TYPE_REPEATED, f"{TYPES}/typeLogement[2]"),
        (
            {PLACES: places("59350", "59512", "59350")},
            Code.PLACE_REPEATED,
            f"{PLACES}/localisationSouhaite[3]/commune",
        ),
        ({PLACES: places(*(f"59{n:03}" for n in range(1, 12)))}, Code.PLACES_TOO_MANY, PLACES),
        ({PLACES: places("5935")}, Code.MUNICIPALITY_CODE_WRONG, f"{PLACES}/localisationSouhaite[1]/commune"),
        ({PLACES: places("99123")}, Code.TERRITORY_UNKNOWN, f"{PLACES}/localisationSouhaite[1]/commune"),
        ({PLACES: places("59350", "62041")}, Code.TERRITORIES_MIXED, PLACES),
    ],
)
def test_each_fault_is_named_by_code_and_path(changes: dict[str, Any], code: Code, path: str) -> None:
    assert found(a_form(changes)) == {(code, path)}


@pytest.mark.parametrize(
    "changes",
    [
        {"dateCreationDemande": "2026-01-15"},
        {"dateCreationDemande": "2025-01-15"},
        {f"{PERSON}/dateNaissance": "2008-01-12"},
        {f"{PERSON}/dateNaissance": "1906-01-15"},
        {PLACES: places(*(f"59{n:03}" for n in range(1, 11)))},
        {PLACES: places("75101", "92050", "77288")},
        {PLACES: places("2A004", "2A247")},
    ],
)
def test_the_last_value_that_is_allowed_is_allowed(changes: dict[str, Any]) -> None:
    assert found(a_form(changes)) == set()


def test_nobody_is_their_own_co_applicant() -> None:
    form = a_form({f"{OTHER}/nom": "DURAND", f"{OTHER}/prenom": "Zoe", f"{OTHER}/dateNaissance": "1990-02-28"})
    assert found(form) == {(Code.CO_APPLICANT_IS_APPLICANT, OTHER)}


def test_many_faults_are_told_together() -> None:
    form = a_form(
        {
            f"{PERSON}/nom": None,
            "dateCreationDemande": "2026-02-01",
            PLACES: places("99123", *(f"59{n:03}" for n in range(1, 11))),
            TYPES: None,
        }
    )
    assert {code for code, _ in found(form)} == {
        Code.VALUE_MISSING,
        Code.DEPOSIT_IN_FUTURE,
        Code.PLACES_TOO_MANY,
        Code.TERRITORY_UNKNOWN,
        Code.TERRITORIES_MIXED,
    } - {Code.TERRITORIES_MIXED}


def test_a_doubtful_contact_only_warns() -> None:
    anomalies = check(a_form({f"{PERSON}/coordonnees/telephone": "?"}), FACTS)
    assert [catalogue()[a.code].severity for a in anomalies] == [Severity.WARNING]
    assert not anomalies[0].blocks


@pytest.mark.parametrize(
    ("codes", "territory"),
    [(("59350",), "059"), (("75101", "92050"), "111"), (("59350", "62041"), None), (("99123",), None), ((), None)],
)
def test_the_territory_sought_is_one_or_none(codes: tuple[str, ...], territory: str | None) -> None:
    assert territory_sought(a_form({PLACES: places(*codes)})) == territory


@given(forms())
@settings(max_examples=50)
def test_rules_judge_any_form_and_never_fail(form: HousingRequest) -> None:
    assert all(anomaly.path.startswith(ROOT) for anomaly in check(form, FACTS))


def test_rules_have_distinct_names_and_say_what_they_hold() -> None:
    assert len({rule.__name__ for rule in RULES if rule.__doc__}) == len(RULES)


def test_ages_are_counted_to_the_day_of_reception() -> None:
    leap = Facts(received_on=date(2024, 2, 29), desk=DeskCode(DESK), operation=Operation.CREATION, at_root=ROOT)
    anomalies = check(a_form({"dateCreationDemande": "2023-02-28"}), leap)
    assert anomalies == ()
