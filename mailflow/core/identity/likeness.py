"""Who may be the same person though something differs: the keys by which two such files meet, and their comparison.

Every pair that `compare` calls near has a key of `near_keys` in common; so a register that looks up the keys misses
none of them (a name of more than `PARTS_MAX` words apart). One difference is near; two are somebody else.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import reduce

from mailflow.core.identity.names import exact_key, words

PARTS_MAX = 12
"""How many parts of a person's names are keys."""
TYPING_LETTERS_MIN = 3
"""In shorter names one other letter is another name."""

# What says nothing of a person by itself, and is often left out.
_PARTICLES = frozenset(
    words(
        "d da de del della den der des di do dos du el al la las le les los van von zu y e"
        " ait ben bent ibn bin bou bel abou abu abd ould old nait san saint sainte st ste"
    )
)

# Spellings of one sound, as French, German and English offices write foreign names. Longer ones come first.
_SOUNDS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("dzh|dj|zh", "j"),
        ("s?ch|tch|sh", "c"),
        ("ph", "f"),
        ("h", ""),
        ("ae", "a"),
        ("oe", "o"),
        ("ue", "u"),
        ("[wo]u?", "u"),
        ("[jy]", "i"),
        ("c(?=[kaulr])|q", "k"),
        ("[zç]|ts", "s"),
        (r"(.)\1+", r"\1"),
    )
)


