"""The rules on what stands beside the form: which request, whose, and why it ends."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Operation, Request
from mailflow.core.numbers import DeskCode
from mailflow.core.order import Deregistration, Holder
from mailflow.core.rules import Facts, check_request
from tests.support.requests import DESK, RECEIVED_ON, a_form

NUMBER = "059012600000159123"
HOLDER = {"nom": "Durand", "dateNaissance": "1990-02-28"}
LEASE: dict[str, Any] = {
    "sirenBailleur": "732829320",
    "dateSignature": "2026-01-15",
    "dejaLocataire": "true",
    "adresse": {"voie": "1 rue Inventée", "codePostal": "59000", "ville": "Lille"},
    "typeLogement": "T3",
    "surface": "61.50",
    "loyer": "402.10",
    "zoneUrbaineSensible": "ZUSNON",
    "accordCollectif": "ACD",
    "statutDalo": "ACTIF",
    "typeReservataire": "AUCUN",
}


def told(
    operation: str,
    *,
    number: str | None = NUMBER,
    holder: dict[str, Any] | None = HOLDER,
    form: bool = False,
    deregistration: dict[str, Any] | None = None,
) -> list[tuple[Code, str]]:
    """What is wrong with a request, without the path of its element."""
    request = Request(
        form=a_form() if form else None,
        number=number,
        holder=None if holder is None else Holder.model_validate(holder),
        deregistration=None if deregistration is None else Deregistration.model_validate(deregistration),
    )
    facts = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation(operation), at_root="/d/form")
    return [(anomaly.code, anomaly.path.removeprefix("/d/")) for anomaly in check_request(request, facts)]


def radiation(**said: Any) -> list[tuple[Code, str]]:
    found = told("RAD", deregistration=said)
    return [(code, path.removeprefix("radiation/")) for code, path in found]


def bail(**changes: Any) -> list[tuple[Code, str]]:
    lease = {name: value for name, value in (LEASE | changes).items() if value is not None}
    return [(code, path.removeprefix("bail/")) for code, path in radiation(motifRadiation="RADATT", bail=lease)]


# What each operation carries


@pytest.mark.parametrize(
    ("operation", "form"),
    [("CRS", True), ("MOD", True), ("REN", True), ("REN", False), ("RAD", False), ("SUP", False)],
)
def test_a_whole_order_has_no_fault(operation: str, *, form: bool) -> None:
    assert told(operation, form=form) == []
    assert told(operation, form=form, holder={"raisonSociale": "Association Exemple"}) == []


def test_a_creation_names_no_request() -> None:
    assert told("CRE", number=None, holder=None, form=True) == []
    assert told("CRE", form=True) == [(Code.NUMBER_GIVEN, "numUnique"), (Code.NOT_OF_THE_OPERATION, "titulaire")]


@pytest.mark.parametrize("operation", ["CRS", "MOD", "REN", "RAD", "SUP"])
def test_what_is_done_to_a_request_names_it_and_its_holder(operation: str) -> None:
    found = told(operation, number=None, holder=None, form=operation in ("CRS", "MOD"))
    missing = {"numUnique", "titulaire/nom", "titulaire/dateNaissance"}
    assert set(found) == {(Code.VALUE_MISSING, path) for path in missing}
    found = told(operation, holder={"nom": "Durand"}, form=operation in ("CRS", "MOD"))
    assert found == [(Code.VALUE_MISSING, "titulaire/dateNaissance")]


@pytest.mark.parametrize("operation", ["CRE", "CRS", "MOD"])
def test_what_makes_or_replaces_a_request_brings_the_form(operation: str) -> None:
    named = {} if operation != "CRE" else {"number": None, "holder": None}
    assert told(operation, **named) == [(Code.VALUE_MISSING, "form")]  # type: ignore[arg-type]  # both are None


@pytest.mark.parametrize("operation", ["RAD", "SUP"])
def test_what_ends_a_request_brings_no_form_and_is_not_judged_by_one(operation: str) -> None:
    assert told(operation, form=True) == [(Code.NOT_OF_THE_OPERATION, "demandeLogement")]


@pytest.mark.parametrize("operation", ["CRS", "MOD", "REN", "SUP"])
def test_only_a_deregistration_says_why(operation: str) -> None:
    found = told(operation, form=operation != "SUP", deregistration={"motifRadiation": "RADABA"})
    assert found == [(Code.NOT_OF_THE_OPERATION, "radiation")]


# Motives


def test_each_motive_stands_by_itself_but_for_two() -> None:
    for motive in ("RADABA", "RADCON", "RADREN"):
        assert radiation(motifRadiation=motive) == []
    assert radiation(motifRadiation="RADIRR", sousMotifRadiation="IRRSEJ") == []
    assert radiation(motifRadiation="RADIRR") == [(Code.VALUE_MISSING, "sousMotifRadiation")]
    assert radiation(motifRadiation="RADATT") == [(Code.VALUE_MISSING, "bail")]
    assert radiation(motifRadiation="RADXXX") == [(Code.CODE_UNKNOWN, "motifRadiation")]
    assert radiation(motifRadiation="RADIRR", sousMotifRadiation="X") == [(Code.CODE_UNKNOWN, "sousMotifRadiation")]


def test_an_empty_deregistration_is_a_reactivation_but_nothing_else_may_stand_in_it() -> None:
    assert radiation() == []
    assert radiation(sousMotifRadiation="IRRSEJ") == [(Code.MOTIVE_MISSING, "motifRadiation")]
    assert radiation(bail=LEASE) == [(Code.MOTIVE_MISSING, "motifRadiation")]


def test_submotive_and_lease_go_with_their_motives_only() -> None:
    wrong = radiation(motifRadiation="RADABA", sousMotifRadiation="IRRSEJ", bail=LEASE)
    assert wrong == [(Code.SUBMOTIVE_UNEXPECTED, "sousMotifRadiation"), (Code.LEASE_UNEXPECTED, "bail")]


# The lease


def test_a_whole_lease_has_no_fault_and_is_kept_exactly() -> None:
    assert bail() == []
    lease = Deregistration.model_validate({"motifRadiation": "RADATT", "bail": LEASE}).lease
    assert lease is not None
    assert (lease.rent, lease.area, lease.signed_on) == (Decimal("402.10"), Decimal("61.50"), date(2026, 1, 15))


def test_a_dwelling_with_an_identifier_need_not_be_described() -> None:
    described = dict.fromkeys(("adresse", "typeLogement", "surface", "loyer"))
    assert bail(identifiantRpls="RPLS-1", **described) == []
    missing = ["adresse/voie", "adresse/codePostal", "adresse/ville", "typeLogement", "surface", "loyer"]
    assert bail(**described) == [(Code.VALUE_MISSING, path) for path in missing]


def test_who_let_it_and_since_when_is_always_said() -> None:
    found = bail(sirenBailleur=None, dateSignature=None, dejaLocataire=None)
    assert found == [(Code.VALUE_MISSING, path) for path in ("sirenBailleur", "dateSignature", "dejaLocataire")]


@pytest.mark.parametrize(
    ("element", "value", "code"),
    [
        ("sirenBailleur", "732829321", Code.SIREN_WRONG),
        ("sirenBailleur", "73282932", Code.SIREN_WRONG),
        ("dateSignature", "2026-01-16", Code.SIGNATURE_IN_FUTURE),
        ("typeLogement", "F3", Code.CODE_UNKNOWN),
        ("zoneUrbaineSensible", "OUI", Code.CODE_UNKNOWN),
        ("accordCollectif", "X", Code.CODE_UNKNOWN),
        ("statutDalo", "X", Code.CODE_UNKNOWN),
        ("typeReservataire", "X", Code.CODE_UNKNOWN),
    ],
)
def test_a_wrong_value_is_named_where_it_stands(element: str, value: str, code: Code) -> None:
    assert bail(**{element: value}) == [(code, element)]
