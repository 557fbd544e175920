"""The unique number: its parts, its grammar. Allocation is the register's work.

`TTT MMYY NNNNNN CCCCC`, printed without separators: territory, month and year of the first deposit,
sequence within both, creating desk. There is no check character. The grammar is versioned: a later national
number may look otherwise, so everything but this module treats a number as an opaque string.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import NewType

from mailflow.errors import MailflowError

DeskCode = NewType("DeskCode", str)
"""Five characters, `[0-9A-Z]{5}`; a school desk's begins with `Z`."""
Territory = NewType("Territory", str)
"""Three characters: a département padded (`059`, `02A`, `974`), or `111` for Île-de-France."""
UniqueNumber = NewType("UniqueNumber", str)

SEQUENCE_MAX = 999_999
"""The last sequence of a territory and month. Past it nothing can be numbered: it never wraps."""
CANARY_TERRITORY = Territory("000")
"""Reserved for the service's own watch; refused to every other sender by the lack of a mandate."""
CANARY_MUNICIPALITY = "00000"
ILE_DE_FRANCE = Territory("111")

_ILE_DE_FRANCE_DEPARTMENTS = frozenset({"75", "77", "78", "91", "92", "93", "94", "95"})
_METROPOLITAN = frozenset(f"{n:02}" for n in range(1, 96)) - {"20"} | {"2A", "2B"}
# The overseas départements. Unique numbers are not used in the collectivities (975, 977, 978, 98x).
_OVERSEAS = frozenset({"971", "972", "973", "974", "976"})
TERRITORIES: frozenset[Territory] = frozenset(
    {Territory(f"0{d}") for d in _METROPOLITAN - _ILE_DE_FRANCE_DEPARTMENTS}
    | {Territory(d) for d in _OVERSEAS}
    | {ILE_DE_FRANCE, CANARY_TERRITORY}
)
"""Every territory there is, the canary's included."""
DEPARTMENTS = tuple(sorted(_METROPOLITAN | _OVERSEAS))
"""Every département: `01` to `95` with `2A` and `2B`, `971` and so on."""

_DESK = re.compile(r"[0-9A-Z]{5}")
_MUNICIPALITY = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{3}")
_NUMBER = re.compile(r"([0-9A-Z]{3})([0-9]{2})([0-9]{2})([0-9]{6})([0-9A-Z]{5})")


class NumberError(MailflowError, ValueError):
    """The parts make no number, or the text is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberParts:
    """What a unique number says. `year` has four digits; the number itself only carries the last two."""

    territory: Territory
    month: int
    year: int
    sequence: int
    desk: DeskCode


def is_desk_code(text: str) -> bool:
    """Whether `text` has the form of a desk code."""
    return _DESK.fullmatch(text) is not None


def is_school_desk(desk: DeskCode) -> bool:
    """Whether the desk belongs to the school: `Z` and four more."""
    return desk.startswith("Z")


def is_municipality_code(text: str) -> bool:
    """Whether `text` has the form of an INSEE municipality code, Corsica's `2A…` and `2B…` included."""
    return _MUNICIPALITY.fullmatch(text) is not None


def territory_of(commune_code: str) -> Territory | None:
    """The territory of an INSEE municipality code; None when it lies in none, or is no such code.

    Only the département is looked at; which municipalities exist changes every year and is told by `core.places`.
    """
    if not is_municipality_code(commune_code):
        return None
    if commune_code == CANARY_MUNICIPALITY:
        return CANARY_TERRITORY
    department = commune_code[:2]
    if department in _ILE_DE_FRANCE_DEPARTMENTS:
        return ILE_DE_FRANCE
    if department in _METROPOLITAN:
        return Territory(f"0{department}")
    return Territory(commune_code[:3]) if commune_code[:3] in _OVERSEAS else None


def departments_of(territory: Territory) -> tuple[str, ...]:
    """The départements that make up a territory: one, or the eight of Île-de-France; none in the canary's."""
    if territory == ILE_DE_FRANCE:
        return tuple(sorted(_ILE_DE_FRANCE_DEPARTMENTS))
    code = territory if territory in _OVERSEAS else territory[1:]
    return (code,) if code in DEPARTMENTS else ()


def month_key(deposited_on: date) -> str:
    """`MMYY` of the first deposit: with the territory, what a sequence counts within."""
    return f"{deposited_on:%m%y}"


def compose(territory: Territory, deposited_on: date, sequence: int, desk: DeskCode) -> UniqueNumber:
    """The number of a request first deposited on `deposited_on` (legal day) and created by `desk`.

    Raises NumberError when a part is out of its range, a sequence above `SEQUENCE_MAX` included.
    """
    if territory not in TERRITORIES:
        raise NumberError("no such territory")
    if not is_desk_code(desk):
        raise NumberError("not a desk code")
    if not 2000 <= deposited_on.year <= 2099:
        raise NumberError("two digits cannot tell this year")
    if not 0 <= sequence <= SEQUENCE_MAX:
        raise NumberError("sequence out of range")
    return UniqueNumber(f"{territory}{month_key(deposited_on)}{sequence:06}{desk}")


def parse(text: str) -> NumberParts:
    """The parts of a unique number. Raises NumberError when `text` is not one."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise NumberError("not a unique number")
    territory, month, year, sequence, desk = found.groups()
    if territory not in TERRITORIES or not 1 <= int(month) <= 12:
        raise NumberError("not a unique number")
    return NumberParts(
        territory=Territory(territory),
        month=int(month),
        year=2000 + int(year),
        sequence=int(sequence),
        desk=DeskCode(desk),
    )
