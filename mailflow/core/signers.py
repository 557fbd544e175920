"""The persons of a request who would sign the lease: one active request in a territory for each of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailflow.core.form import HousingRequest, Member
from mailflow.core.identifiers import canonical_nir
from mailflow.core.identity import Identity, Profile, compare


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signer:
    """One of them. Personal data: it has no representation."""

    element: str
    """Where the person stands in the form: `demandeur` or `coDemandeur`."""
    identity: Identity
    profile: Profile
    nir: str | None
    """Its canonical form; None when none is known."""

    @property
    def key(self) -> str:
        """What two files of one person have in common."""
        return self.profile.key


def signers(form: HousingRequest, numbers: Mapping[str, str] | None = None) -> tuple[Signer, ...]:
    """Applicant and co-applicant of a form that the rules accept; none of an association.

    `numbers` are their NIR by element, where they are kept apart from the form; else those that it gives.
    """
    known = numbers_given(form) if numbers is None else numbers
    person = form.person
    found = []
    for element, somebody in (
        ("demandeur", person.applicant if person else None),
        ("coDemandeur", person.co_applicant if person else None),
    ):
        if somebody is not None:
            assert somebody.surname, "the rules refuse a person without a surname"
            assert somebody.first_name, "the rules refuse a person without a first name"
            assert somebody.born_on, "the rules refuse a person without a date of birth"
            identity = Identity(
                surname=somebody.surname,
                first_name=somebody.first_name,
                born_on=somebody.born_on,
                used_name=somebody.used_name,
            )
            profile = Profile(identity)
            found.append(Signer(element=element, identity=identity, profile=profile, nir=known.get(element)))
    return tuple(found)


def numbers_given(form: HousingRequest) -> dict[str, str]:
    """The canonical NIR of each member of the household that gives a right one, by where the member stands."""
    return {
        element: nir for element, member in _members(form).items() if member.nir and (nir := canonical_nir(member.nir))
    }


def numbers_kept(form: HousingRequest, before: HousingRequest, known: Mapping[str, str]) -> dict[str, str]:
    """The NIR of the members of a new form: those that it gives, and those that were known `before`.

    No answer tells a NIR, so a form that leaves it out does not withdraw it. Who has the same identity keeps it, and
    who stands where somebody stood that is alike: a corrected name.
    """
    given = numbers_given(form)
    left = {element: nir for element, nir in known.items() if nir not in given.values()}
    old = {element: profile for element, member in _members(before).items() if (profile := _profile(member))}
    new = {
        element: profile
        for element, member in _members(form).items()
        if element not in given and (profile := _profile(member))
    }
    kept: dict[str, str] = {}
    for element, profile in new.items():
        owner = next((place for place, other in old.items() if place in left and other.key == profile.key), None)
        if owner is not None:
            kept[element] = left.pop(owner)
    for element, profile in new.items():
        if element not in kept and element in left and element in old and compare(profile, old[element]):
            kept[element] = left.pop(element)
    return given | kept


def _members(form: HousingRequest) -> dict[str, Member]:
    """Everybody of the household by where they stand."""
    person = form.person
    if person is None:
        return {}
    members: dict[str, Member | None] = {"demandeur": person.applicant, "coDemandeur": person.co_applicant}
    members |= {f"listePersonneACharge/personneACharge[{n}]": one for n, one in enumerate(person.dependants, 1)}
    return {element: member for element, member in members.items() if member is not None}


def _profile(member: Member) -> Profile | None:
    if not (member.surname and member.first_name and member.born_on):
        return None
    identity = Identity(
        surname=member.surname, first_name=member.first_name, born_on=member.born_on, used_name=member.used_name
    )
    return Profile(identity)
