"""Alarms as the register keeps them."""

from datetime import datetime

from mailflow.core.alerting import KeptAlarm


def kept_alarm(code: str, at: datetime, *, subject: str = "{}", value: str = "") -> KeptAlarm:
    """One that was first seen then, and of which nobody has been told."""
    return KeptAlarm(
        id=1,
        code=code,
        subject=subject,
        value=value,
        since=at,
        seen_at=at,
        raised_at=None,
        escalated_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        acknowledged_why=None,
        cleared_at=None,
        told=frozenset(),
    )
