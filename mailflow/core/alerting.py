"""What is kept of an alarm and of what was told about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Occasion(StrEnum):
    """Why something is told of an alarm."""

    RAISED = "raised"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    CLEARED = "cleared"


class Channel(StrEnum):
    """To whom it is told."""

    FIRST = "first"
    """By mail, to those who are told first."""
    SECOND = "second"
    """By mail, to those who are told when nobody acknowledges."""
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAlarm:
    """An alarm as it stands in the register."""

    id: int
    code: str
    subject: str
    """What it is about: a JSON object, keys sorted. While an alarm lasts there is one of a code and subject."""
    value: str
    since: datetime
    seen_at: datetime
    """When its cause was last seen."""
    raised_at: datetime | None
    """When it had lasted long enough; None before."""
    escalated_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledged_why: str | None
    cleared_at: datetime | None
    told: frozenset[Channel]
    """Who has been told anything of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told of an alarm on one channel, once."""

    alarm_id: int
    occasion: Occasion
    turn: int
    """Of reminders: which one. Else 0."""
    channel: Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class DueNotice:
    """A notice whose time has come, with its alarm."""

    notice: Notice
    alarm: KeptAlarm
    attempts: int
    """That have failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSign:
    """A worker's last sign of life."""

    owner: str
    host: str
    begun_at: datetime
    beaten_at: datetime
    emptied_at: datetime | None
    """When it last saw the mailbox empty."""
    state: str
    """How it fares, as `ops.beats` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A job of the day."""

    job: str
    since: datetime
    """Since when it is known here."""
    done_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskCount:
    """What became of a desk's requests lately."""

    desk: str
    decided: int
    refused: int
