"""Invented housing requests, as a desk's software would write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from mailflow.core.calendar import PARIS
from mailflow.core.form import HousingRequest
from mailflow.core.model import Operation
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who does not exist."""

    surname: str
    first_name: str
    born_on: date


def request_form(
    applicant: Person,
    *,
    desk: str,
    deposited_on: date,
    municipalities: Sequence[str],
    co_applicant: Person | None = None,
) -> dict[str, Any]:
    """A complete request by the names that the wire uses; the caller may spoil it."""
    persons: dict[str, Any] = {
        "demandeur": {
            "civilite": "1",
            **_identity(applicant),
            "nationalite": "1",
            "situationFamiliale": "M" if co_applicant else "C",
            "coordonnees": {
                "adresse": {"voie": "3 allée des Exemples", "codePostal": "59000", "ville": "Lille"},
                "telephone": "0199001234",
            },
        }
    }
    if co_applicant:
        persons["coDemandeur"] = {**_identity(co_applicant), "lienDemandeur": "M"}
    return {
        "numGuichet": desk,
        "dateCreationDemande": deposited_on.isoformat(),
        "personnePhysique": persons,
        "pieceIdentite": {"typePieceIdentite": "CNI"},
        "logementRecherche": {
            "demandeElargie": "false",
            "listeTypeLogement": ["T2", "T3"],
            "listeLocalisationSouhaite": [{"commune": code} for code in municipalities],
        },
    }


def _identity(person: Person) -> dict[str, str]:
    return {
        "nom": person.surname,
        "prenom": person.first_name,
        "dateNaissance": person.born_on.isoformat(),
    }


def request_file(forms: Sequence[dict[str, Any]], *, made_at: datetime) -> bytes:
    """A `DEM` file of creations."""
    document = InterfaceFile(
        version=VERSIONS[-1],
        header=Header(file_type=Operation.CREATION, dated_at=made_at.astimezone(PARIS).replace(microsecond=0)),
        requests=tuple(RequestElement(form=HousingRequest.model_validate(form)) for form in forms),
    )
    return to_bytes(write(document, ROOT, NUU))


def file_name(desk: str, made_at: datetime, sequence: int) -> str:
    """`DEM<desk>-<minute>-<sequence>.xml`."""
    return f"DEM{desk}-{made_at.astimezone(PARIS):%Y%m%d%H%M}-{sequence:06}.xml"
