"""What refuses or doubts a request that fills in the whole form, each by its code and path."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode
from mailflow.core.rules import RULES, Facts, check
from tests.support.doubts import (
    BODY,
    CHILDREN,
    ERRORS,
    MOTIVES,
    OTHER,
    PERSON,
    SOUGHT,
    WARNINGS,
)
from tests.support.requests import DESK, RECEIVED_ON, a_form, a_whole_form, an_association

FACTS = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation.CREATION, at_root="/d")


def found(form: HousingRequest, facts: Facts = FACTS) -> set[tuple[Code, str]]:
    """Codes, and paths under the form's root."""
    return {(anomaly.code, anomaly.path.removeprefix("/d/")) for anomaly in check(form, facts)}


def test_forms_with_every_element_are_accepted_without_a_word() -> None:
    assert check(a_whole_form(), FACTS) == ()
    assert check(an_association(), FACTS) == ()


@pytest.mark.parametrize(("changes", "code", "path"), WARNINGS)
def test_what_is_doubtful_only_warns(changes: dict[str, Any], code: Code, path: str) -> None:
    form = a_whole_form(changes)
    assert found(form) == {(code, path)}
    assert not any(anomaly.blocks for anomaly in check(form, FACTS))


@pytest.mark.parametrize(("changes", "code", "path"), ERRORS)
def test_what_is_wrong_refuses(changes: dict[str, Any], code: Code, path: str) -> None:
    form = a_whole_form(changes)
    assert (code, path) in found(form)
    assert [anomaly.code for anomaly in check(form, FACTS) if anomaly.blocks] == [code]


def test_lists_have_an_end() -> None:
    motives = [{"motifDemande": code} for code in ("02", "03", "04", "05")]
    assert found(a_whole_form({MOTIVES: motives})) == {(Code.MOTIVES_TOO_MANY, MOTIVES)}
    one = {"nom": "Exemple", "dateNaissance": "2016-03-09", "sexe": "F", "lienParente": "E"}
    children = [{**one, "prenom": "A" + "b" * n} for n in range(31)]
    form = a_whole_form({CHILDREN: children, "personnePhysique/nombrePersonne": 33, f"{MOTIVES}/1/motifDemande": "02"})
    assert found(form) == {(Code.DEPENDANTS_TOO_MANY, CHILDREN)}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        *(({f"{BODY}/{name}": None}, Code.VALUE_MISSING, f"{BODY}/{name}") for name in (
            "raisonSociale", "siren", "personneContact/nom", "coordonnees/adresse/voie",
            "coordonnees/adresse/codePostal", "coordonnees/adresse/ville",
        )),
        ({f"{BODY}/siren": "123456789"}, Code.ASSOCIATION_SIREN_WRONG, f"{BODY}/siren"),
        ({f"{BODY}/objet": None}, Code.VALUE_EXPECTED, f"{BODY}/objet"),
        ({f"{BODY}/personneContact/telephone": "?"}, Code.TELEPHONE_DOUBTFUL, f"{BODY}/personneContact/telephone"),
        ({f"{BODY}/personneContact/courriel": "?"}, Code.EMAIL_DOUBTFUL, f"{BODY}/personneContact/courriel"),
        ({f"{BODY}/coordonnees/courriel": "?"}, Code.EMAIL_DOUBTFUL, f"{BODY}/coordonnees/courriel"),
    ],
)  # fmt: skip
def test_an_association_says_who_it_is(changes: dict[str, Any], code: Code, path: str) -> None:
    assert found(an_association(changes)) == {(code, path)}


def test_an_applicant_may_live_abroad_where_there_is_no_postcode() -> None:
    address = {"voie": "1 Main Street", "ville": "Dublin", "pays": "Irlande"}
    assert found(a_form({f"{PERSON}/coordonnees/adresse": address})) == set()
    assert found(a_form({f"{PERSON}/coordonnees/adresse": {**address, "pays": "France"}})) == {
        (Code.VALUE_MISSING, f"{PERSON}/coordonnees/adresse/codePostal")
    }


def test_a_municipality_may_recur_for_another_quarter() -> None:
    places = [{"commune": "59350", "quartier": quarter} for quarter in ("Moulins", "Fives", "Moulins")]
    path = f"{SOUGHT}/listeLocalisationSouhaite/localisationSouhaite[3]/commune"
    assert found(a_form({f"{SOUGHT}/listeLocalisationSouhaite": places})) == {(Code.PLACE_REPEATED, path)}


def test_a_form_that_names_no_version_is_not_asked_for_more_than_the_interface_demands() -> None:
    assert found(a_form()) == set()
    assert Code.VALUE_EXPECTED in {code for code, _ in found(a_form({"versionFormulaire": "05"}))}


def test_the_version_before_may_be_used_for_a_year() -> None:
    then = replace(FACTS, received_on=date(2025, 5, 17))
    last_day = a_form({"versionFormulaire": "04", "dateCreationDemande": "2025-05-16"})
    day_after = a_form({"versionFormulaire": "04", "dateCreationDemande": "2025-05-17"})
    assert Code.FORM_VERSION_OVER not in {code for code, _ in found(last_day, then)}
    assert Code.FORM_VERSION_OVER in {code for code, _ in found(day_after, then)}


def test_only_a_creation_must_be_recent_and_show_an_identity() -> None:
    form = a_form({"dateCreationDemande": "2019-05-02", "pieceIdentite": None})
    assert {code for code, _ in found(form)} == {Code.DEPOSIT_TOO_OLD, Code.VALUE_MISSING}
    assert found(form, replace(FACTS, operation=Operation.AMENDMENT)) == set()


def test_an_amendment_speaks_of_the_day_it_is_received() -> None:
    form = a_whole_form({"dateCreationDemande": "2019-05-02"})
    assert found(form, replace(FACTS, operation=Operation.AMENDMENT)) == set()


def test_who_separates_may_be_married_still_and_files_alone() -> None:
    alone = a_whole_form({OTHER: None, "personnePhysique/nombrePersonne": 3})
    separation = replace(FACTS, operation=Operation.CREATION_AFTER_SEPARATION)
    assert (Code.VALUE_EXPECTED, OTHER) not in found(alone, separation)


def test_every_rule_is_provoked_here_or_beside() -> None:
    """A rule that no case of these tables and no other test provokes would be dead wording."""
    provoked = {code for _, code, _ in [*WARNINGS, *ERRORS]}
    new = [code for code in Code if code.startswith("CTRL_DEM_") and "0050" <= code[-4:] <= "0119"]
    assert set(new) - provoked == {Code.DEPENDANTS_TOO_MANY, Code.MOTIVES_TOO_MANY}
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
