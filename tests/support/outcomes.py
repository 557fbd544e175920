"""Outcomes for tests that say nothing of their days."""

from datetime import date

from mailflow.core.anomalies import Anomaly
from mailflow.core.model import Registered, RequestState
from mailflow.core.numbers import UniqueNumber


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
