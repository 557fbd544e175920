"""The persons of a request, and the association that may stand in their place."""

from typing import Annotated

from pydantic import Field

from mailflow.core.lexical import Amount, Count, Day, Line, Name, Token, Year
from mailflow.core.shapes import Coded, Items, WireModel

Nir = Token
"""A social security number: kept apart from the request, never shown nor answered (`without_nir`)."""


class Address(WireModel):
    """A postal address, in France unless a country is named."""

    complement: Line | None = None
    """Flat, floor, care of."""
    street: Line | None = Field(default=None, alias="voie")
    """House number and street."""
    locality: Line | None = Field(default=None, alias="lieuDit")
    postcode: Token | None = Field(default=None, alias="codePostal")
    """Abroad as that country writes it, or none."""
    town: Line | None = Field(default=None, alias="ville")
    country: Line | None = Field(default=None, alias="pays")
    """Its name in French; none for an address in France."""


class Contact(WireModel):
    """How somebody is reached."""

    address: Address | None = Field(default=None, alias="adresse")
    mail_address: Address | None = Field(default=None, alias="adresseCourrier")
    """Where mail goes, when not to `address`."""
    telephone: Token | None = None
    mobile: Token | None = Field(default=None, alias="telephonePortable")
    email: Line | None = Field(default=None, alias="courriel")


class TaxIncome(WireModel):
    """The taxable income (*revenu fiscal de référence*) of the last two years, each with its year."""

    year_before: Year | None = Field(default=None, alias="anneeMoins1")
    amount_before: Amount | None = Field(default=None, alias="montantMoins1")
    year_before_last: Year | None = Field(default=None, alias="anneeMoins2")
    amount_before_last: Amount | None = Field(default=None, alias="montantMoins2")


class Resource(WireModel):
    """What somebody receives or pays each month."""

    kind: Token | None = Field(default=None, alias="ressource")
    amount: Amount | None = Field(default=None, alias="montant")
    """In euros a month."""


class ReceivedResource(Resource):
    """What somebody receives each month."""

    kind: Annotated[Token | None, Coded("ressourceRecue")] = Field(default=None, alias="ressource")


class PaidResource(Resource):
    """What somebody pays each month to others."""

    kind: Annotated[Token | None, Coded("ressourceVersee")] = Field(default=None, alias="ressource")


ReceivedResources = Annotated[tuple[ReceivedResource, ...], Items("detailRessource")]
PaidResources = Annotated[tuple[PaidResource, ...], Items("detailRessource")]


class Handicap(WireModel):
    """The complement to the form that a person with a handicap may fill in."""

    state: Annotated[Token | None, Coded("etatHandicap")] = Field(default=None, alias="etatHandicap")
    motor: Annotated[tuple[Annotated[Token, Coded("natureHandicapMoteur")], ...], Items("natureHandicapMoteur")] = (
        Field(default=(), alias="listeNatureHandicapMoteur")
    )
    sensory: Annotated[
        tuple[Annotated[Token, Coded("natureHandicapSensoriel")], ...], Items("natureHandicapSensoriel")
    ] = Field(default=(), alias="listeNatureHandicapSensoriel")
    steps: Annotated[Token | None, Coded("capaciteMarcheHandicap")] = Field(
        default=None, alias="capaciteMarcheHandicap"
    )
    """How many steps the person can climb."""
    aids: Annotated[tuple[Annotated[Token, Coded("aideTechniqueHandicap")], ...], Items("aideTechniqueHandicap")] = (
        Field(default=(), alias="listeAideTechniqueHandicap")
    )
    equipment: Annotated[tuple[Annotated[Token, Coded("equipementHandicap")], ...], Items("equipementHandicap")] = (
        Field(default=(), alias="listeEquipementHandicap")
    )
    """What the dwelling must have."""
    note: Line | None = Field(default=None, alias="precision")


class Employment(WireModel):
    """The professional situation."""

    kind: Annotated[Token | None, Coded("typeContratTravail")] = Field(default=None, alias="typeContratTravail")
    occupation: Line | None = Field(default=None, alias="profession")
    employer: Line | None = Field(default=None, alias="employeur")
    workplace: Address | None = Field(default=None, alias="lieuTravail")
    """Where the employer has the person work."""


