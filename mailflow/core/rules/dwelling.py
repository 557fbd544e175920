"""The rules on the present dwelling, the motives, a handicap and DALO: whether they go together."""

from collections.abc import Iterator
from decimal import Decimal

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import MOTIVES_MAX, CurrentDwelling, HousingRequest
from mailflow.core.rules.facts import Facts, members, repeated

_AREA_LEAST, _AREA_MOST = Decimal(5), Decimal(500)
"""Square metres between which a dwelling is plausible."""
_OCCUPANTS_MOST = 30
_WITHOUT_DWELLING = frozenset({"SD"})
_WITHOUT_RENT = frozenset({"SD", "SQUAT", "LTG", "POCC"})
_OWNER = "POCC"
_ONE_S_OWN = frozenset({"HLM", "LP", "POCC", "FONC"})
"""Who lives so has a dwelling, for as long as the lease or the post lasts."""
_WITHOUT_HOME, _HANDICAP, _TOO_LARGE, _TOO_SMALL, _OWNER_IN_NEED, _OTHER = "01", "07", "10", "13", "22", "23"
_NO_AID, _WHEELCHAIRS, _MANY_STEPS = "1", frozenset({"4", "5"}), frozenset({"3", "4"})
_NO_DALO = "NON"


def dwelling_is_plausible(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """Area and occupants are of a dwelling's size, it has what its kind has, and nobody moves in tomorrow."""
    dwelling, path = form.dwelling, f"{facts.at_root}/logementActuel"
    if dwelling is None:
        return
    if dwelling.area is not None and not _AREA_LEAST <= dwelling.area <= _AREA_MOST:
        yield Anomaly(code=Code.AREA_DOUBTFUL, path=f"{path}/surface")
    if dwelling.persons is not None and not 1 <= dwelling.persons <= _OCCUPANTS_MOST:
        yield Anomaly(code=Code.OCCUPANTS_DOUBTFUL, path=f"{path}/nombrePersonne")
    if dwelling.tenure in _WITHOUT_RENT and dwelling.rent:
        yield Anomaly(code=Code.RENT_DOUBTFUL, path=f"{path}/loyer")
    if dwelling.rent is not None and dwelling.allowance is not None and dwelling.allowance > dwelling.rent:
        yield Anomaly(code=Code.ALLOWANCE_OVER_RENT, path=f"{path}/aideLogement")
    if dwelling.tenure in _WITHOUT_DWELLING and (dwelling.category or dwelling.type or dwelling.area):
        yield Anomaly(code=Code.DWELLING_UNEXPECTED, path=f"{path}/modeleLogement")
    if dwelling.since and dwelling.since > facts.received_on:
        yield Anomaly(code=Code.DATE_IN_FUTURE, path=f"{path}/dateEntree")


def motives_are_few_and_distinct(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """At most three, none twice; `other` is explained."""
    path = f"{facts.at_root}/listeMotifDemande"
    if len(form.motives) > MOTIVES_MAX:
        yield Anomaly(code=Code.MOTIVES_TOO_MANY, path=path)
    for n in repeated([motive.kind for motive in form.motives]):
        yield Anomaly(code=Code.MOTIVE_REPEATED, path=f"{path}/detailMotif[{n + 1}]")
    for n, motive in enumerate(form.motives, start=1):
        if motive.kind == _OTHER and not motive.note:
            yield Anomaly(code=Code.MOTIVE_UNEXPLAINED, path=f"{path}/detailMotif[{n}]/precision")


def motives_fit_the_situation(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A motive goes with the dwelling, the household and the other motives; else a warning."""
    kinds = {motive.kind for motive in form.motives}
    handicapped = any(member.handicap for _, member in members(form, ""))
    for n, motive in enumerate(form.motives, start=1):
        doubtful = (
            (motive.kind == _HANDICAP and form.person is not None and not handicapped)
            or (motive.kind == _TOO_SMALL and _TOO_LARGE in kinds)
            or (form.dwelling is not None and _contradicts(motive.kind, form.dwelling))
        )
        if doubtful:
            yield Anomaly(code=Code.MOTIVE_DOUBTFUL, path=f"{facts.at_root}/listeMotifDemande/detailMotif[{n}]")


def _contradicts(motive: str | None, dwelling: CurrentDwelling) -> bool:
    if not dwelling.tenure:
        return False
    return (motive == _WITHOUT_HOME and dwelling.tenure in _ONE_S_OWN) or (
        motive == _OWNER_IN_NEED and dwelling.tenure != _OWNER
    )


def handicap_is_consistent(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """The complement says something, nothing twice, and nothing against itself; else a warning."""
    for at, member in members(form, facts.at_root):
        handicap, path = member.handicap, f"{at}/complementHandicap"
        if handicap is None:
            continue
        lists = {
            "listeNatureHandicapMoteur/natureHandicapMoteur": handicap.motor,
            "listeNatureHandicapSensoriel/natureHandicapSensoriel": handicap.sensory,
            "listeAideTechniqueHandicap/aideTechniqueHandicap": handicap.aids,
            "listeEquipementHandicap/equipementHandicap": handicap.equipment,
        }
        if not any((*lists.values(), handicap.state, handicap.steps, handicap.note)):
            yield Anomaly(code=Code.HANDICAP_EMPTY, path=path)
        for name, codes in lists.items():
            for n in repeated(codes):
                yield Anomaly(code=Code.HANDICAP_VALUE_REPEATED, path=f"{path}/{name}[{n + 1}]")
        aids = set(handicap.aids)
        if (_NO_AID in aids and len(aids) > 1) or (aids & _WHEELCHAIRS and handicap.steps in _MANY_STEPS):
            yield Anomaly(code=Code.HANDICAP_DOUBTFUL, path=f"{path}/listeAideTechniqueHandicap")


def dalo_is_consistent(form: HousingRequest, facts: Facts) -> Iterator[Anomaly]:
    """A decision lies in the past, and there is none without a status that follows from one."""
    dalo, path = form.dalo, f"{facts.at_root}/dalo"
    if dalo is None:
        return
    if dalo.decided_on and dalo.decided_on > facts.received_on:
        yield Anomaly(code=Code.DATE_IN_FUTURE, path=f"{path}/dateDecision")
    if dalo.status == _NO_DALO and (dalo.decided_on or dalo.dwelling):
        yield Anomaly(code=Code.DALO_DOUBTFUL, path=f"{path}/statutDalo")
