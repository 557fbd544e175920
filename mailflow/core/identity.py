"""Who is the same person: names compared without case, accents, signs, spaces or the order of their parts."""

import re
import unicodedata
from datetime import date

# Letters that Unicode does not take apart, as French registries write them without their special sign.
_LIGATURES = str.maketrans(
    {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}
)
_SEPARATORS = re.compile(r"[\W_]+")
# Not seen by who types or reads a name, though none is of the category Cf: joiners, fillers, variation selectors.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def normalise(name: str) -> str:
    """`name` as it is compared: its parts in lower case without accents, sorted, one space between them.

    Hyphens, apostrophes, spaces and all other signs separate parts. What cannot be seen, as a soft hyphen, does not:
    it would make two persons of one. Empty when nothing is left.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    bare = "".join(map(_bare, folded)).translate(_LIGATURES)
    return " ".join(sorted(filter(None, _SEPARATORS.split(bare))))


def _bare(character: str) -> str:
    """The character; nothing for an accent or what is not seen, a space for an apostrophe that counts as a letter."""
    category = unicodedata.category(character)
    if unicodedata.combining(character) or category in ("Cf", "Me") or _INVISIBLE.match(character):
        return ""
    return " " if category == "Lm" else character


def is_usable(name: str) -> bool:
    """Whether a name still says something once normalised: it must have a letter."""
    return any(c.isalpha() for c in normalise(name))


def exact_key(surname: str, first_name: str, birth_date: date) -> str:
    """What two files of one person have in common. In clear: whoever stores it makes a keyed token of it.

    Parts hold letters, digits and single spaces only, so the separator cannot occur in them.
    """
    return f"{normalise(surname)}|{normalise(first_name)}|{birth_date.isoformat()}"