class Person(WireModel):
    """Somebody who would sign the lease."""

    title: Annotated[Token | None, Coded("civilite")] = Field(default=None, alias="civilite")
    surname: Name | None = Field(default=None, alias="nom")
    used_name: Name | None = Field(default=None, alias="nomUsage")
    first_name: Name | None = Field(default=None, alias="prenom")
    born_on: Day | None = Field(default=None, alias="dateNaissance")
    nir: Nir | None = Field(default=None, repr=False)
    nationality: Annotated[Token | None, Coded("nationalite")] = Field(default=None, alias="nationalite")
    family_situation: Annotated[Token | None, Coded("situationFamiliale")] = Field(
        default=None, alias="situationFamiliale"
    )
    contact: Contact | None = Field(default=None, alias="coordonnees")
    employment: Employment | None = Field(default=None, alias="situationProfessionnelle")
    tax_income: TaxIncome | None = Field(default=None, alias="revenuFiscal")
    received: ReceivedResources = Field(default=(), alias="listeRessourceRecue")
    paid: PaidResources = Field(default=(), alias="listeRessourceVersee")
    handicap: Handicap | None = Field(default=None, alias="complementHandicap")


class Applicant(Person):
    """The person who files the request."""


class CoApplicant(Person):
    """The spouse, or who else would sign the lease beside the applicant."""

    link: Annotated[Token | None, Coded("lienDemandeur")] = Field(default=None, alias="lienDemandeur")


class Dependant(WireModel):
    """Somebody else who would live in the dwelling."""

    surname: Name | None = Field(default=None, alias="nom")
    used_name: Name | None = Field(default=None, alias="nomUsage")
    first_name: Name | None = Field(default=None, alias="prenom")
    born_on: Day | None = Field(default=None, alias="dateNaissance")
    nir: Nir | None = Field(default=None, repr=False)
    sex: Annotated[Token | None, Coded("sexe")] = Field(default=None, alias="sexe")
    kinship: Annotated[Token | None, Coded("lienParente")] = Field(default=None, alias="lienParente")
    shared_custody: Annotated[Token | None, Coded("coparentalite")] = Field(default=None, alias="coparentalite")
    """Of a child that lives there only at times."""
    tax_income: TaxIncome | None = Field(default=None, alias="revenuFiscal")
    received: ReceivedResources = Field(default=(), alias="listeRessourceRecue")
    paid: PaidResources = Field(default=(), alias="listeRessourceVersee")
    handicap: Handicap | None = Field(default=None, alias="complementHandicap")


Member = Person | Dependant
"""Somebody of the household."""


class Births(WireModel):
    """Children expected."""

    count: Count | None = Field(default=None, alias="nombre")
    expected_on: Day | None = Field(default=None, alias="datePrevue")


class NaturalPerson(WireModel):
    """The request of a person, as against an association's."""

    applicant: Applicant | None = Field(default=None, alias="demandeur")
    co_applicant: CoApplicant | None = Field(default=None, alias="coDemandeur")
    dependants: Annotated[tuple[Dependant, ...], Items("personneACharge")] = Field(
        default=(), alias="listePersonneACharge"
    )
    births: Births | None = Field(default=None, alias="naissanceAttendue")
    size: Count | None = Field(default=None, alias="nombrePersonne")
    """How many would live in the dwelling, without children expected."""


class ContactPerson(WireModel):
    """Who speaks for an association."""

    title: Annotated[Token | None, Coded("civilite")] = Field(default=None, alias="civilite")
    surname: Name | None = Field(default=None, alias="nom")
    first_name: Name | None = Field(default=None, alias="prenom")
    role: Line | None = Field(default=None, alias="fonction")
    telephone: Token | None = None
    email: Line | None = Field(default=None, alias="courriel")


class Association(WireModel):
    """An association that seeks a dwelling for persons whom it accompanies."""

    name: Line | None = Field(default=None, alias="raisonSociale")
    siren: Token | None = None
    purpose: Line | None = Field(default=None, alias="objet")
    """What it wants the dwelling for."""
    contact_person: ContactPerson | None = Field(default=None, alias="personneContact")
    contact: Contact | None = Field(default=None, alias="coordonnees")
