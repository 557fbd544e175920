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
from tests.support.requests import DESK, RECEIVED_ON, a_form, a_whole_form, an_association

FACTS = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation.CREATION, at_root="/d")
PERSON, OTHER = "personnePhysique/demandeur", "personnePhysique/coDemandeur"
CHILDREN = "personnePhysique/listePersonneACharge"
FIRST, SECOND = f"{CHILDREN}/personneACharge[1]", f"{CHILDREN}/personneACharge[2]"
BIRTHS = "personnePhysique/naissanceAttendue"
SALARY = f"{PERSON}/listeRessourceRecue/detailRessource[1]"
HANDICAP = f"{CHILDREN}/0/complementHandicap"
IN_HANDICAP = f"{FIRST}/complementHandicap"
MOTIVES, SOUGHT, NOW, BODY = "listeMotifDemande", "logementRecherche", "logementActuel", "personneMorale"
MALE_NIR = "190029935012327"

WARNINGS: list[tuple[dict[str, Any], Code, str]] = [
    ({f"{PERSON}/nationalite": None}, Code.VALUE_EXPECTED, f"{PERSON}/nationalite"),
    ({f"{OTHER}/revenuFiscal": None}, Code.VALUE_EXPECTED, f"{OTHER}/revenuFiscal/montantMoins2"),
    ({f"{NOW}/modeleLogement": None}, Code.VALUE_EXPECTED, f"{NOW}/modeleLogement"),
    ({MOTIVES: None}, Code.VALUE_EXPECTED, MOTIVES),
    ({f"{SOUGHT}/categorieLogementRecherche": None}, Code.VALUE_EXPECTED, f"{SOUGHT}/categorieLogementRecherche"),
    ({f"{PERSON}/revenuFiscal/anneeMoins1": None}, Code.VALUE_EXPECTED, f"{PERSON}/revenuFiscal/anneeMoins1"),
    ({f"{PERSON}/listeRessourceRecue/0/montant": None}, Code.VALUE_EXPECTED, f"{SALARY}/montant"),
    ({f"{PERSON}/listeRessourceRecue/1/ressource": ""}, Code.VALUE_EXPECTED, f"{SALARY[:-3]}[2]/ressource"),
    ({f"{CHILDREN}/0/sexe": None}, Code.VALUE_EXPECTED, f"{FIRST}/sexe"),
    ({f"{CHILDREN}/1/lienParente": None}, Code.VALUE_EXPECTED, f"{SECOND}/lienParente"),
    ({f"{BIRTHS}/datePrevue": None}, Code.VALUE_EXPECTED, f"{BIRTHS}/datePrevue"),
    ({f"{MOTIVES}/0/motifDemande": ""}, Code.VALUE_EXPECTED, f"{MOTIVES}/detailMotif[1]/motifDemande"),
    ({"dalo/statutDalo": None}, Code.VALUE_EXPECTED, "dalo/statutDalo"),
    ({f"{OTHER}/dateNaissance": "2008-01-13"}, Code.PERSON_MINOR, f"{OTHER}/dateNaissance"),
    ({f"{PERSON}/situationFamiliale": "C"}, Code.LINK_DOUBTFUL, f"{PERSON}/situationFamiliale"),
    ({OTHER: None, "personnePhysique/nombrePersonne": 3}, Code.VALUE_EXPECTED, OTHER),
    ({f"{OTHER}/situationFamiliale": "U"}, Code.LINK_DOUBTFUL, f"{OTHER}/situationFamiliale"),
    ({f"{PERSON}/nir": MALE_NIR}, Code.NIR_DOUBTFUL, f"{PERSON}/nir"),
    ({f"{PERSON}/dateNaissance": "1990-03-28"}, Code.NIR_DOUBTFUL, f"{PERSON}/nir"),
    ({f"{CHILDREN}/0/coparentalite": "D", f"{CHILDREN}/0/lienParente": "A"}, Code.CUSTODY_DOUBTFUL,
     f"{FIRST}/coparentalite"),
    ({f"{CHILDREN}/0/dateNaissance": "1988-07-01"}, Code.KINSHIP_DOUBTFUL, f"{FIRST}/lienParente"),
    ({f"{CHILDREN}/0/lienParente": "P"}, Code.KINSHIP_DOUBTFUL, f"{FIRST}/lienParente"),
    ({f"{BIRTHS}/datePrevue": "2026-01-11"}, Code.BIRTHS_DATE_DOUBTFUL, f"{BIRTHS}/datePrevue"),
    ({f"{BIRTHS}/datePrevue": "2026-11-12"}, Code.BIRTHS_DATE_DOUBTFUL, f"{BIRTHS}/datePrevue"),
    ({"personnePhysique/nombrePersonne": 5}, Code.HOUSEHOLD_SIZE_DIFFERS, "personnePhysique/nombrePersonne"),
    ({f"{PERSON}/revenuFiscal/anneeMoins2": 2023}, Code.TAX_YEAR_OLD, f"{PERSON}/revenuFiscal/anneeMoins2"),
    ({f"{PERSON}/listeRessourceRecue/1/ressource": "SAL"}, Code.RESOURCE_REPEATED, f"{SALARY[:-3]}[2]"),
    ({f"{PERSON}/listeRessourceRecue/0/montant": "20000"}, Code.MONTHLY_AMOUNT_DOUBTFUL, f"{SALARY}/montant"),
    ({f"{OTHER}/listeRessourceVersee/0/montant": "980.41"}, Code.PAID_OVER_RECEIVED, f"{OTHER}/listeRessourceVersee"),
    ({f"{PERSON}/situationProfessionnelle/typeContratTravail": "RET"}, Code.RESOURCES_DOUBTFUL,
     f"{PERSON}/listeRessourceRecue"),
    ({f"{OTHER}/listeRessourceRecue/0/ressource": "BE"}, Code.RESOURCES_DOUBTFUL, f"{OTHER}/listeRessourceRecue"),
    ({f"{SOUGHT}/loyerMaximum": "2911.46"}, Code.RENT_OVER_RESOURCES, f"{SOUGHT}/loyerMaximum"),
    ({f"{NOW}/surface": "4.99"}, Code.AREA_DOUBTFUL, f"{NOW}/surface"),
    ({f"{NOW}/surface": "500.01"}, Code.AREA_DOUBTFUL, f"{NOW}/surface"),
    ({f"{NOW}/nombrePersonne": 0}, Code.OCCUPANTS_DOUBTFUL, f"{NOW}/nombrePersonne"),
    ({f"{NOW}/modeleLogement": "LTG"}, Code.RENT_DOUBTFUL, f"{NOW}/loyer"),
    ({f"{NOW}/aideLogement": "720.01"}, Code.ALLOWANCE_OVER_RENT, f"{NOW}/aideLogement"),
    ({f"{NOW}/modeleLogement": "SD", f"{NOW}/loyer": None}, Code.DWELLING_UNEXPECTED, f"{NOW}/modeleLogement"),
    ({f"{MOTIVES}/2/precision": None}, Code.MOTIVE_UNEXPLAINED, f"{MOTIVES}/detailMotif[3]/precision"),
    ({HANDICAP: None}, Code.MOTIVE_DOUBTFUL, f"{MOTIVES}/detailMotif[2]"),
    ({f"{MOTIVES}/2/motifDemande": "10"}, Code.MOTIVE_DOUBTFUL, f"{MOTIVES}/detailMotif[1]"),
    ({f"{MOTIVES}/0/motifDemande": "01"}, Code.MOTIVE_DOUBTFUL, f"{MOTIVES}/detailMotif[1]"),
    ({f"{MOTIVES}/0/motifDemande": "22"}, Code.MOTIVE_DOUBTFUL, f"{MOTIVES}/detailMotif[1]"),
    ({HANDICAP: {}}, Code.HANDICAP_EMPTY, IN_HANDICAP),
    ({f"{HANDICAP}/listeEquipementHandicap": ["3", "3"]}, Code.HANDICAP_VALUE_REPEATED,
     f"{IN_HANDICAP}/listeEquipementHandicap/equipementHandicap[2]"),
    ({f"{HANDICAP}/listeAideTechniqueHandicap": ["1", "4"]}, Code.HANDICAP_DOUBTFUL,
     f"{IN_HANDICAP}/listeAideTechniqueHandicap"),
    ({f"{HANDICAP}/capaciteMarcheHandicap": "4"}, Code.HANDICAP_DOUBTFUL, f"{IN_HANDICAP}/listeAideTechniqueHandicap"),
    ({"dalo/statutDalo": "NON"}, Code.DALO_DOUBTFUL, "dalo/statutDalo"),
    ({"pieceIdentite/dateFinValidite": "2026-01-11"}, Code.IDENTITY_DOCUMENT_EXPIRED, "pieceIdentite/dateFinValidite"),
    ({f"{PERSON}/nationalite": "3"}, Code.IDENTITY_DOCUMENT_DOUBTFUL, "pieceIdentite/typePieceIdentite"),
    ({"pieceIdentite/typePieceIdentite": "TIT"}, Code.IDENTITY_DOCUMENT_DOUBTFUL, "pieceIdentite/typePieceIdentite"),
    ({f"{OTHER}/coordonnees/telephone": "?"}, Code.TELEPHONE_DOUBTFUL, f"{OTHER}/coordonnees/telephone"),
    ({f"{PERSON}/coordonnees/telephonePortable": "?"}, Code.TELEPHONE_DOUBTFUL,
     f"{PERSON}/coordonnees/telephonePortable"),
]  # fmt: skip

