"""A couple separates, and the NIR of everybody goes with whom it belongs to."""

from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode
from mailflow.core.rules import Facts, check
from mailflow.core.separation import without
from mailflow.core.signers import numbers_given, numbers_kept, signers
from tests.support.requests import DESK, RECEIVED_ON, a_form, a_whole_form

NIR = "290029935012374"


def test_when_the_co_applicant_leaves_all_else_stays() -> None:
    couple = a_whole_form()
    alone = without(couple, "coDemandeur")
    assert couple.person
    assert alone.person
    assert alone.person.co_applicant is None
    assert alone.person.size == 3
    same = alone.person.model_copy(update={"co_applicant": couple.person.co_applicant, "size": 4})
    assert alone.model_copy(update={"person": same}) == couple


def test_when_the_applicant_leaves_the_co_applicant_takes_the_place() -> None:
    couple = a_whole_form()
    alone = without(couple, "demandeur")
    assert couple.person
    assert couple.person.co_applicant
    assert couple.person.applicant
    assert couple.person.applicant.contact
    assert alone.person
    assert alone.person.applicant
    stays, before = alone.person.applicant, couple.person.co_applicant
    assert alone.person.co_applicant is None
    assert (stays.surname, stays.first_name, stays.born_on) == (before.surname, before.first_name, before.born_on)
    assert (stays.employment, stays.received, stays.paid) == (before.employment, before.received, before.paid)
    assert stays.contact
    assert stays.contact.telephone == "+33 1 99 00 12 35", "their own"
    assert stays.contact.address == couple.person.applicant.contact.address, "the couple's, having given none"
    assert alone.person.dependants == couple.person.dependants


def test_what_is_left_can_be_sent_again_without_a_fault() -> None:
    facts = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation.AMENDMENT, at_root="/d")
    for element in ("demandeur", "coDemandeur"):
        left = without(a_whole_form(), element)
        assert not [anomaly for anomaly in check(left, facts) if anomaly.blocks]
        assert type(left).model_validate_json(left.model_dump_json(by_alias=True, exclude_none=True)) == left


# NIR


def test_a_nir_stays_with_who_has_the_same_identity_wherever_they_stand() -> None:
    known = {"demandeur": NIR, "listePersonneACharge/personneACharge[1]": "116039935012301"}
    assert numbers_kept(a_form(), a_form(), known) == {"demandeur": NIR}
    swapped = a_form(
        {
            "personnePhysique/demandeur/nom": "Petit",
            "personnePhysique/demandeur/prenom": "Noël",
            "personnePhysique/demandeur/dateNaissance": "1988-07-01",
            "personnePhysique/coDemandeur/nom": "Durand",
            "personnePhysique/coDemandeur/prenom": "Zoé",
            "personnePhysique/coDemandeur/dateNaissance": "1990-02-28",
        }
    )
    assert numbers_kept(swapped, a_form(), {"demandeur": NIR}) == {"coDemandeur": NIR}


def test_a_nir_stays_with_a_corrected_name_and_goes_with_another_person() -> None:
    corrected = a_form({"personnePhysique/demandeur/nom": "Durant"})
    assert numbers_kept(corrected, a_form(), {"demandeur": NIR}) == {"demandeur": NIR}
    other = a_form({"personnePhysique/demandeur/nom": "Moreau", "personnePhysique/demandeur/prenom": "Léa"})
    assert numbers_kept(other, a_form(), {"demandeur": NIR}) == {}


def test_what_the_form_gives_counts_and_nobody_else_keeps_it() -> None:
    given = a_form({"personnePhysique/coDemandeur/nir": NIR})
    assert numbers_given(given) == {"coDemandeur": NIR}
    assert numbers_kept(given, a_form(), {"demandeur": NIR}) == {"coDemandeur": NIR}


def test_the_nir_of_the_leaver_goes_and_that_of_who_stays_moves() -> None:
    couple = a_form()
    known = {"demandeur": NIR, "coDemandeur": "188079935012345"}
    left = without(couple, "demandeur")
    assert numbers_kept(left, couple, known) == {"demandeur": "188079935012345"}
    (alone,) = signers(left, numbers_kept(left, couple, known))
    assert (alone.element, alone.nir) == ("demandeur", "188079935012345")
