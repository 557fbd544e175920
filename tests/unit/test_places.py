"""Municipalities and territories: the list, the rules that rest on it, and how it is rewritten."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Operation
from mailflow.core.numbers import CANARY_MUNICIPALITY, TERRITORIES, DeskCode, Territory
from mailflow.core.places import (
    MUNICIPALITIES_FILE,
    Municipality,
    content,
    municipalities,
    municipality,
    territory_name,
)
from mailflow.core.rules import Facts, check
from tests.support import reference
from tests.support.requests import DESK, RECEIVED_ON, a_form

ROOT = "/interfaceNuu/demande[1]/demandeLogement"
FACTS = Facts(received_on=RECEIVED_ON, desk=DeskCode(DESK), operation=Operation.CREATION, at_root=ROOT)
ADDRESS = "personnePhysique/demandeur/coordonnees/adresse"
PLACES = "logementRecherche/listeLocalisationSouhaite"


def found(changes: dict[str, Any]) -> list[tuple[Code, bool]]:
    return [(anomaly.code, anomaly.blocks) for anomaly in check(a_form(changes), FACTS)]


def test_every_line_of_the_list_is_found_by_its_code() -> None:
    lines = content(MUNICIPALITIES_FILE).decode().splitlines()
    rows = [line.split(";") for line in lines if not line.startswith("#")]
    assert len(rows) > 35_000
    first: dict[str, list[str]] = {}
    for row in rows:
        first.setdefault(row[0], row)
    for code, (_, name, postcodes, present) in first.items():
        assert municipality(code) == Municipality(
            code=code, name=name, postcodes=tuple(postcodes.split()), present=present or code
        )
        assert present == "" or first[present][3] == ""


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("75056", "Paris"),
        ("75116", "Paris 16e Arrondissement"),
        ("13216", "Marseille 16e Arrondissement"),
        ("69389", "Lyon 9e Arrondissement"),
        ("2A004", "Ajaccio"),
        ("97411", "Saint-Denis"),
        ("97611", "Mamoudzou"),
        ("01015", "Arboys en Bugey"),
    ],
)
def test_present_municipalities_are_known(code: str, name: str) -> None:
    known = municipality(code)
    assert known is not None
    assert (known.name, known.is_former) == (name, False)


@pytest.mark.parametrize("code", ["", "0", "00000", "59999", "5935", "593500", "99999", "#", "~", "59350;"])
def test_what_is_no_municipality_is_not_found(code: str) -> None:
    assert municipality(code) is None


def test_a_postcode_is_shared_by_municipalities_of_other_départements_too() -> None:
    names = [one.name for one in municipalities("05110")]
    assert {"La Saulce", "Claret"} <= set(names)  # Hautes-Alpes, Alpes-de-Haute-Provence
    assert "Ajaccio" in {one.name for one in municipalities("20090")}
    assert [*municipalities("59040")] == []
    assert [*municipalities("0")] == []


def test_every_territory_has_a_name() -> None:
    names = {territory_name(territory) for territory in TERRITORIES}
    assert len(names) == len(TERRITORIES)
    assert [territory_name(Territory(code)) for code in ("111", "02A")] == ["Île-de-France", "Corse-du-Sud"]


@pytest.mark.parametrize(
    ("code", "anomalies"),
    [
        ("59350", []),
        (CANARY_MUNICIPALITY, []),
        ("59999", [(Code.MUNICIPALITY_UNKNOWN, True)]),
        ("59298", [(Code.MUNICIPALITY_FORMER, False)]),  # Hellemmes, associated with Lille
        ("69232", [(Code.MUNICIPALITY_FORMER, False)]),  # a code no more in use
        ("49144", [(Code.MUNICIPALITY_UNKNOWN, True)]),  # merged into one of another territory
        ("20004", [(Code.TERRITORY_UNKNOWN, True)]),  # Corsica's codes of before 1976
    ],
)
def test_a_place_sought_is_a_municipality_of_today(code: str, anomalies: list[tuple[Code, bool]]) -> None:
    assert found({PLACES: [{"commune": code}]}) == anomalies


@pytest.mark.parametrize(
    ("postcode", "town", "doubtful"),
    [
        ("59000", "LILLE", False),
        ("59260", "Hellemmes", False),
        ("75016", "Paris 16e", False),
        ("42000", "St Etienne Cedex 2", False),
        ("05110", "Claret", False),
        ("59040", "Lille Cedex", False),
        ("59000", "Roubaix", True),
        ("75016", "Lille", True),
    ],
)
def test_a_postcode_that_is_not_of_its_town_only_warns(postcode: str, town: str, doubtful: bool) -> None:
    anomalies = found({f"{ADDRESS}/codePostal": postcode, f"{ADDRESS}/ville": town})
    assert anomalies == ([(Code.TOWN_DOUBTFUL, False)] if doubtful else [])


def test_the_list_is_rewritten_from_the_package_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, data = tmp_path / "package", tmp_path / "data"
    (package / "data").mkdir(parents=True)
    data.mkdir()
    monkeypatch.setattr(reference, "DATA", data)
    communes = [
        {"code": "01015", "nom": "Arbignieu", "type": "commune-deleguee", "chefLieu": "01015"},
        {
            "code": "01015",
            "nom": "Arboys en Bugey",
            "type": "commune-actuelle",
            "codesPostaux": ["01300"],
            "anciensCodes": ["01340", "01341"],
        },
        {"code": "01340", "nom": "Saint-Bois", "type": "commune-deleguee", "chefLieu": "01015"},
    ]
    names = dict.fromkeys(("01", "2A", "971"), "Nom")
    written = {
        "communes": communes,
        "departements": [{"code": code, "nom": name} for code, name in names.items()],
        "regions": [{"code": "11", "nom": "Île-de-France"}],
    }
    for name, rows in written.items():
        (package / "data" / f"{name}.json").write_text(json.dumps(rows))
    (package / "package.json").write_text(json.dumps({"name": "liste", "version": "1.2.3"}))
    (package / "LICENSE").write_text("MIT\n\nSomebody\n")
    monkeypatch.setattr(reference, "TERRITORIES", {"001", "02A", "971", "111", "000"})
    reference.main([str(package)])
    lines = (data / "municipalities.csv").read_text().splitlines()
    assert "liste 1.2.3" in lines[0]
    assert "# Somebody" in lines
    assert [line for line in lines if not line.startswith("#")] == [
        "01015;Arboys en Bugey;01300;",
        "01015;Arbignieu;01300;01015",
        "01340;Saint-Bois;01300;01015",
        "01341;;01300;01015",
    ]
    assert (data / "territories.csv").read_text().splitlines()[-1] == "971;Nom"
