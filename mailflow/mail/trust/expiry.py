"""Until when certificates and revocation lists hold: what operators have to renew in time."""

from collections.abc import Iterable
from datetime import datetime

from mailflow.core.expiry import Validity
from mailflow.mail.trust.certificate import read, validity_of
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.revocation_list import RevocationList, UnusableList


def validity(der: bytes) -> Validity | None:
    """Of a certificate; None for what cannot be read as one."""
    try:
        return validity_of(read(der))
    except TrustError:
        return None


def lists_end(named: Iterable[tuple[str, bytes]]) -> dict[str, datetime]:
    """Of each authority's newest list, under the name it comes with, the end. Unusable ones count as missing.

    Lists of different scope stand beside one another; deltas only change a list, and end all the time.
    """
    newest: dict[object, tuple[datetime, str, datetime]] = {}
    for name, der in named:
        try:
            known = RevocationList(der)
        except UnusableList:
            continue
        of = (known.issuer, known.scope)
        if known.base is None and (of not in newest or newest[of][0] < known.published):
            newest[of] = (known.published, name, known.expires)
    return {name: expires for _, name, expires in newest.values()}
