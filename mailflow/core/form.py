"""The housing request as it is filed: one model for the XML, JSON and, later, a web form.

Everything that a rule checks is optional here, so that all faults of a request are told at once, with their
paths (see `core.rules`). Aliases are the names on the wire; those of `interfaceNuu` that are public are kept
to the letter. Only creations of a person's request so far; the whole form grows by adding fields.
"""

from typing import Annotated

from pydantic import Field

from mailflow.core.lexical import Day, Line, Name, Token, Truth
from mailflow.core.shapes import Attribute, Coded, Items, WireModel

PLACES_MAX = 10
"""How many municipalities a request may name."""


class Address(WireModel):
    """A postal address in France."""

    complement: Line | None = None
    """Flat, floor, care of."""
    street: Line | None = Field(default=None, alias="voie")
    """House number and street."""
    locality: Line | None = Field(default=None, alias="lieuDit")
    postcode: Token | None = Field(default=None, alias="codePostal")
    town: Line | None = Field(default=None, alias="ville")


class Contact(WireModel):
    """How the applicant is reached."""

    address: Address | None = Field(default=None, alias="adresse")
    telephone: Token | None = None
    email: Line | None = Field(default=None, alias="courriel")


class Person(WireModel):
    """Somebody who would sign the lease."""

    title: Annotated[Token | None, Coded("civilite")] = Field(default=None, alias="civilite")
    surname: Name | None = Field(default=None, alias="nom")
    used_name: Name | None = Field(default=None, alias="nomUsage")
    first_name: Name | None = Field(default=None, alias="prenom")
    born_on: Day | None = Field(default=None, alias="dateNaissance")
    nationality: Annotated[Token | None, Coded("nationalite")] = Field(default=None, alias="nationalite")
    family_situation: Annotated[Token | None, Coded("situationFamiliale")] = Field(
        default=None, alias="situationFamiliale"
    )


class Applicant(Person):
    """The person who files the request."""

    contact: Contact | None = Field(default=None, alias="coordonnees")


class CoApplicant(Person):
    """The spouse, or who else would sign the lease beside the applicant."""

    link: Annotated[Token | None, Coded("lienDemandeur")] = Field(default=None, alias="lienDemandeur")


class NaturalPerson(WireModel):
    """The request of a person, as against an association's."""

    applicant: Applicant | None = Field(default=None, alias="demandeur")
    co_applicant: CoApplicant | None = Field(default=None, alias="coDemandeur")


class IdentityDocument(WireModel):
    """The document by which the desk convinced itself of the applicant's identity, or regular residence."""

    kind: Annotated[Token | None, Coded("typePieceIdentite")] = Field(default=None, alias="typePieceIdentite")


class Place(WireModel):
    """One of the municipalities sought; their order is the applicant's preference."""

    municipality: Annotated[Token | None, Coded(None)] = Field(default=None, alias="commune")


class HousingSought(WireModel):
    """The dwelling sought."""

    widened: Truth | None = Field(default=None, alias="demandeElargie")
    """Whether the applicant lets the request be widened to other municipalities."""
    types: Annotated[tuple[Annotated[Token, Coded("typeLogement")], ...], Items("typeLogement")] = Field(
        default=(), alias="listeTypeLogement"
    )
    places: Annotated[tuple[Place, ...], Items("localisationSouhaite")] = Field(
        default=(), alias="listeLocalisationSouhaite"
    )


class HousingRequest(WireModel):
    """`demandeLogement`."""

    form_version: Annotated[Token | None, Attribute(extension=True)] = Field(default=None, alias="versionFormulaire")
    """The version of the form (Cerfa 14069) that was filled in: `02` to `05`."""
    desk: Token | None = Field(default=None, alias="numGuichet")
    deposited_on: Day | None = Field(default=None, alias="dateCreationDemande")
    """The day of the deposit at the desk."""
    person: NaturalPerson | None = Field(default=None, alias="personnePhysique")
    identity_document: IdentityDocument | None = Field(default=None, alias="pieceIdentite")
    sought: HousingSought | None = Field(default=None, alias="logementRecherche")