ERRORS: list[tuple[dict[str, Any], Code, str]] = [
    ({"versionFormulaire": "04"}, Code.FORM_VERSION_OVER, "@versionFormulaire"),
    ({"personneMorale": {"raisonSociale": "X", "siren": "123456782", "personneContact": {"nom": "Y"}, "coordonnees":
      {"adresse": {"voie": "v", "codePostal": "59000", "ville": "Lille"}}, "objet": "o"}},
     Code.PERSON_AND_ASSOCIATION, "personneMorale"),
    ({f"{NOW}/dateEntree": "2026-01-16"}, Code.DATE_IN_FUTURE, f"{NOW}/dateEntree"),
    ({"dalo/dateDecision": "2026-01-16"}, Code.DATE_IN_FUTURE, "dalo/dateDecision"),
    ({f"{CHILDREN}/1/nom": None}, Code.VALUE_MISSING, f"{SECOND}/nom"),
    ({f"{CHILDREN}/1/prenom": "?"}, Code.NAME_UNUSABLE, f"{SECOND}/prenom"),
    ({f"{CHILDREN}/1/dateNaissance": "2026-01-16"}, Code.BIRTH_IN_FUTURE, f"{SECOND}/dateNaissance"),
    ({f"{CHILDREN}/1/prenom": "lou", f"{CHILDREN}/1/dateNaissance": "2016-03-09"}, Code.PERSON_REPEATED, SECOND),
    ({f"{CHILDREN}/1/sexe": "X"}, Code.CODE_UNKNOWN, f"{SECOND}/sexe"),
    ({f"{PERSON}/nir": "290029935012375"}, Code.NIR_WRONG, f"{PERSON}/nir"),
    ({f"{OTHER}/nir": "1 88 07 99 350 123 11", f"{CHILDREN}/1/nir": "188079935012311"}, Code.NIR_REPEATED,
     f"{SECOND}/nir"),
    ({f"{BIRTHS}/nombre": 0}, Code.BIRTHS_COUNT_WRONG, f"{BIRTHS}/nombre"),
    ({f"{BIRTHS}/nombre": 6}, Code.BIRTHS_COUNT_WRONG, f"{BIRTHS}/nombre"),
    ({f"{PERSON}/revenuFiscal/anneeMoins1": 2026}, Code.TAX_YEAR_WRONG, f"{PERSON}/revenuFiscal/anneeMoins1"),
    ({f"{MOTIVES}/1/motifDemande": "13"}, Code.MOTIVE_REPEATED, f"{MOTIVES}/detailMotif[2]"),
    ({f"{PERSON}/coordonnees/adresseCourrier/pays": "france"}, Code.POSTCODE_WRONG,
     f"{PERSON}/coordonnees/adresseCourrier/codePostal"),
]  # fmt: skip


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
