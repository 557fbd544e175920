"""Near matches of persons who are in the register: one difference each, of every kind that must be told."""

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from bench.uniqueness.population import Household, Population
from bench.uniqueness.rows import number_of
from mailflow.core.identity import Identity
from mailflow.core.numbers import UniqueNumber

# One sound, two spellings, as offices write the names of who comes from elsewhere.
_SPELLINGS = (("ü", "ue"), ("ou", "u"), ("ph", "f"), ("mm", "m"), ("m", "mm"), ("i", "y"), ("l", "ll"), ("n", "nn"))
_LETTERS_MIN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A request of somebody who may be somebody else."""

    household: Household
    owner: UniqueNumber
    """Of the request that must be told."""


def planted(kind: str, population: Population, among: int, count: int, at: datetime) -> Iterator[Planted]:
    """Requests whose applicant, and in every second one whose co-applicant, differs by `kind` from a known person."""
    chance = Random(f"{population.seed} planted {kind} {among}")
    others = population.strangers(count, f"planted {kind} {among}")
    made = 0
    for place, household in population.some(min(among, 6 * count), among, f"planted {kind} {among}"):
        varied = KINDS[kind](chance.choice(household.persons), chance)
        if varied is None:
            continue
        persons = (varied,) if made % 2 else (next(others).persons[0], varied)
        yield Planted(
            household=Household(territory=household.territory, persons=persons), owner=number_of(household, place, at)
        )
        made += 1
        if made == count:
            return


def _spelled(person: Identity, chance: Random) -> Identity | None:
    surname = person.surname.lower()
    which = [(one, other) for one, other in _SPELLINGS if one in surname]
    return replace(person, surname=surname.replace(*chance.choice(which))) if which else None


def _swapped(person: Identity, _chance: Random) -> Identity | None:
    return replace(person, surname=person.first_name, first_name=person.surname)


def _compound(person: Identity, chance: Random) -> Identity | None:
    """A part more, or one less where there are two."""
    first, _, second = person.surname.partition("-")
    return replace(person, surname=first if second else f"{first}-{chance.choice(('Dupré', 'Vasquez', 'Abdallah'))}")


def _mistyped(person: Identity, chance: Random) -> Identity | None:
    """In one of the names, never in its first letter: another letter, one more, one less, or two exchanged."""
    of_surname = chance.random() < 0.5
    name = person.surname if of_surname else person.first_name
    if len(name) < _LETTERS_MIN or not name.isalpha():
        return None
    at = chance.randrange(1, len(name) - 1)
    before, letter, following, rest = name[:at], name[at], name[at + 1], name[at + 2 :]
    other = chance.choice([one for one in string.ascii_lowercase if one != letter.lower()])
    typed = (
        before + chance.choice((other + following, other + letter + following, following, following + letter)) + rest
    )
    return replace(person, surname=typed) if of_surname else replace(person, first_name=typed)


def _date_swapped(person: Identity, _chance: Random) -> Identity | None:
    day, month = person.born_on.day, person.born_on.month
    if day == month or day > 12:
        return None
    return replace(person, born_on=person.born_on.replace(day=month, month=day))


KINDS: Mapping[str, Callable[[Identity, Random], Identity | None]] = {
    "transliteration": _spelled,
    "swapped names": _swapped,
    "compound name": _compound,
    "one typing error": _mistyped,
    "swapped day and month": _date_swapped,
}
