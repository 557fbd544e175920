"""The catalogue of alarms: what can be told to operators, with what it means and what to do. Pure.

The sentences lie in `alarms.toml`. Mails, the webhook, the operator's table and the rules for Prometheus say the same:
the rule for an alarm is called `Mailflow` and its code.
"""

import json
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Severity(StrEnum):
    """How soon somebody has to look. Only what is critical is passed on when nobody acknowledges it."""

    WARNING = "warning"
    CRITICAL = "critical"


class Alarm(StrEnum):
    """Everything that operators are told of."""

    DEADLINE_NEAR = "DeadlineNear"
    DEADLINE_AT_RISK = "DeadlineAtRisk"
    WILL_MISS = "WillMiss"
    LATE = "Late"
    NUMBERS_STOPPED = "NumbersStopped"
    DOWN = "Down"
    STAGE_HANGS = "StageHangs"
    NOBODY_RECEIVES = "NobodyReceives"
    JOB_MISSED = "JobMissed"
    REGISTER_UNREADABLE = "RegisterUnreadable"
    MAILBOX_UNREACHABLE = "MailboxUnreachable"
    STAGE_FAILS = "StageFails"
    SENDING_FAILS = "SendingFails"
    ANSWERS_BOUNCE = "AnswersBounce"
    QUOTA = "Quota"
    DISK_FULL = "DiskFull"
    HELD = "Held"
    FAULT = "Fault"
    UNDETERMINED = "Undetermined"
    SUCCESSOR_OFFERED = "SuccessorOffered"
    SENDER_BEYOND_RATES = "SenderBeyondRates"
    DESK_FAILS = "DeskFails"
    CERTIFICATE_ENDS = "CertificateEnds"
    LIST_ENDS = "ListEnds"
    CANARY_LATE = "CanaryLate"
    CANARY_FAILS = "CanaryFails"
    INVARIANT_BROKEN = "InvariantBroken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What the catalogue says of an alarm."""

    severity: Severity
    lasting: timedelta
    """How long it has to be so before anybody is told."""
    happened: str
    meaning: str
    action: str
    command: str
    """What to type first."""


@cache
def catalogue() -> Mapping[Alarm, Meant]:
    """Every alarm with what is said of it, in their order."""
    text = files("mailflow.ops").joinpath("alarms.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)
    return {alarm: _meant(entries[alarm.value]) for alarm in Alarm}


def _meant(entry: Mapping[str, str | int]) -> Meant:
    sentences = {name: str(entry[name]) for name in ("happened", "meaning", "action", "command")}
    lasting = timedelta(minutes=int(entry["lasting_minutes"]))
    return Meant(severity=Severity(str(entry["severity"])), lasting=lasting, **sentences)


def is_known(code: str) -> bool:
    """Whether there is such an alarm in this version."""
    return code in {alarm.value for alarm in Alarm}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An alarm whose cause was seen: what it is about, and how much of it there is. Codes and counts, never content."""

    alarm: Alarm
    about: Mapping[str, str] = field(default_factory=dict)
    """By name, as the sentences have them. An alarm with another `about` is another one."""
    value: str = ""

    @property
    def subject(self) -> str:
        """`about` as one text, always the same."""
        return json.dumps(dict(self.about), sort_keys=True)

    @property
    def _words(self) -> Mapping[str, str]:
        """What is filled in; `?` for what another version of the catalogue asks for."""
        return defaultdict(lambda: "?", {**self.about, "value": self.value})

    @property
    def happened(self) -> str:
        """The sentence."""
        return catalogue()[self.alarm].happened.format_map(self._words)

    @property
    def command(self) -> str:
        """What to type first."""
        return catalogue()[self.alarm].command.format_map(self._words)
