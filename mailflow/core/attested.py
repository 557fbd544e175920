"""What an attestation states of one request, as it stood when it was registered or renewed.

It is kept in the receipt, so that the same attestation can be written again whatever becomes of the request, of the
desk's name, or of the desk itself.
"""

from dataclasses import dataclass, field
from datetime import date

from mailflow.core.form import HousingRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The content of an attestation, but for the number and the reference data. Days are legal days in Paris."""

    form: HousingRequest = field(repr=False)
    """The whole request as it then stood, without NIR."""
    deposited_on: date
    """First deposit at a desk. After a separation (CRS) it is that of the couple's request."""
    renewed_on: date | None
    """The last renewal; None when there was none."""
    expires_on: date
    """The last day of validity, inclusive."""
    desk_name: str
    """Of the desk that registered or renewed, for people."""
    desk_address: str
