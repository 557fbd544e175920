"""Words that must turn up nowhere, in all the forms in which they could."""

import base64
import quopri
from collections.abc import Iterable, Iterator


def forms_of(canary: str) -> Iterator[bytes]:
    """How it may be written: character sets, cases, encodings; base64 at each of the three offsets."""
    for text in {canary, canary.lower(), canary.upper()}:
        for charset in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
            octets = text.encode(charset)
            yield octets
            yield octets.hex().encode()
            yield octets.hex().upper().encode()
            yield quopri.encodestring(octets).strip()
            for offset in range(3):
                # The first and the last character of the base64 depend on what lies around.
                yield base64.b64encode(b"\0" * offset + octets)[4 * (offset > 0) : -4]
        yield text.encode("unicode_escape")
        yield repr(text.encode())[2:-1].encode()


def all_forms(canaries: Iterable[str]) -> tuple[bytes, ...]:
    """Of all these, each once; what is so short that it may stand anywhere is left out."""
    return tuple({form for canary in canaries for form in forms_of(canary) if len(form) > 6})
