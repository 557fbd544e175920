"""The rules on the dwelling sought: its types, and where it is sought."""

from collections.abc import Iterator

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import PLACES_MAX, HousingRequest
from mailflow.core.numbers import Territory, is_municipality_code, territory_of
from mailflow.core.rules.facts import Facts, repeated


def places_sought(form: HousingRequest, root: str) -> list[tuple[str, str | None]]:
    """The municipalities sought: (path, code)."""
    places = form.sought.places if form.sought else ()
    at = f"{root}/logementRecherche/listeLocalisationSouhaite/localisationSouhaite"
    return [(f"{at}[{n}]/commune", place.municipality) for n, place in enumerate(places, start=1)]


def territory_sought(form: HousingRequest) -> Territory | None:
    """The one territory of all municipalities sought; None when there is none, or more than one."""
    found = {territory_of(code) for _, code in places_sought(form, "") if code}
    return found.pop() if len(found) == 1 else None


def types_are_distinct(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """No type of dwelling is named twice."""
    path = f"{facts.at_root}/logementRecherche/listeTypeLogement/typeLogement"
    for n in repeated(form.sought.types if form.sought else ()):
        yield Anomaly(code=Code.TYPE_REPEATED, path=f"{path}[{n + 1}]")


def places_are_usable(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """One to ten different municipalities, each in a territory; one may recur for another quarter."""
    places = places_sought(form, facts.at_root)
    named = [(place.municipality, place.quarter or "") for place in form.sought.places] if form.sought else []
    for n in repeated([pair if pair[0] else None for pair in named]):
        yield Anomaly(code=Code.PLACE_REPEATED, path=places[n][0])
    if len(places) > PLACES_MAX:
        path = f"{facts.at_root}/logementRecherche/listeLocalisationSouhaite"
        yield Anomaly(code=Code.PLACES_TOO_MANY, path=path)
    for path, code in places:
        if not code:
            continue
        if not is_municipality_code(code):
            yield Anomaly(code=Code.MUNICIPALITY_CODE_WRONG, path=path)
        elif territory_of(code) is None:
            yield Anomaly(code=Code.TERRITORY_UNKNOWN, path=path)


def territory_is_one(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """All municipalities lie in one territory: the number carries only one."""
    territories = {territory_of(code) for _, code in places_sought(form, "") if code} - {None}
    if len(territories) > 1:
        path = f"{facts.at_root}/logementRecherche/listeLocalisationSouhaite"
        yield Anomaly(code=Code.TERRITORIES_MIXED, path=path)
