"""A couple separates: what is left of its request when one of the two leaves it for a request of their own. Pure."""

from mailflow.core.form import Applicant, Contact, HousingRequest, NaturalPerson


def without(form: HousingRequest, element: str) -> HousingRequest:
    """The request of a couple without the one who stands in `element` (`demandeur` or `coDemandeur`).

    Who stays holds it alone, as the applicant, reached where the couple was unless they gave an address of their own.
    Everybody else stays as they were: what the separation changes for them is for the desk to amend.
    """
    person = form.person
    assert person is not None, "only persons separate"
    assert person.applicant is not None, "the rules refuse a request without an applicant"
    assert person.co_applicant is not None, "there are two of a couple"
    stays = person.applicant if element == "coDemandeur" else _as_applicant(person)
    alone = {"applicant": stays, "co_applicant": None, "size": person.size and max(1, person.size - 1)}
    return form.model_copy(update={"person": person.model_copy(update=alone)})


def _as_applicant(person: NaturalPerson) -> Applicant:
    """The co-applicant in the place of the applicant."""
    stays, leaves = person.co_applicant, person.applicant
    assert stays is not None
    assert leaves is not None
    contact = stays.contact or Contact()
    if contact.address is None and leaves.contact is not None:
        contact = contact.model_copy(update={"address": leaves.contact.address})
    values = {name: getattr(stays, name) for name in Applicant.model_fields}
    return Applicant.model_construct(**values).model_copy(update={"contact": contact})
