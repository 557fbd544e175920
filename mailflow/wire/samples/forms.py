"""The requests of invented persons and associations that our sample messages carry: every element of the form once."""

from datetime import date
from decimal import Decimal

from mailflow.core.form import (
    Address,
    Applicant,
    Association,
    Births,
    CoApplicant,
    Contact,
    ContactPerson,
    CurrentDwelling,
    Dalo,
    Dependant,
    Employment,
    Handicap,
    HousingRequest,
    HousingSought,
    IdentityDocument,
    Motive,
    NaturalPerson,
    PaidResource,
    Person,
    Place,
    ReceivedResource,
    TaxIncome,
)
from mailflow.core.numbers import DeskCode

SAMPLE_DESK = DeskCode("Z0001")
SAMPLE_DEPOSIT = date(2026, 1, 12)


def family_form() -> HousingRequest:
    """A couple with two children and a third expected; every element of a person's request is there."""
    return HousingRequest(
        form_version="05",
        desk=SAMPLE_DESK,
        deposited_on=SAMPLE_DEPOSIT,
        person=NaturalPerson(
            applicant=_applicant(),
            co_applicant=_co_applicant(),
            dependants=_children(),
            births=Births(count=1, expected_on=date(2026, 5, 20)),
            size=4,
        ),
        identity_document=IdentityDocument(kind="CNI", valid_until=date(2031, 6, 30)),
        dwelling=CurrentDwelling(
            tenure="LP",
            category="A",
            type="T2",
            area=Decimal("41.50"),
            rent=Decimal("720.00"),
            allowance=Decimal("190.00"),
            persons=4,
            since=date(2019, 9, 1),
            landlord="Agence Exemple",
            owns_another=False,
        ),
        motives=(Motive(kind="13"), Motive(kind="07"), Motive(kind="23", note="Logement au quatrième sans ascenseur")),
        sought=HousingSought(
            widened=True,
            category="I",
            types=("T4", "T5"),
            rent_max=Decimal("850.00"),
            ground_floor="OUI",
            without_lift="NON",
            parking="NONDOC",
            places=(Place(municipality="59350", quarter="Moulins"), Place(municipality="59512")),
        ),
        dalo=Dalo(status="ACTIF", decided_on=date(2025, 11, 4), dwelling="24"),
    )


def association_form() -> HousingRequest:
    """An association that seeks a dwelling to sublet; every element of an association's request is there."""
    return HousingRequest(
        form_version="05",
        desk=SAMPLE_DESK,
        deposited_on=date(2025, 2, 3),
        association=Association(
            name="Association Exemple Logement",
            siren="123456782",
            purpose="Sous-location à des ménages accompagnés",
            contact_person=ContactPerson(
                title="1",
                surname="Exemple",
                first_name="Ali",
                role="Directeur",
                telephone="+33 1 99 00 56 78",
                email="direction@exemple.invalid",
            ),
            contact=Contact(
                address=Address(street="3 place de l'Exemple", postcode="59100", town="Roubaix"),
                telephone="+33 1 99 00 56 79",
                email="contact@exemple.invalid",
            ),
        ),
        sought=HousingSought(widened=False, category="A", types=("T2",), places=(Place(municipality="59512"),)),
    )


def faulty_form() -> HousingRequest:
    """A form with a deposit in the future, no type of dwelling and a municipality of no territory."""
    return family_form().model_copy(
        update={
            "deposited_on": date(2026, 2, 12),
            "sought": HousingSought(widened=False, places=(Place(municipality="99123"),)),
        }
    )


def amended_form() -> HousingRequest:
    """The family's form as it is sent once they live with friends; the NIR need not be repeated."""
    form = family_form()
    assert form.person is not None
    assert form.person.applicant is not None
    return form.model_copy(
        update={
            "person": form.person.model_copy(
                update={"applicant": form.person.applicant.model_copy(update={"nir": None})}
            ),
            "dwelling": CurrentDwelling(
                tenure="CP", category="M", type="T5", persons=7, since=date(2026, 1, 10), host="Famille Patron"
            ),
        }
    )


