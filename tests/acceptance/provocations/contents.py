"""What can be wrong or doubtful in a form: one creation each."""

from typing import Any

from mailflow.core.anomalies import Code
from tests.acceptance.provocations.mails import once
from tests.acceptance.provocations.stage import Script
from tests.support.doubts import BODY, CHILDREN, ERRORS, MALE_NIR, MOTIVES, OTHER, PERSON, SOUGHT, WARNINGS
from tests.support.requests import an_association

TYPES, PLACES = f"{SOUGHT}/listeTypeLogement", f"{SOUGHT}/listeLocalisationSouhaite"
CHILD = {"nom": "Exemple", "dateNaissance": "2016-03-09", "sexe": "F", "lienParente": "E"}

CHANGES: dict[Code, dict[str, Any]] = {
    **{code: changes for changes, code, _ in [*WARNINGS, *ERRORS]},
    Code.FORM_VERSION_UNKNOWN: {"versionFormulaire": "09"},
    Code.MORE_ANOMALIES: {TYPES: [f"X{number}" for number in range(101)]},
    Code.MORE_WARNINGS: {f"{CHILDREN}/0/complementHandicap/listeEquipementHandicap": ["3"] * 103},
    Code.NIR_DOUBTFUL: {f"{PERSON}/nir": MALE_NIR},
    Code.DEPOSIT_TOO_OLD: {"dateCreationDemande": "2025-01-14"},
    Code.BIRTH_TOO_OLD: {f"{PERSON}/dateNaissance": "1890-01-01"},
    Code.CO_APPLICANT_IS_APPLICANT: {
        f"{PERSON}/nom": "Memepersonne",
        OTHER: {"nom": "Memepersonne", "prenom": "Zoé", "dateNaissance": "1990-02-28", "lienDemandeur": "M"},
    },
    Code.EMAIL_DOUBTFUL: {f"{PERSON}/coordonnees/courriel": "?"},
    Code.TOWN_DOUBTFUL: {f"{PERSON}/coordonnees/adresse/ville": "Marseille"},
    Code.TYPE_REPEATED: {TYPES: ["T3", "T3"]},
    Code.PLACE_REPEATED: {PLACES: [{"commune": "59350"}] * 2},
    Code.MUNICIPALITY_CODE_WRONG: {PLACES: [{"commune": "Lille"}]},
    Code.TERRITORIES_MIXED: {PLACES: [{"commune": "59350"}, {"commune": "62041"}]},
    Code.MUNICIPALITY_UNKNOWN: {PLACES: [{"commune": "59999"}]},
    Code.MUNICIPALITY_FORMER: {PLACES: [{"commune": "59298"}]},
    Code.DEPENDANTS_TOO_MANY: {CHILDREN: [{**CHILD, "prenom": "A" + "b" * number} for number in range(31)]},
    Code.MOTIVES_TOO_MANY: {MOTIVES: [{"motifDemande": code} for code in ("02", "03", "04", "05")]},
}


def creation(changes: dict[str, Any]) -> Script:
    return once(lambda stage: stage.create(stage.whole(changes)))


STORIES: dict[Code, Script] = {code: creation(changes) for code, changes in CHANGES.items()} | {
    Code.ASSOCIATION_SIREN_WRONG: once(
        lambda stage: stage.create(an_association({"numGuichet": "Z0001", f"{BODY}/siren": "123456789"}))
    ),
}
