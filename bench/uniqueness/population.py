"""Households that do not exist, as France names them: by a seed, so that nothing has to be kept to know them again.

Names and their frequencies are like the real ones: a few that many share, and a long tail. Birth dates lie within sixty
years; one in thirty is the first of January, as offices write of who does not know the day. Territories are as
populous as they are.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random

from mailflow.core.identity import Identity
from mailflow.core.numbers import TERRITORIES, Territory, territory_of

BLOCK = 500
"""Households are made by as many; each block has a chance of its own."""
COUPLES = 0.25
NIR_GIVEN = 0.5
BIRTH_YEARS = range(1946, 2006)
FIRST_OF_JANUARY = 1 / 30
FREQUENT = 10
"""How many surnames and first names are the most frequent."""


def _words() -> Mapping[str, Sequence[str]]:
    read: dict[str, str] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: [word.replace("_", " ") for word in text.split()] for name, text in read.items()}


_WORDS = _words()
_SURNAMES, _FIRST_NAMES = _WORDS["surnames"], _WORDS["first_names"]
_SYLLABLES, _ENDINGS = _WORDS["syllables"], _WORDS["endings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Who asks together."""

    territory: Territory
    persons: tuple[Identity, ...]
    """The applicant and, of a couple, the co-applicant."""
    nir: str | None = None
    """The applicant's, by its form only: it is compared, never looked into."""


class _Ranks:
    """Ranks from 0 to below `count`, the first the most frequent: Zipf's law as Mandelbrot bent it."""

    def __init__(self, count: int, *, exponent: float, bend: float) -> None:
        self.power = 1 - exponent
        self.bend = bend
        self.start = bend**self.power
        self.width = (bend + count) ** self.power - self.start

    def __call__(self, chance: Random) -> int:
        return int((self.start + chance.random() * self.width) ** (1 / self.power) - self.bend)


# Of the French, 0.4 % are called Martin, 12 % bear one of the hundred most frequent names, 27 % one of the thousand.
_surname_ranks = _Ranks(300_000, exponent=0.85, bend=10)
# 2 % have the most frequent first name, 47 % one of the hundred.
_first_name_ranks = _Ranks(3_000, exponent=1.1, bend=12)
_territories: dict[Territory, int] = {
    territory: int(thousands)
    for code, _, thousands in (pair.partition(":") for pair in _WORDS["inhabitants"])
    if (territory := territory_of(code.ljust(4, "0") + "1"))
}
assert len(_territories) == len(TERRITORIES) - 1, "all but the canary's"
_territory_codes = tuple(_territories)
_territory_sums = tuple(accumulate(_territories.values()))


class Population:
    """All the households of a seed, each known by its number."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def block(self, number: int) -> Sequence[Household]:
        """The households from `number * BLOCK` on."""
        chance = Random(f"{self.seed} block {number}")
        return [_household(chance, number * BLOCK + place) for place in range(BLOCK)]

    def some(self, count: int, among: int, purpose: str) -> Iterator[tuple[int, Household]]:
        """Households that were drawn from the first `among`, with their numbers; for each purpose others."""
        chance = Random(f"{self.seed} some {purpose}")
        for number in chance.sample(range(among), count):
            yield number, self.block(number // BLOCK)[number % BLOCK]

    def strangers(self, count: int, purpose: str) -> Iterator[Household]:
        """Households like the others, that are in no block."""
        chance = Random(f"{self.seed} strangers {purpose}")
        for _ in range(count):
            yield replace(_household(chance, 0), nir=None)

    def frequent(self, count: int, purpose: str) -> Iterator[Household]:
        """Strangers who share most with others: couples of the most frequent names in the most populous territory."""
        chance = Random(f"{self.seed} frequent {purpose}")
        busiest = max(_territories, key=_territories.__getitem__)
        for _ in range(count):
            persons = tuple(
                Identity(
                    surname=_surname(chance.randrange(FREQUENT)),
                    first_name=_first_name(chance.randrange(FREQUENT)),
                    born_on=_birth_date(chance),
                )
                for _ in range(2)
            )
            yield Household(territory=busiest, persons=persons)


def _household(chance: Random, number: int) -> Household:
    territory = chance.choices(_territory_codes, cum_weights=_territory_sums)[0]
    applicant = _person(chance)
    persons: tuple[Identity, ...] = (applicant,)
    if chance.random() < COUPLES:
        partner = _person(chance)
        persons += (replace(partner, surname=applicant.surname) if chance.random() < 0.5 else partner,)
    nir = f"{number:013}{97 - number % 97:02}" if chance.random() < NIR_GIVEN else None
    return Household(territory=territory, persons=persons, nir=nir)


def _person(chance: Random) -> Identity:
    surname = _surname(_surname_ranks(chance))
    what = chance.random()
    if what < 0.04:
        surname = f"{surname}-{_surname(_surname_ranks(chance))}"
    used_name = _surname(_surname_ranks(chance)) if what > 0.85 else None
    first_name = _first_name(_first_name_ranks(chance))
    what = chance.random()
    if what < 0.12:
        first_name += ("-" if what < 0.06 else " ") + _first_name(_first_name_ranks(chance))
    return Identity(surname=surname, first_name=first_name, born_on=_birth_date(chance), used_name=used_name)


def _birth_date(chance: Random) -> date:
    first = date(chance.choice(BIRTH_YEARS), 1, 1)
    return first if chance.random() < FIRST_OF_JANUARY else first + timedelta(chance.randrange(365))


def _surname(rank: int) -> str:
    return _SURNAMES[rank] if rank < len(_SURNAMES) else _made_up(rank)


def _first_name(rank: int) -> str:
    return _FIRST_NAMES[rank] if rank < len(_FIRST_NAMES) else _made_up(7 * rank)


def _made_up(rank: int) -> str:
    """The rank in syllables: another one for each."""
    rest, ending = divmod(rank, len(_ENDINGS))
    syllables: list[str] = []
    while rest or len(syllables) < 2:
        rest, syllable = divmod(rest, len(_SYLLABLES))
        syllables.append(_SYLLABLES[syllable])
    return ("".join(syllables) + _ENDINGS[ending]).capitalize()
