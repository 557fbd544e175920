"""What a file says of a registered request beside the form: who holds it, and why it ends.

Like the form, everything that a rule checks is optional (see `core.rules.order`). The names are ours.
"""

from typing import Annotated

from pydantic import Field

from mailflow.core.form import Address, HousingRequest
from mailflow.core.identity import normalise
from mailflow.core.lexical import Amount, Area, Day, Line, Name, Token, Truth
from mailflow.core.shapes import Coded, WireModel


class Holder(WireModel):
    """`titulaire`: who holds the request according to the sender. A number alone proves nothing."""

    surname: Name | None = Field(default=None, alias="nom")
    born_on: Day | None = Field(default=None, alias="dateNaissance")
    company_name: Line | None = Field(default=None, alias="raisonSociale")
    """Of an association; a person has the other two."""


class Lease(WireModel):
    """`bail`: the lease by which the applicant was housed."""

    landlord: Token | None = Field(default=None, alias="sirenBailleur")
    signed_on: Day | None = Field(default=None, alias="dateSignature")
    already_tenant: Truth | None = Field(default=None, alias="dejaLocataire")
    """Whether the applicant was a tenant of that landlord before."""
    dwelling: Token | None = Field(default=None, alias="identifiantRpls")
    """The dwelling in the national directory (RPLS); else address, type, surface and rent describe it."""
    address: Address | None = Field(default=None, alias="adresse")
    type: Annotated[Token | None, Coded("typeLogementRPLS")] = Field(default=None, alias="typeLogement")
    area: Area | None = Field(default=None, alias="surface")
    """In square metres."""
    rent: Amount | None = Field(default=None, alias="loyer")
    """In euros a month."""
    sensitive_area: Annotated[Token | None, Coded("zoneUrbaineSensible")] = Field(
        default=None, alias="zoneUrbaineSensible"
    )
    collective_agreement: Annotated[Token | None, Coded("accordCollectif")] = Field(
        default=None, alias="accordCollectif"
    )
    dalo: Annotated[Token | None, Coded("statutDalo")] = Field(default=None, alias="statutDalo")
    quota: Annotated[Token | None, Coded("typeReservataire")] = Field(default=None, alias="typeReservataire")
    """Of whose reservation the dwelling was."""


class Deregistration(WireModel):
    """`radiation`. Without a motive it is a reactivation."""

    motive: Annotated[Token | None, Coded("motifRadiation")] = Field(default=None, alias="motifRadiation")
    submotive: Annotated[Token | None, Coded("sousMotifIrrecevabilite")] = Field(
        default=None, alias="sousMotifRadiation"
    )
    lease: Lease | None = Field(default=None, alias="bail")


def holds(holder: Holder, form: HousingRequest) -> bool:
    """Whether the request is that of `holder`: of one of those who would sign the lease, or of the association."""
    person, association = form.person, form.association
    if association is not None:
        return bool(association.name and holder.company_name) and (
            normalise(association.name or "") == normalise(holder.company_name or "")
        )
    if person is None or not holder.surname or holder.born_on is None:
        return False
    surname = normalise(holder.surname)
    for somebody in (person.applicant, person.co_applicant):
        names = (somebody.surname, somebody.used_name) if somebody else ()
        if somebody and somebody.born_on == holder.born_on and surname in {normalise(n) for n in names if n}:
            return True
    return False
