"""The attestation: what it must state, to whoever reads it, and whatever was written on the form."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from typing import Any

import page
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from mailflow.attestation import Attestation
from mailflow.attestation import typeset as typeset_somehow
from mailflow.attestation.summary import HIDDEN, fits_a_row, labels
from mailflow.attestation.typography import UNKNOWN_SIGN, displayable, french, written
from mailflow.core.form import (
    Address,
    Association,
    Contact,
    CurrentDwelling,
    Dependant,
    HousingRequest,
    Motive,
    ReceivedResource,
)
from mailflow.core.model import Environment
from mailflow.core.reference import Commission, Reference
from mailflow.core.shapes import WireModel, shape_of
from tests.support.attestations import ASCQ, COMMISSION, LILLE, NUMBER, a_form, an_attestation, pages, structure, text


def typeset(attestation: Attestation) -> bytes:
    """A PDF that the typesetter found no fault in; the service would take another one too."""
    pdf = typeset_somehow(attestation)
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    return pdf


CREATION = typeset(an_attestation())
RENEWAL = typeset(an_attestation(renewed_on=date(2026, 11, 25)))

MANDATORY = {
    "applicant": "Madame Durand Zoé",
    "co-applicant": "Durand-Martin Noël",
    "address": "12 rue des Postes 59000 Lille",
    "desk": "Mairie de Lille",
    "address of the desk": "Place Augustin-Laurent, 59000 Lille",
    "number": NUMBER,
    "deposit": "1er novembre 2026",
    "landlords": "Lille (59350) : Lille Métropole Habitat, Vilogia",
    "landlords of the next": "Roubaix (59512) : Partenord Habitat",
    "landlords unknown": "Villeneuve-d'Ascq (59009) : liste disponible en mairie",
    "commission, from when": "À partir du 1er mai 2028 : Commission de médiation du Nord",
    "commission, where": "175 rue Gustave-Delory, 59011 Lille Cedex",
    "commission, after": "18 mois après le dépôt",
    "commission, cases": "menacé d’expulsion sans relogement",
    "validity": "jusqu’au 1er novembre 2027 inclus",
    "renewal": "renouvelez-la avant cette date auprès de tout guichet",
    "update": "Signalez de la même manière tout changement",
    "end": "La demande est radiée",
    "progress": "où en est votre demande",
}


@pytest.mark.parametrize("what", MANDATORY)
def test_the_first_page_states_what_the_law_asks_for(what: str) -> None:
    for pdf in (CREATION, RENEWAL):
        assert MANDATORY[what] in pages(pdf)[0]


def test_creation_and_renewal_are_told_apart() -> None:
    assert "Attestation d’enregistrement" in pages(CREATION)[0]
    assert "aucun à ce jour" in pages(CREATION)[0]
    assert "Attestation de renouvellement" in pages(RENEWAL)[0]
    assert "25 novembre 2026" in pages(RENEWAL)[0]
    assert "25 novembre 2026" not in text(CREATION)


def test_the_annexes_are_the_summary_the_steps_and_the_documents() -> None:
    annexes = " ".join(pages(CREATION)[1:])
    for title in ("Récapitulatif de la demande", "Les étapes à venir", "Pièces justificatives"):
        assert title in annexes
        assert title not in pages(CREATION)[0]
    for filled_in in ("Né(e) le : 1er mars 1990", "0320000000", "T3, T4", "Française", "Lille (59350) ; Roubaix"):
        assert filled_in in annexes


def test_every_page_of_the_school_says_so() -> None:
    school = pages(typeset(an_attestation(environment=Environment.SCHOOL)))
    assert all("ÉCOLE – SANS VALEUR" in page for page in school)
    assert "Il n’enregistre rien" in school[0]
    assert "ÉCOLE" not in text(CREATION)


def test_the_title_of_a_document_of_the_school_says_so() -> None:
    for environment, begins in ((Environment.SCHOOL, "ÉCOLE – SANS VALEUR"), (Environment.PRODUCTION, "Attestation")):
        metadata = PdfReader(BytesIO(typeset(an_attestation(environment=environment)))).metadata
        assert metadata is not None
        assert (metadata.title or "").startswith(begins)


@pytest.mark.parametrize("environment", Environment)
def test_it_can_be_set_wherever_a_page_ends(environment: Environment) -> None:
    """The typesetter refuses what would not be accessible: nothing may depend on where lists and rows are parted."""
    form = a_form()
    assert form.person is not None
    for count in range(16):
        dependants = tuple(Dependant(surname="Durand", born_on=date(2010, 1, 1)) for _ in range(count))
        person = form.person.model_copy(update={"dependants": dependants, "co_applicant": None})
        longer = form.model_copy(update={"person": person})
        typeset(an_attestation(form=longer, environment=environment))


def test_the_same_attestation_has_the_same_octets_on_any_machine() -> None:
    assert typeset(an_attestation()) == CREATION
    script = (
        "import hashlib, sys; from mailflow.attestation import typeset;"
        "from tests.support.attestations import an_attestation;"
        "sys.stdout.write(hashlib.sha256(typeset(an_attestation())).hexdigest())"
    )
    elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "HOME": "/nonexistent", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=elsewhere, capture_output=True, text=True, check=True)
    assert done.stdout == hashlib.sha256(CREATION).hexdigest()


def test_the_pdf_is_tagged_for_those_who_cannot_see_it() -> None:
    """What of PDF/UA-1 a reader can see; the typesetter checks more of it and refuses to write what fails."""
    reader = PdfReader(BytesIO(CREATION))
    root: Any = reader.root_object
    assert root["/MarkInfo"]["/Marked"].value
    assert root["/Lang"] == "fr-FR"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"].value
    assert reader.metadata is not None
    assert reader.metadata.title == "Attestation d’enregistrement d’une demande de logement social"
    every_page: list[Any] = list(reader.pages)
    assert all(page["/Tabs"] == "/S" for page in every_page)
    order = [kind for kind in structure(CREATION) if kind.startswith("/H")]
    assert order[:2] == ["/H1", "/H2"]
    levels = [int(kind[2:]) for kind in order]
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is skipped"
    assert {"/P", "/L", "/LI", "/LBody"} <= set(structure(CREATION))
    fonts = [font.get_object() for page in every_page for font in page["/Resources"]["/Font"].values()]
    assert all("/ToUnicode" in font for font in fonts)


def accessibility_faults(pdf: bytes) -> list[str]:
    """The rules of PDF/UA-1 that another program finds broken: what veraPDF checks (ISO 14289-1, machine-checkable)."""
    report = page.validate_pdf_bytes(pdf, profile=page.ValidationProfile.PDF_UA_1)
    assert report.rules.total > 100
    return [failure.rule_id for failure in report.failures]


def test_a_checker_of_accessibility_finds_no_fault() -> None:
    nothing_known = an_attestation(reference=Reference(), desk_address="")
    school = an_attestation(environment=Environment.SCHOOL)
    large = an_attestation(form=a_household(), environment=Environment.SCHOOL)
    pdfs = [CREATION, RENEWAL, *map(typeset, (nothing_known, school, large))]
    assert [accessibility_faults(pdf) for pdf in pdfs] == [[]] * len(pdfs)


def test_the_checker_of_accessibility_would_find_one() -> None:
    without_language = PdfWriter(clone_from=BytesIO(CREATION))
    without_language.root_object.pop("/Lang")
    altered = BytesIO()
    without_language.write(altered)
    assert "PDFUA1-TEXT-LANGUAGE-001" in accessibility_faults(altered.getvalue())


def test_reference_data_that_nobody_has_loaded_hold_nothing_up() -> None:
    first = pages(typeset(an_attestation(reference=Reference(), desk_address="")))[0]
    assert "est tenue à votre disposition par leurs mairies et par le guichet" in first
    assert "La préfecture indique ce délai et l’adresse de la commission" in first
    assert "adresse non communiquée" in first
    nothing = pages(typeset(an_attestation(form=a_form().model_copy(update={"person": None, "sought": None}))))
    assert "La préfecture indique ce délai" in nothing[0]


def test_each_departement_of_a_territory_has_its_commission() -> None:
    known = {
        code: Commission(department=code, name=f"Commission {code}", address=f"Rue {code}", delay_months=months)
        for code, months in (("75", 6), ("92", 36), ("93", 12))
    }
    two = text(typeset(an_attestation(form=a_form(places=("75056", "92012")), reference=Reference(commissions=known))))
    assert "6 à 36 mois, selon le département" in two
    assert "1er mai 2027 : Commission 75, Rue 75" in two
    assert "1er novembre 2029 : Commission 92" in two
    three = pages(
        typeset(an_attestation(form=a_form(places=("75056", "92012", "93008")), reference=Reference(commissions=known)))
    )
    assert "sont en annexe 4" in three[0]
    assert "Annexe 4 – Commissions de médiation" in three[-1]
    assert "1er novembre 2027 : Commission 93" in three[-1]


def test_what_the_law_asks_for_stays_on_the_first_page_however_much_it_is() -> None:
    places = [f"59{number:03}" for number in range(1, 11)]
    many = Reference(
        landlords={place: tuple(f"Office public de l'habitat n° {n}" for n in range(30)) for place in places},
        commissions={"59": replace(COMMISSION, address="allée " * 40)},
    )
    form = a_form(surname="W" * 92, street="W" * 150, places=places)
    first, *others = pages(
        typeset(an_attestation(form=form, reference=many, desk_name="M" * 120, desk_address="M" * 200))
    )
    for statement in ("Suivre votre demande", "n’est pas renouvelée à temps", "sont en annexe", "où en est votre"):
        assert statement.replace("sont en annexe", "est en annexe 4") in first
    assert all(NUMBER in page for page in others)
    assert "Annexe 1" in others[0]
    assert "Office public de l’habitat n° 29" in others[-1].replace("'", "’")


def a_household() -> HousingRequest:
    dependants = tuple(
        Dependant(
            surname=f"Durand{n}",
            first_name="W" * 100,
            born_on=date(2010, 1, 1 + n),
            kinship="E",
            received=(ReceivedResource(kind="AF", amount=Decimal("1234.50")),),
        )
        for n in range(15)
    )
    form = a_form()
    assert form.person is not None
    return form.model_copy(
        update={
            "person": form.person.model_copy(update={"dependants": dependants}),
            "dwelling": CurrentDwelling(tenure="HLM", area=Decimal("62.5"), since=date(2019, 5, 1)),
            "motives": (Motive(kind="01"), Motive(kind="07", note="escalier")),
        }
    )


def test_a_large_household_flows_on_to_more_pages() -> None:
    first, *annexes = pages(typeset(an_attestation(form=a_household())))
    found = " ".join(annexes)
    assert len(annexes) > len(pages(CREATION)) - 1
    assert all(f"Durand{n}" in found for n in range(15))
    for shown in (
        "Personne à charge 15",
        "Allocations familiales – 1 234,50 €",
        "62,5 m²",
        "Sans logement, hébergé ou en logement temporaire ; Handicap – escalier",
    ):
        assert shown in found
    assert "Durand14" not in first


def test_an_association_is_named_with_its_address() -> None:
    address = Address(street="1 quai de l'Ouest", town="Bruxelles", country="Belgique")
    association = Association(name="Toit pour tous", siren="123456789", contact=Contact(address=address))
    form = a_form().model_copy(update={"person": None, "association": association})
    first = pages(typeset(an_attestation(form=form)))[0]
    assert "Toit pour tous 1 quai de l'Ouest Bruxelles Belgique" in first


def test_every_element_of_the_form_has_a_label_but_the_nir_which_is_never_shown() -> None:
    def shown(model: type[WireModel]) -> set[str]:
        found: set[str] = set()
        for shape in shape_of(model):
            in_a_row = shape.model is None or fits_a_row(shape.model)
            found.add(shape.items.name if shape.items and not in_a_row else shape.wire_name)
            found |= shown(shape.model) if shape.model and not in_a_row else set()
        return found

    assert shown(HousingRequest) == labels().keys() | HIDDEN
    form = a_form()
    assert form.person is not None
    assert form.person.applicant is not None
    told = form.person.applicant.model_copy(update={"nir": "290035935012345"})
    with_nir = form.model_copy(update={"person": form.person.model_copy(update={"applicant": told})})
    assert "290035935012345" not in text(typeset(an_attestation(form=with_nir)))


MARKUP = '#panic() *gras* $x^2$ <label> @ref `raw` \\ // /* */ "quotes" [x] {y} = titre - item'


@pytest.mark.parametrize("surname", [MARKUP, "= Titre", "- point", '#read("/etc/passwd")', "~", "{day}"])
def test_what_an_applicant_wrote_is_never_markup(surname: str) -> None:
    pdf = typeset(an_attestation(form=a_form(surname=surname)))
    assert surname in text(pdf).replace("’", "'")
    assert structure(pdf) == structure(CREATION)


@pytest.mark.parametrize("surname", ["שלום", "محمد", "Νίκος", "Žižková", "Nguyễn", "Đặng", "Ивановић", "O’Brien"])
def test_names_of_other_scripts_are_set(surname: str) -> None:
    assert displayable(surname) == surname
    typeset(an_attestation(form=a_form(surname=surname)))


def test_signs_without_a_shape_are_replaced_and_seen_to_be() -> None:
    assert displayable("Zoé 👩 张\u202e") == f"Zoé {UNKNOWN_SIGN} {UNKNOWN_SIGN}{UNKNOWN_SIGN}"
    assert displayable("e\u0301") == "é"
    assert f"Zoé{UNKNOWN_SIGN}" in text(typeset(an_attestation(form=a_form(surname="Zoé👩"))))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30), min_size=3, max_size=3))
def test_anything_that_a_form_can_hold_is_set(texts: list[str]) -> None:
    surname, street, desk = texts
    typeset(an_attestation(form=a_form(surname=surname, street=street), desk_name=desk, desk_address=desk))


def test_every_sign_that_is_let_through_has_a_shape() -> None:
    signs = [sign for sign in map(chr, range(0x20, 0x3000)) if displayable(f"a{sign}").find(UNKNOWN_SIGN) < 0]
    assert len(signs) > 1000
    typeset(an_attestation(desk_address=" a".join(signs)))


def test_the_template_reads_nothing_and_runs_nothing() -> None:
    source = files("mailflow.attestation").joinpath("data/attestation.typ").read_text()
    assert not [word for word in ("read(", "#import", "#include", "eval(", "plugin(", "image(") if word in source]


def test_french_typography() -> None:
    assert french("Lu : « oui » ; non ! Si ?") == ("Lu\u00a0: «\u00a0oui\u00a0»\u202f; non\u202f! Si\u202f?")
    assert french("l'article L.~441 : {x}", x="a : b'") == "l’article L.\u00a0441\u00a0: a : b'"
    assert written(date(2026, 11, 25)) == "25\u00a0novembre\u00a02026"
    assert written(date(2027, 2, 1)) == "1er\u00a0février\u00a02027"


def test_places_and_names_that_are_missing_leave_no_hole() -> None:
    assert LILLE in text(CREATION)
    assert ASCQ in text(CREATION)
    assert "None" not in text(CREATION)
