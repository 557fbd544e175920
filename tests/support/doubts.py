"""What is wrong or doubtful in the form in which every element is filled in: changes by path, code and path of each."""

from typing import Any

from mailflow.core.anomalies import Code

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
