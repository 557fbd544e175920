"""Column types and the states that rows pass through."""

from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An instant, stored in UTC. SQLite drops time zones: without this a naive local time would come back."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time: nobody could tell what it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class IntakeState(StrEnum):
    """Where a mail stands. `received` and `undetermined` wait for work; `answered` is final."""

    RECEIVED = "received"
    UNDETERMINED = "undetermined"
    ANSWERED = "answered"
    SET_ASIDE = "set_aside"
    HELD = "held"
    SAME_DELIVERY = "same_delivery"


FOR_A_PERSON = (IntakeState.SET_ASIDE.value, IntakeState.HELD.value)
"""What nobody decides before an operator has looked at it."""


class OutboxState(StrEnum):
    """Where an outgoing mail stands: without bytes, with frozen bytes, perhaps sent, surely sent, stopped, unwanted."""

    QUEUED = "queued"
    COMPOSED = "composed"
    SENDING = "sending"
    SENT = "sent"
    HELD = "held"
    WITHDRAWN = "withdrawn"