def leaver_form() -> HousingRequest:
    """The form of the one who leaves the family: the co-applicant, alone."""
    form = family_form()
    leaver = _co_applicant()
    shared = {name: getattr(leaver, name) for name in Person.model_fields}
    alone = Applicant(**shared).model_copy(
        update={
            "family_situation": "S",
            "contact": Contact(
                address=Address(street="27 boulevard du Modèle", postcode="59100", town="Roubaix"),
                telephone="+33 1 99 00 12 35",
            ),
        }
    )
    return form.model_copy(
        update={
            "deposited_on": date(2026, 1, 15),
            "person": NaturalPerson(applicant=alone, size=1),
            "dwelling": CurrentDwelling(tenure="CP", persons=3, since=date(2026, 1, 10), host="Luc Patron"),
            "motives": (Motive(kind="11"),),
            "sought": HousingSought(
                widened=True, category="A", types=("T1", "T2"), places=(Place(municipality="59512"),)
            ),
            "dalo": None,
        }
    )


def plain_form(
    who: Applicant, deposited_on: date, *, types: tuple[str, ...] = ("T2",), telephone: str | None = None
) -> HousingRequest:
    """What must be there and no more."""
    address = Address(street="12 rue de l'Exemple", postcode="59000", town="Lille")
    applicant = who.model_copy(update={"contact": Contact(address=address, telephone=telephone)})
    return HousingRequest(
        desk=SAMPLE_DESK,
        deposited_on=deposited_on,
        person=NaturalPerson(applicant=applicant),
        identity_document=IdentityDocument(kind="PAS"),
        sought=HousingSought(widened=False, types=types, places=(Place(municipality="59350"),)),
    )


def _applicant() -> Applicant:
    return Applicant(
        title="2",
        surname="Exemple-Martin",
        used_name="Exemple",
        first_name="Zoé",
        born_on=date(1990, 2, 28),
        nir="290029935012374",
        nationality="1",
        family_situation="M",
        employment=Employment(
            kind="CDI",
            occupation="Infirmière",
            employer="Hôpital Exemple",
            workplace=Address(street="1 avenue de l'Exemple", postcode="59000", town="Lille"),
        ),
        tax_income=_tax_income(Decimal("18400.00"), Decimal("17950.00")),
        received=(
            ReceivedResource(kind="SAL", amount=Decimal("1780.00")),
            ReceivedResource(kind="AF", amount=Decimal("151.05")),
        ),
        contact=Contact(
            address=Address(complement="Bâtiment B", street="12 rue de l'Exemple", postcode="59000", town="Lille"),
            mail_address=Address(
                complement="Chez Exemple", street="8 rue du Modèle", locality="Sainte", postcode="7500",
                town="Tournai", country="Belgique",
            ),
            telephone="+33 1 99 00 12 34",
            mobile="+33 6 39 98 00 01",
            email="zoe@exemple.invalid",
        ),
    )  # fmt: skip


def _co_applicant() -> CoApplicant:
    return CoApplicant(
        title="1",
        surname="Exemple",
        first_name="Noël",
        born_on=date(1988, 7, 1),
        nationality="2",
        family_situation="M",
        employment=Employment(kind="CHO", occupation="Soudeur"),
        tax_income=_tax_income(Decimal("12300.00"), Decimal("15020.00")),
        received=(ReceivedResource(kind="CHO", amount=Decimal("980.40")),),
        paid=(PaidResource(kind="PAV", amount=Decimal("120.00")),),
        contact=Contact(telephone="+33 1 99 00 12 35"),
        link="M",
    )


def _children() -> tuple[Dependant, ...]:
    return (
        Dependant(
            surname="Exemple",
            first_name="Lou",
            born_on=date(2016, 3, 9),
            sex="F",
            kinship="E",
            handicap=Handicap(
                state="STA",
                motor=("MI",),
                sensory=("DA",),
                steps="1",
                aids=("4",),
                equipment=("3", "4"),
                note="Fauteuil hors du logement",
            ),
        ),
        Dependant(
            surname="Exemple", first_name="Max", born_on=date(2012, 12, 24), sex="M", kinship="E", shared_custody="G"
        ),
    )


def _tax_income(before: Decimal, before_last: Decimal) -> TaxIncome:
    return TaxIncome(year_before=2025, amount_before=before, year_before_last=2024, amount_before_last=before_last)
