"""French typography, for what we write ourselves; what applicants and desks wrote is left as it is."""

import re
import unicodedata
from datetime import date

NO_BREAK = "\u00a0"
NARROW = "\u202f"

_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
)
_BEFORE_HIGH_MARK = re.compile(" (?=[;!?])")
_BEFORE_COLON = re.compile(" (?=[:»])|(?<=«) ")
_MARKS = "\u0300-\u0304\u0306-\u030c\u0323-\u0328\u0331"
# Scripts that the fonts of the typesetter have, with signs that names and addresses use. No control of direction:
# it could make a name read as another. A test sets every one of them.
_UNDISPLAYABLE = re.compile(
    "[^"
    "\u0020-\u007e\u00a0-\u00ac\u00ae-\u024f"  # Latin, no soft hyphen
    f"{_MARKS}"
    "\u0370-\u0377\u037a-\u037f\u0384-\u038a\u038c\u038e-\u03a1\u03a3-\u03ff"  # Greek
    "\u0400-\u0482\u048a-\u04ff"  # Cyrillic
    "\u05d0-\u05ea"  # Hebrew
    "\u0621-\u063a\u0641-\u064a"  # Arabic
    "\u1e00-\u1eff"  # Latin, Vietnamese
    "\u2010-\u2015\u2018-\u201e\u2020-\u2022\u2026\u202f\u2030\u2032\u2033\u2039\u203a\u20ac\u2116"
    "]"
)
_STRAY_MARKS = re.compile(f"(?<![\u0041-\u024f\u0370-\u04ff\u1e00-\u1eff{_MARKS}])[{_MARKS}]+")
_LONG_WORD = re.compile(r"[^\s-]{31,}")
_PIECE = re.compile(r".{1,15}")
MAY_BREAK = "\u200b"
UNKNOWN_SIGN = "\ufffd"


def french(sentence: str, **values: object) -> str:
    """A sentence of ours with its non-breaking spaces; `~` stands for one that no rule finds.

    `values` fill its braces, as they are.
    """
    sentence = sentence.replace("~", NO_BREAK).replace("'", "’")
    sentence = _BEFORE_COLON.sub(NO_BREAK, _BEFORE_HIGH_MARK.sub(NARROW, sentence))
    return sentence.format(**values) if values else sentence


def written(day: date) -> str:
    """`25 novembre 2026`, which no line end may part."""
    number = "1er" if day.day == 1 else str(day.day)
    return NO_BREAK.join((number, _MONTHS[day.month - 1], f"{day.year:04}"))


def displayable(text: str) -> str:
    """What somebody else wrote, as far as the fonts can show it; each sign that they cannot becomes U+FFFD.

    A word too long for any line may be broken.
    """
    text = unicodedata.normalize("NFC", text)
    text = _UNDISPLAYABLE.sub(UNKNOWN_SIGN, _STRAY_MARKS.sub(UNKNOWN_SIGN, text))
    return _LONG_WORD.sub(lambda found: MAY_BREAK.join(_PIECE.findall(found[0])), text)
