"""Numbers that others give to persons and companies: whether a text can be one of them."""

import re

_NIR = re.compile(r"[1-478][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])(?:[0-9]{2}|2[AB])[0-9]{8}")
_CORSICA = {"2A": "19", "2B": "18"}
_SIREN = re.compile("[0-9]{9}")


def canonical_nir(text: str) -> str | None:
    """The 15 characters of a NIR (social security number, key included), without spaces; None when it is none.

    Sex, year and month of birth (20 and above where the month is not known), département and commune, order, key:
    97 minus the rest of the first thirteen divided by 97, with 19 for `2A` and 18 for `2B` (INSEE).
    """
    nir = text.replace(" ", "").upper()
    if not _NIR.fullmatch(nir):
        return None
    body = nir[:5] + _CORSICA.get(nir[5:7], nir[5:7]) + nir[7:13]
    return nir if int(nir[13:]) == 97 - int(body) % 97 else None


def is_siren(text: str) -> bool:
    """Whether `text` is nine digits whose Luhn sum is a multiple of ten, as INSEE gives them to companies."""
    if not _SIREN.fullmatch(text):
        return False
    # From the left, every second digit counts double; the sum of a number's digits stands for it.
    return sum(digit * (1 + n % 2) - 9 * (n % 2 and digit > 4) for n, digit in enumerate(map(int, text))) % 10 == 0
