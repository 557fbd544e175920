"""Names as they are compared: without case, accents, signs, spaces, foreign letters or the order of their parts."""

import re
import unicodedata
from datetime import date

# Letters that Unicode does not take apart, as French registries write them without their special sign.
_LIGATURES = str.maketrans(
    {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}
)
# ICAO 9303-3 section 6 for Cyrillic, ELOT 743 for Greek; accents and the breve of й are gone by then.
_BY_SOUND = (
    str.maketrans("абвгдезиклмнопрстуфыэіґј", "abvgdeziklmnoprstufyeigj")
    | str.maketrans("αβγδεζηικλμνξοπρστυφω", "avgdeziiklmnxoprstyfo")
    | str.maketrans({"ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "iu"})
    | str.maketrans({"я": "ia", "є": "ie", "ђ": "dj", "љ": "lj", "њ": "nj", "ћ": "c", "џ": "dz", "ѕ": "dz"})
    | str.maketrans({"θ": "th", "χ": "ch", "ψ": "ps"})
)
# What looks like a Latin letter, in upper case at least: typed with the wrong keyboard, or to deceive.
_BY_LOOK = _BY_SOUND | str.maketrans("авеікмнорстухјѕһԁԛԝαβεζηικμνορτυχ", "abeikmhopctyxjshdqwabezhikmnoptyx")
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[a-z]")
_SEPARATORS = re.compile(r"[\W_]+")
# Not seen by who types or reads a name, though none is of the category Cf: joiners, fillers, variation selectors.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def words(name: str) -> list[str]:
    """The parts of `name` in their order, in lower case without accents, in Latin letters where we know how.

    Hyphens, apostrophes, spaces and all other signs separate parts. What cannot be seen, as a soft hyphen, does not:
    it would make two persons of one. Empty when nothing is left.
    """
    if name.isascii():
        bare = name.lower()
    else:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
        bare = "".join(map(_bare, folded)).translate(_LIGATURES)
    parts = filter(None, _SEPARATORS.split(bare))
    return list(filter(None, map(_in_latin, parts))) if _FOREIGN.search(bare) else list(parts)


def normalise(name: str) -> str:
    """`name` as it is compared: its words sorted, one space between them."""
    return " ".join(sorted(words(name)))


def _bare(character: str) -> str:
    """The character; nothing for an accent or what is not seen, a space for an apostrophe that counts as a letter."""
    category = unicodedata.category(character)
    if unicodedata.combining(character) or category in ("Cf", "Me") or _INVISIBLE.match(character):
        return ""
    return " " if category == "Lm" else character


def _in_latin(word: str) -> str:
    """Cyrillic and Greek letters among Latin ones are read by their look, a word wholly of them by its sound."""
    return word.translate(_BY_LOOK if _LATIN.search(word) else _BY_SOUND)


def is_usable(name: str) -> bool:
    """Whether a name still says something once normalised: it must have a letter."""
    return any(c.isalpha() for c in normalise(name))


def exact_key(surname: str, first_name: str, birth_date: date) -> str:
    """What two files of one person have in common. In clear: whoever stores it makes a keyed token of it.

    Parts hold letters, digits and single spaces only, so the separator cannot occur in them.
    """
    return f"{normalise(surname)}|{normalise(first_name)}|{birth_date.isoformat()}"
