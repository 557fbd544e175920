"""Outcomes for tests that say nothing of their days; and what a desk's software is told to send again."""

from datetime import date

from lxml import etree

from mailflow.core.anomalies import Anomaly
from mailflow.core.model import Environment, FileReceipt, Registered, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.wire.codec import EXTENSION, NUU
from mailflow.wire.writer import write_return


def done(
    number: str, *anomalies: Anomaly, state: RequestState = RequestState.ACTIVE, replayed: bool = False
) -> Registered:
    """The positive outcome of an operation."""
    return Registered(
        number=UniqueNumber(number),
        state=state,
        expires_on=date(2027, 1, 12),
        revision=1,
        anomalies=anomalies,
        replayed=replayed,
    )


def retries(receipt: FileReceipt) -> list[tuple[str | None, str | None]]:
    """Each anomaly's `code` and `mf:reprise` in the `RET` file."""
    root = etree.fromstring(write_return(receipt, environment=Environment.PRODUCTION))
    return [(one.get("code"), one.get(f"{{{EXTENSION}}}reprise")) for one in root.iter(f"{{{NUU}}}anomalie")]
