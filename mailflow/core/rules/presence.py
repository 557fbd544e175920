"""The rules on what must be there: values without which nothing is registered, and those that the form asks for."""

from collections.abc import Iterator, Sequence

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.codes import code_lists
from mailflow.core.form import Address, Association, HousingRequest, NaturalPerson, Resource
from mailflow.core.model import CREATIONS
from mailflow.core.rules.facts import Facts, filed_on, is_abroad, members, oldest_deposit, persons
from mailflow.core.rules.places import places_sought
from mailflow.core.shapes import coded_values


def values_present(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Every value is there that the interface demands; an empty one is not."""
    sought = form.sought
    mandatory: list[tuple[str, object]] = [
        ("numGuichet", form.desk),
        ("dateCreationDemande", form.deposited_on),
        *(_of_association(form.association) if form.association else _of_persons(form.person)),
        ("logementRecherche/demandeElargie", sought and sought.widened is not None),
        ("logementRecherche/listeTypeLogement", sought and sought.types),
        ("logementRecherche/listeLocalisationSouhaite", sought and sought.places),
    ]
    if facts.operation in CREATIONS and not form.association:
        document = form.identity_document
        mandatory.append(("pieceIdentite/typePieceIdentite", document and document.kind))
    for path, value in mandatory:
        if not value:
            yield Anomaly(code=Code.VALUE_MISSING, path=f"{facts.at_root}/{path}")
    types = f"{facts.at_root}/logementRecherche/listeTypeLogement/typeLogement"
    listed: list[tuple[str, str | None]] = [
        (f"{types}[{n}]", code) for n, code in enumerate(sought.types if sought else (), start=1)
    ]
    for path, code in listed + places_sought(form, facts.at_root):
        if not code:
            yield Anomaly(code=Code.VALUE_MISSING, path=path)


def _of_persons(person: NaturalPerson | None) -> Iterator[tuple[str, object]]:
    applicant = person.applicant if person else None
    at = "personnePhysique/demandeur"
    yield f"{at}/nom", applicant and applicant.surname
    yield f"{at}/prenom", applicant and applicant.first_name
    yield f"{at}/dateNaissance", applicant and applicant.born_on
    yield from _of_address(applicant.contact.address if applicant and applicant.contact else None, at)
    co_applicant = person.co_applicant if person else None
    if co_applicant:
        at = "personnePhysique/coDemandeur"
        yield f"{at}/nom", co_applicant.surname
        yield f"{at}/prenom", co_applicant.first_name
        yield f"{at}/dateNaissance", co_applicant.born_on
        yield f"{at}/lienDemandeur", co_applicant.link
    for n, dependant in enumerate(person.dependants if person else (), start=1):
        at = f"personnePhysique/listePersonneACharge/personneACharge[{n}]"
        yield f"{at}/nom", dependant.surname
        yield f"{at}/prenom", dependant.first_name
        yield f"{at}/dateNaissance", dependant.born_on


def _of_association(association: Association) -> Iterator[tuple[str, object]]:
    yield "personneMorale/raisonSociale", association.name
    yield "personneMorale/siren", association.siren
    yield "personneMorale/personneContact/nom", association.contact_person and association.contact_person.surname
    yield from _of_address(association.contact.address if association.contact else None, "personneMorale")


def _of_address(address: Address | None, at: str) -> Iterator[tuple[str, object]]:
    """The attestation goes to this address and must state it. Abroad there may be no postcode."""
    yield f"{at}/coordonnees/adresse/voie", address and (address.street or address.locality)
    yield f"{at}/coordonnees/adresse/codePostal", address and (address.postcode or is_abroad(address))
    yield f"{at}/coordonnees/adresse/ville", address and address.town


def one_kind_of_applicant(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A request is a person's or an association's."""
    if form.person and form.association:
        yield Anomaly(code=Code.PERSON_AND_ASSOCIATION, path=f"{facts.at_root}/personneMorale")


def codes_in_lists(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Every coded value is in its list, in the form version that was filled in.

    A form that names none is of one of the versions in use that day: a new one and, for a year, the one before it.
    """
    lists = code_lists()
    in_use = lists.in_use(filed_on(form, facts))
    named = form.form_version
    if named and named not in in_use:
        code = Code.FORM_VERSION_OVER if named in lists.versions else Code.FORM_VERSION_UNKNOWN
        yield Anomaly(code=code, path=f"{facts.at_root}/@versionFormulaire")
    versions = {named} if named and named in lists.versions else in_use
    for path, coded, value in coded_values(form, facts.at_root):
        if coded.code_list and value and not lists.holds(coded.code_list, value, versions):
            yield Anomaly(code=Code.CODE_UNKNOWN, path=path)


def values_expected(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """What the paper form asks of everybody, of a request that says which version of it was filled in: a warning."""
    if form.form_version not in code_lists().versions:
        return
    root = facts.at_root
    expected: list[tuple[str, object]] = [
        ("logementRecherche/categorieLogementRecherche", form.sought and form.sought.category)
    ]
    if form.association:
        expected.append(("personneMorale/objet", form.association.purpose))
    else:
        expected.append(("logementActuel/modeleLogement", form.dwelling and form.dwelling.tenure))
        expected.append(("listeMotifDemande", form.motives))
    for path, person in persons(form, root):
        at, income = path.removeprefix(f"{root}/"), person.tax_income
        expected += [
            (f"{at}/nationalite", person.nationality),
            (f"{at}/situationFamiliale", person.family_situation),
            (f"{at}/situationProfessionnelle/typeContratTravail", person.employment and person.employment.kind),
            (
                f"{at}/revenuFiscal/montantMoins2",
                income and income.amount_before_last is not None,
            ),
        ]
    for path, value in expected:
        if not value:
            yield Anomaly(code=Code.VALUE_EXPECTED, path=f"{root}/{path}")


def parts_are_whole(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """What is begun is finished: an amount has its kind and its year, a motive its code; else a warning."""
    root, person = facts.at_root, form.person
    pairs: list[tuple[str, object]] = []
    for at, member in members(form, root):
        income = member.tax_income
        if income and income.amount_before is not None:
            pairs.append((f"{at}/revenuFiscal/anneeMoins1", income.year_before))
        if income and income.amount_before_last is not None:
            pairs.append((f"{at}/revenuFiscal/anneeMoins2", income.year_before_last))
        pairs += _of_resources(member.received, f"{at}/listeRessourceRecue/detailRessource")
        pairs += _of_resources(member.paid, f"{at}/listeRessourceVersee/detailRessource")
    for n, dependant in enumerate(person.dependants if person else (), start=1):
        at = f"{root}/personnePhysique/listePersonneACharge/personneACharge[{n}]"
        pairs += [(f"{at}/sexe", dependant.sex), (f"{at}/lienParente", dependant.kinship)]
    if person and person.births:
        at = f"{root}/personnePhysique/naissanceAttendue"
        pairs += [(f"{at}/nombre", person.births.count is not None), (f"{at}/datePrevue", person.births.expected_on)]
    for n, motive in enumerate(form.motives, start=1):
        pairs.append((f"{root}/listeMotifDemande/detailMotif[{n}]/motifDemande", motive.kind))
    if form.dalo:
        pairs.append((f"{root}/dalo/statutDalo", form.dalo.status))
    for path, value in pairs:
        if not value:
            yield Anomaly(code=Code.VALUE_EXPECTED, path=path)


def _of_resources(resources: Sequence[Resource], path: str) -> Iterator[tuple[str, object]]:
    for n, resource in enumerate(resources, start=1):
        yield f"{path}[{n}]/ressource", resource.kind
        yield f"{path}[{n}]/montant", resource.amount is not None


def desk_is_that_of_the_file(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """`numGuichet` is the desk in the file's name."""
    if form.desk and form.desk != facts.desk:
        yield Anomaly(code=Code.DESK_MISMATCH, path=f"{facts.at_root}/numGuichet")


def deposit_is_recent(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The deposit is not after the reception, nor, for a creation, more than a year before it."""
    path = f"{facts.at_root}/dateCreationDemande"
    if form.deposited_on is None:
        return
    if form.deposited_on > facts.received_on:
        yield Anomaly(code=Code.DEPOSIT_IN_FUTURE, path=path)
    elif facts.operation in CREATIONS and form.deposited_on < oldest_deposit(facts):
        yield Anomaly(code=Code.DEPOSIT_TOO_OLD, path=path)
