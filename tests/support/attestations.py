"""Attestations to typeset, and what a reader, or a reader's screen reader, finds in a PDF."""

import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from io import BytesIO
from typing import Any

from pypdf import PdfReader

from mailflow.attestation import Attestation
from mailflow.attestation.typography import MAY_BREAK
from mailflow.core.attested import Attested
from mailflow.core.form import (
    Address,
    Applicant,
    CoApplicant,
    Contact,
    HousingRequest,
    HousingSought,
    IdentityDocument,
    NaturalPerson,
    Place,
)
from mailflow.core.model import Environment
from mailflow.core.numbers import UniqueNumber
from mailflow.core.reference import Commission, Reference

NUMBER = UniqueNumber("059112600000159123")
LILLE, ROUBAIX, ASCQ = "59350", "59512", "59009"
COMMISSION = Commission(
    department="59",
    name="Commission de médiation du Nord",
    address="DDETS du Nord, 175 rue Gustave-Delory, 59011 Lille Cedex",
    delay_months=18,
)
REFERENCE = Reference(
    landlords={LILLE: ("Lille Métropole Habitat", "Vilogia"), ROUBAIX: ("Partenord Habitat",)},
    commissions={"59": COMMISSION},
)


def a_form(
    *, surname: str = "Durand", street: str = "12 rue des Postes", places: Sequence[str] = (LILLE, ROUBAIX, ASCQ)
) -> HousingRequest:
    return HousingRequest(
        form_version="05",
        desk="59123",
        deposited_on=date(2026, 11, 1),
        person=NaturalPerson(
            applicant=Applicant(
                title="2",
                surname=surname,
                first_name="Zoé",
                born_on=date(1990, 3, 1),
                nationality="1",
                contact=Contact(address=Address(street=street, postcode="59000", town="Lille"), telephone="0320000000"),
            ),
            co_applicant=CoApplicant(surname=f"{surname}-Martin", first_name="Noël", link="M"),
        ),
        identity_document=IdentityDocument(kind="CNI"),
        sought=HousingSought(
            widened=True, types=("T3", "T4"), places=tuple(Place(municipality=place) for place in places)
        ),
    )


def an_attestation(
    *,
    form: HousingRequest | None = None,
    renewed_on: date | None = None,
    desk_name: str = "Mairie de Lille",
    desk_address: str = "Place Augustin-Laurent, 59000 Lille",
    reference: Reference = REFERENCE,
    environment: Environment = Environment.PRODUCTION,
) -> Attestation:
    return Attestation(
        number=NUMBER,
        attested=Attested(
            form=form or a_form(),
            deposited_on=date(2026, 11, 1),
            renewed_on=renewed_on,
            expires_on=date(2027, 11, 1),
            desk_name=desk_name,
            desk_address=desk_address,
        ),
        reference=reference,
        environment=environment,
    )


@cache
def pages(pdf: bytes) -> list[str]:
    """The text of each page, its white space of whatever width one space each."""
    return [re.sub(r"\s+", " ", page.extract_text().replace(MAY_BREAK, "")) for page in PdfReader(BytesIO(pdf)).pages]


def text(pdf: bytes) -> str:
    return " ".join(pages(pdf))


def structure(pdf: bytes) -> list[str]:
    """The types of the structure elements in reading order: what a screen reader walks through."""
    found: list[str] = []

    def walk(element: Any) -> None:
        element = element.get_object()
        if isinstance(element, list):
            for one in element:
                walk(one)
        elif isinstance(element, dict):
            if "/S" in element:
                found.append(str(element["/S"]))
            if "/K" in element:
                walk(element["/K"])

    walk(PdfReader(BytesIO(pdf)).root_object["/StructTreeRoot"])
    return found