class Likeness(StrEnum):
    """How two identities are alike."""

    EXACT = "exact"
    SPELLING = "spelling"
    """Transliterated or spelled another way: Müller and Mueller, Mohammed and Mohamed, Ben Ali and Benali."""
    SWAPPED_NAMES = "swapped-names"
    """Surname for first name, or a word of one in the other."""
    COMPOUND_NAME = "compound-name"
    """A part of a name is missing."""
    USED_NAME = "used-name"
    """One's surname is the name that the other uses, by marriage for instance."""
    TYPING_ERROR = "typing-error"
    """One letter of one name is wrong, missing, too many, or changed places with its neighbour."""
    SWAPPED_DAY_AND_MONTH = "swapped-day-and-month"
    WRONG_DIGIT = "wrong-digit"
    """A digit of the birth date is another, or changed places with its neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identity:
    """What tells a person from others. Personal data: it has no representation, and goes sealed into any column."""

    surname: str
    first_name: str
    born_on: date
    used_name: str | None = None

    @property
    def exact_key(self) -> str:
        """What two files of one person have in common."""
        return exact_key(self.surname, self.first_name, self.born_on)


class Name:
    """A name as it is compared: its letters, and how they sound."""

    __slots__ = ("joined", "parts", "sounds", "sounds_joined")

    def __init__(self, name: str) -> None:
        in_order = words(name)
        sound = {word: _sound(word) for word in in_order}
        telling = [word for word in in_order if word not in _PARTICLES and len(word) > 1]
        self.joined = "".join(in_order)
        self.sounds = sorted(sound[word] for word in in_order)
        self.sounds_joined = sound.get(self.joined) or _sound(self.joined)
        self.parts = frozenset(sound[word] for word in telling or in_order)

    def sounds_like(self, other: "Name") -> bool:
        """The same words in any order, or the same letters however they are divided."""
        return self.sounds_joined == other.sounds_joined or self.sounds == other.sounds

    def is_part_of(self, other: "Name") -> bool:
        """Every telling word of it is in the other."""
        return bool(self.parts) and self.parts <= other.parts

    def agrees_with(self, other: "Name") -> bool:
        """Like the other, or a part of it, or it of this."""
        return self.sounds_like(other) or self.is_part_of(other) or other.is_part_of(self)

    def is_mistyped(self, other: "Name") -> bool:
        """One typing error apart."""
        if min(len(self.joined), len(other.joined)) < TYPING_LETTERS_MIN:
            return False
        return _one_edit(self.joined, other.joined) or _one_edit(self.sounds_joined, other.sounds_joined)


class Profile:
    """An identity made ready to be compared with many."""

    __slots__ = ("born_on", "first_name", "key", "names", "surname", "used_name")

    def __init__(self, identity: Identity) -> None:
        self.key = identity.exact_key
        self.surname = Name(identity.surname)
        self.first_name = Name(identity.first_name)
        self.used_name = Name(identity.used_name) if identity.used_name else None
        self.born_on = identity.born_on
        self.names = " ".join(sorted((*self.surname.sounds, *self.first_name.sounds)))
        """All words of both names, order-free."""


def near_keys(profile: Profile) -> tuple[str, ...]:
    """By what those meet who may be one person. In clear: whoever stores them makes keyed tokens of them."""
    surname, first_name, born_on = profile.surname, profile.first_name, profile.born_on
    joined = dict.fromkeys((surname.sounds_joined, first_name.sounds_joined))
    parts = dict.fromkeys((*joined, *sorted(surname.parts | first_name.parts, key=lambda part: (-len(part), part))))
    first, second = sorted((born_on.day, born_on.month))
    return (
        *(f"date|{part}|{born_on.isoformat()}" for part in list(parts)[:PARTS_MAX]),
        f"year|{profile.names}|{born_on.year}",
        f"days|{profile.names}|{first}|{second}",
    )


def compare(one: Profile, other: Profile) -> Likeness | None:
    """How two identities are alike; None for two persons. It matters not which comes first."""
    if one.key == other.key:
        return Likeness.EXACT
    if one.born_on == other.born_on:
        return _of_one_day(one, other)
    return _dates(one.born_on, other.born_on) if one.names == other.names else None


def _of_one_day(one: Profile, other: Profile) -> Likeness | None:
    surnames, first_names = (one.surname, other.surname), (one.first_name, other.first_name)
    same_surname, same_first = one.surname.sounds_like(other.surname), one.first_name.sounds_like(other.first_name)
    if same_surname and same_first:
        return Likeness.SPELLING
    crossed = one.surname.sounds_like(other.first_name) and one.first_name.sounds_like(other.surname)
    if crossed or one.names == other.names:
        return Likeness.SWAPPED_NAMES
    if one.first_name.agrees_with(other.first_name):
        if one.surname.agrees_with(other.surname):
            return Likeness.COMPOUND_NAME
        if _uses(one, other) or _uses(other, one):
            return Likeness.USED_NAME
    if (same_surname and Name.is_mistyped(*first_names)) or (same_first and Name.is_mistyped(*surnames)):
        return Likeness.TYPING_ERROR
    return None


def _uses(one: Profile, other: Profile) -> bool:
    """Whether one goes by the other's surname."""
    return one.used_name is not None and one.used_name.agrees_with(other.surname)


def _dates(one: date, other: date) -> Likeness | None:
    """What is wrong with one of two dates, when it is one thing."""
    if one.year == other.year:
        if (one.day, one.month) == (other.month, other.day):
            return Likeness.SWAPPED_DAY_AND_MONTH
        near = _one_edit(f"{one:%m%d}", f"{other:%m%d}")
    else:
        near = (one.day, one.month) == (other.day, other.month) and _one_edit(f"{one.year:04}", f"{other.year:04}")
    return Likeness.WRONG_DIGIT if near else None


def _sound(word: str) -> str:
    """A word as it is spoken, roughly; the word itself where nothing would be left."""
    return reduce(lambda text, rule: rule[0].sub(rule[1], text), _SOUNDS, word) or word


def _one_edit(one: str, other: str) -> bool:
    """At most one letter other, more or less, or two neighbours exchanged (Damerau-Levenshtein distance of 1)."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    start = 0
    while start < len(one) and one[start] == other[start]:
        start += 1
    if len(one) < len(other):
        return one[start:] == other[start + 1 :]
    if one[start + 1 :] == other[start + 1 :]:
        return True
    exchanged = one[start + 1 : start + 2] + one[start : start + 1]
    return exchanged == other[start : start + 2] and one[start + 2 :] == other[start + 2 :]
