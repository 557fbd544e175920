"""The housing request as it is filed: one model for the XML, JSON and, later, a web form.

Everything that a rule checks is optional here, so that all faults of a request are told at once, with their
paths (see `core.rules`). Aliases are the names on the wire; those of `interfaceNuu` that are public are kept
to the letter. Every model of the form is imported from here.
"""

import json
from hashlib import sha256
from typing import Annotated

from pydantic import Field

from mailflow.core.form_persons import (
    Address,
    Applicant,
    Association,
    Births,
    CoApplicant,
    Contact,
    ContactPerson,
    Dependant,
    Employment,
    Handicap,
    Member,
    NaturalPerson,
    PaidResource,
    Person,
    ReceivedResource,
    Resource,
    TaxIncome,
)
from mailflow.core.lexical import Amount, Area, Count, Day, Line, Token, Truth
from mailflow.core.shapes import Attribute, Coded, Items, WireModel

__all__ = [
    "MOTIVES_MAX", "PLACES_MAX", "Address", "Applicant", "Association", "Births", "CoApplicant", "Contact",
    "ContactPerson", "CurrentDwelling", "Dalo", "Dependant", "Employment", "Handicap", "HousingRequest",
    "HousingSought", "IdentityDocument", "Member", "Motive", "NaturalPerson", "PaidResource", "Person", "Place",
    "ReceivedResource", "Resource", "TaxIncome", "digest_of", "without_nir",
]  # fmt: skip

PLACES_MAX = 10
"""How many municipalities a request may name."""
MOTIVES_MAX = 3
"""How many motives a request may give."""


class IdentityDocument(WireModel):
    """The document by which the desk convinced itself of the applicant's identity, or regular residence."""

    kind: Annotated[Token | None, Coded("typePieceIdentite")] = Field(default=None, alias="typePieceIdentite")
    valid_until: Day | None = Field(default=None, alias="dateFinValidite")


class CurrentDwelling(WireModel):
    """Where and how the applicant lives now."""

    tenure: Annotated[Token | None, Coded("modeleLogement")] = Field(default=None, alias="modeleLogement")
    category: Annotated[Token | None, Coded("categorieLogement")] = Field(default=None, alias="categorieLogement")
    type: Annotated[Token | None, Coded("typeLogement")] = Field(default=None, alias="typeLogement")
    area: Area | None = Field(default=None, alias="surface")
    """In square metres."""
    rent: Amount | None = Field(default=None, alias="loyer")
    """In euros a month, charges included."""
    allowance: Amount | None = Field(default=None, alias="aideLogement")
    """Housing benefit (APL or AL), in euros a month."""
    persons: Count | None = Field(default=None, alias="nombrePersonne")
    """How many live there."""
    since: Day | None = Field(default=None, alias="dateEntree")
    landlord: Line | None = Field(default=None, alias="bailleur")
    """Whose tenant the applicant is."""
    host: Line | None = Field(default=None, alias="hebergeant")
    """Who puts the applicant up: a person or a shelter."""
    owns_another: Truth | None = Field(default=None, alias="proprietaireAutreLogement")
    """Whether the applicant owns a dwelling in which he does not live."""


class Motive(WireModel):
    """Why a dwelling is sought; the order of motives is their rank."""

    kind: Annotated[Token | None, Coded("motifDemande")] = Field(default=None, alias="motifDemande")
    note: Line | None = Field(default=None, alias="precision")


class Place(WireModel):
    """One of the municipalities sought; their order is the applicant's preference."""

    municipality: Annotated[Token | None, Coded(None)] = Field(default=None, alias="commune")
    quarter: Line | None = Field(default=None, alias="quartier")


class HousingSought(WireModel):
    """The dwelling sought."""

    widened: Truth | None = Field(default=None, alias="demandeElargie")
    """Whether the applicant lets the request be widened to other municipalities."""
    category: Annotated[Token | None, Coded("categorieLogementRecherche")] = Field(
        default=None, alias="categorieLogementRecherche"
    )
    types: Annotated[tuple[Annotated[Token, Coded("typeLogement")], ...], Items("typeLogement")] = Field(
        default=(), alias="listeTypeLogement"
    )
    rent_max: Amount | None = Field(default=None, alias="loyerMaximum")
    """What the applicant could pay, in euros a month, charges included."""
    ground_floor: Annotated[Token | None, Coded("ternaire")] = Field(default=None, alias="rezDeChaussee")
    """Whether a dwelling on the ground floor is accepted."""
    without_lift: Annotated[Token | None, Coded("ternaire")] = Field(default=None, alias="sansAscenseur")
    """Whether a dwelling without a lift is accepted."""
    parking: Annotated[Token | None, Coded("ternaire")] = Field(default=None, alias="stationnement")
    """Whether a parking space is wished for."""
    places: Annotated[tuple[Place, ...], Items("localisationSouhaite")] = Field(
        default=(), alias="listeLocalisationSouhaite"
    )


class Dalo(WireModel):
    """The standing of the request under the enforceable right to housing."""

    status: Annotated[Token | None, Coded("statutDalo")] = Field(default=None, alias="statutDalo")
    decided_on: Day | None = Field(default=None, alias="dateDecision")
    """Of the mediation commission."""
    dwelling: Annotated[Token | None, Coded("typologieLogementDalo")] = Field(
        default=None, alias="typologieLogementDalo"
    )
    """What the commission decided to be fitting."""


class HousingRequest(WireModel):
    """`demandeLogement`."""

    form_version: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="versionFormulaire")
    """The version of the form (Cerfa 14069) that was filled in: `02` to `05`."""
    desk: Token | None = Field(default=None, alias="numGuichet")
    deposited_on: Day | None = Field(default=None, alias="dateCreationDemande")
    """The day of the deposit at the desk."""
    person: NaturalPerson | None = Field(default=None, alias="personnePhysique")
    association: Association | None = Field(default=None, alias="personneMorale")
    identity_document: IdentityDocument | None = Field(default=None, alias="pieceIdentite")
    dwelling: CurrentDwelling | None = Field(default=None, alias="logementActuel")
    motives: Annotated[tuple[Motive, ...], Items("detailMotif")] = Field(default=(), alias="listeMotifDemande")
    sought: HousingSought | None = Field(default=None, alias="logementRecherche")
    dalo: Dalo | None = None


def without_nir(form: HousingRequest) -> HousingRequest:
    """The form as it may be stored and answered: nobody's NIR in it."""
    person = form.person
    if person is None or not any(
        member is not None and member.nir is not None
        for member in (person.applicant, person.co_applicant, *person.dependants)
    ):
        return form
    bare = person.model_copy(
        update={
            "applicant": person.applicant and person.applicant.model_copy(update={"nir": None}),
            "co_applicant": person.co_applicant and person.co_applicant.model_copy(update={"nir": None}),
            "dependants": tuple(one.model_copy(update={"nir": None}) for one in person.dependants),
        }
    )
    return form.model_copy(update={"person": bare})


def digest_of(form: HousingRequest) -> str:
    """SHA-256 (hex) of the form's canonical JSON: wire names, sorted, what is absent left out."""
    data = form.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8")).hexdigest()
