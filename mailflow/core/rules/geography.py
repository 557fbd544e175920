"""The rules that need the list of municipalities: is a place sought one, and does a postcode go with its town?"""

import re
from collections.abc import Iterator

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import HousingRequest
from mailflow.core.identity import normalise
from mailflow.core.numbers import CANARY_MUNICIPALITY, territory_of
from mailflow.core.places import municipalities, municipality
from mailflow.core.rules.facts import Facts, is_abroad

_ABBREVIATED = {"st": "saint", "ste": "sainte"}
_NOT_OF_THE_NAME = re.compile(r"cedex|arrondissement|[0-9]+(?:er|e|eme)?")


def places_exist(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A place sought is a municipality.

    A former one only warns: which one is meant now is known, and an applicant is not turned away because the desk's
    list is last year's. Unless the present one lies in another territory, which the number would then name wrongly.
    """
    at = f"{facts.at_root}/logementRecherche/listeLocalisationSouhaite/localisationSouhaite"
    for n, place in enumerate(form.sought.places if form.sought else (), start=1):
        code = place.municipality
        if not code or territory_of(code) is None or code == CANARY_MUNICIPALITY:
            continue  # other rules speak of these
        found = municipality(code)
        if found is None or territory_of(found.present) != territory_of(code):
            yield Anomaly(code=Code.MUNICIPALITY_UNKNOWN, path=f"{at}[{n}]/commune")
        elif found.is_former:
            yield Anomaly(code=Code.MUNICIPALITY_FORMER, path=f"{at}[{n}]/commune")


def postcode_is_of_the_town(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The attestation goes to this address. Only a warning, and none for a postcode that is in no list (CEDEX)."""
    applicant = form.person.applicant if form.person else None
    address = applicant.contact.address if applicant and applicant.contact else None
    if address is None or is_abroad(address) or not address.postcode or not address.town:
        return
    town, known = _words(address.town), False
    for candidate in municipalities(address.postcode):
        known, words = True, _words(candidate.name)
        if words and (words <= town or town <= words):
            return
    if known:
        yield Anomaly(
            code=Code.TOWN_DOUBTFUL, path=f"{facts.at_root}/personnePhysique/demandeur/coordonnees/adresse/ville"
        )


def _words(town: str) -> frozenset[str]:
    """What two ways to write a town have in common: `St-Étienne Cedex 2` is Saint-Étienne."""
    words = (word for word in normalise(town).split() if not _NOT_OF_THE_NAME.fullmatch(word))
    return frozenset(_ABBREVIATED.get(word, word) for word in words)
