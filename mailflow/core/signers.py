"""The persons of a request who would sign the lease: one active request in a territory for each of them."""

from dataclasses import dataclass

from mailflow.core.form import HousingRequest
from mailflow.core.identifiers import canonical_nir
from mailflow.core.identity import Identity, Profile


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signer:
    """One of them. Personal data: it has no representation."""

    element: str
    """Where the person stands in the form: `demandeur` or `coDemandeur`."""
    identity: Identity
    profile: Profile
    nir: str | None
    """Its canonical form; None when none was given."""

    @property
    def key(self) -> str:
        """What two files of one person have in common."""
        return self.profile.key


def signers(form: HousingRequest) -> tuple[Signer, ...]:
    """Applicant and co-applicant of a form that the rules accept; none of an association."""
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
            nir = canonical_nir(somebody.nir) if somebody.nir else None
            found.append(Signer(element=element, identity=identity, profile=Profile(identity), nir=nir))
    return tuple(found)


def numbers_given(form: HousingRequest) -> dict[str, str]:
    """The canonical NIR of each member of the household that gives a right one, by where the member stands."""
    person = form.person
    if person is None:
        return {}
    members = {"demandeur": person.applicant, "coDemandeur": person.co_applicant} | {
        f"listePersonneACharge/personneACharge[{n}]": one for n, one in enumerate(person.dependants, 1)
    }
    return {
        element: nir
        for element, member in members.items()
        if member is not None and member.nir and (nir := canonical_nir(member.nir))
    }
