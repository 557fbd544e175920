"""Rewrites the reference data of places from the npm package `@etalab/decoupage-administratif`: `make reference`.

`python -m tests.support.reference PACKAGE`, PACKAGE being the unpacked package. The package is the official list of a
year (INSEE, La Poste) under the MIT licence; what is taken of it is named in the files themselves, with the licence.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mailflow.core.numbers import CANARY_TERRITORY, ILE_DE_FRANCE, TERRITORIES, Territory, territory_of

DATA = Path(__file__).parents[2] / "mailflow" / "core" / "data"
PRESENT = ("commune-actuelle", "arrondissement-municipal")
ILE_DE_FRANCE_REGION = "11"


def main(arguments: list[str]) -> int:
    """Write both files anew: the same package always gives the same octets."""
    (package,) = map(Path, arguments)
    head = _head(package)
    _write("municipalities.csv", head, municipalities(_read(package, "communes")))
    _write("territories.csv", head, territories(_read(package, "departements"), _read(package, "regions")))
    return 0


def municipalities(communes: list[dict[str, Any]]) -> list[str]:
    """`code;name;postcodes;present`, sorted by code; `present` is empty for a municipality of today.

    A former one (delegated, associated, merged) has the postcodes of the one that it is part of now. It may share its
    code with it: then the present one comes first. Of a code that is no more in use the name is not known.
    """
    now = {commune["code"]: commune for commune in communes if commune["type"] in PRESENT}
    rows = [(code, "", commune["nom"], code) for code, commune in now.items()]
    parts = [commune for commune in communes if commune["type"] not in PRESENT]
    rows += [(part["code"], part["chefLieu"], part["nom"], part["chefLieu"]) for part in parts]
    known = {commune["code"] for commune in communes}
    old = {code: commune["code"] for commune in now.values() for code in commune.get("anciensCodes", [])}
    # Corsica's codes of before 1976 are of no territory: refused as such.
    rows += [(code, present, "", present) for code, present in old.items() if code not in known and territory_of(code)]
    return [
        f"{code};{name};{' '.join(now[whole].get('codesPostaux', []))};{present}"
        for code, present, name, whole in sorted(rows)
    ]


def territories(departments: list[dict[str, Any]], regions: list[dict[str, Any]]) -> list[str]:
    """`code;name` of every territory of registration, sorted by code."""
    names = {territory_of(department["code"].ljust(5, "0")): department["nom"] for department in departments}
    (names[ILE_DE_FRANCE],) = (region["nom"] for region in regions if region["code"] == ILE_DE_FRANCE_REGION)
    names[CANARY_TERRITORY] = "Aucun (surveillance du service)"
    return [f"{code};{names[Territory(code)]}" for code in sorted(TERRITORIES)]


def _head(package: Path) -> list[str]:
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    licence = (package / "LICENSE").read_text(encoding="utf-8")
    return [
        f"Source : {about['name']} {about['version']} (npm), d'après le code officiel géographique de l'INSEE",
        "et la base officielle des codes postaux de La Poste. Extrait ; réécrit par `make reference`.",
        "",
        *licence.rstrip().splitlines(),
    ]


def _read(package: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((package / "data" / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def _write(name: str, head: list[str], rows: list[str]) -> None:
    lines = [*(f"# {line}".rstrip() for line in head), *rows]
    (DATA / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
