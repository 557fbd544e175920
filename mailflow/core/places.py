"""The municipalities and territories of France, as they are this year: reference data, rewritten by `make reference`.

The list stays as it lies in the file, a megabyte of sorted lines, and is searched there: every process of the pool
holds it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from mailflow.core.numbers import Territory

MUNICIPALITIES_FILE = "municipalities.csv"
"""`code;name;postcodes;present`, sorted; lines that begin with `#` say where it is from."""
TERRITORIES_FILE = "territories.csv"
"""`code;name`, likewise."""

_AFTER_ANY_CODE = "~"
_POSTCODE = re.compile(r"[0-9]{5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Municipality:
    """A municipality (Paris, Lyon and Marseille and their arrondissements too), or what was one."""

    code: str
    """INSEE code."""
    name: str
    """In French; empty for a code that is no more in use."""
    postcodes: tuple[str, ...]
    """Those of the present municipality; La Poste's of CEDEX are not among them."""
    present: str
    """Code of the municipality that it is part of now; its own unless it was merged into another."""

    @property
    def is_former(self) -> bool:
        """Whether it is no municipality of its own any more."""
        return self.present != self.code


def municipality(code: str) -> Municipality | None:
    """The municipality of that INSEE code; None when there has been none in living memory."""
    data = content(MUNICIPALITIES_FILE)
    found = _municipality(data, _first_line(data, code))
    return found if found is not None and found.code == code else None


def municipalities(postcode: str) -> Iterator[Municipality]:
    """All that have that postcode, former ones included: first those of the département that it is named for."""
    if not _POSTCODE.fullmatch(postcode):
        return
    data, wanted = content(MUNICIPALITIES_FILE), postcode.encode()
    department = "2" if postcode.startswith("20") else postcode[:2]
    start, end = _first_line(data, department), _first_line(data, department + _AFTER_ANY_CODE)
    for begin, stop in ((start, end), (0, start), (end, len(data))):
        at = data.find(wanted, begin, stop)
        while at >= 0:
            found = _municipality(data, data.rfind(b"\n", 0, at) + 1)
            if found is not None and postcode in found.postcodes:
                yield found
            at = data.find(wanted, data.find(b"\n", at), stop)


def territory_name(territory: Territory) -> str:
    """What a territory is called in French: its département's name, or `Île-de-France`."""
    return _territories()[territory]


@cache
def content(name: str) -> bytes:
    """One of the two files as it lies there."""
    return files("mailflow.core").joinpath("data", name).read_bytes()


@cache
def _territories() -> dict[str, str]:
    lines = content(TERRITORIES_FILE).decode().splitlines()
    return dict(line.split(";") for line in lines if not line.startswith("#"))


def _first_line(data: bytes, code: str) -> int:
    """Where the first line begins that is not before `code`: by bisection over the octets."""
    wanted, low, high = code.encode(), 0, len(data)
    while low < high:
        start = data.rfind(b"\n", 0, (low + high) // 2) + 1
        if data[start : start + len(wanted)] < wanted:
            low = data.find(b"\n", start) + 1
        else:
            high = start
    return low


def _municipality(data: bytes, start: int) -> Municipality | None:
    """What the line says that begins at `start`; None for the end, and for the lines about the source."""
    line = data[start : data.find(b"\n", start)].decode()
    if not line or line.startswith("#"):
        return None
    code, name, postcodes, present = line.split(";")
    return Municipality(code=code, name=name, postcodes=tuple(postcodes.split()), present=present or code)
