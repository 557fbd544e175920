"""How the service stands at an instant: all that metrics, health and the status page are made of. Never content."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.alerting import KeptAlarm
from mailflow.core.canary import CanaryRun
from mailflow.ops.outlook import Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """How one stage fares."""

    name: str
    tried: bool
    """A turn has come to an end, or is to be tried again."""
    failures: int
    """Turns in a row that found the surroundings unavailable."""
    hangs: bool
    """Its present turn is longer than any can rightly be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Something that has to be renewed."""

    kind: str
    """What it is: `service`, `sender-sign`, `sender-encrypt`, `anchor`, `intermediate` or `list`."""
    name: str
    """The setting, sender or file that it belongs to, with the beginning of its fingerprint where that is not one."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How full a mailbox is: octets of `storage`, else a number."""

    mailbox: str
    resource: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """What the register tells."""

    outlook: Outlook
    states: Mapping[str, Mapping[str, int]]
    """By table and state; without what is answered or has left."""
    set_aside: Mapping[str, int]
    """Mails that were set aside, by reason."""
    held: Mapping[str, int]
    """Outgoing mails that are held, by reason."""
    beyond_rates: Mapping[str, int]
    """Mails that wait for a turn that comes too late for their deadline, by sender."""
    successors: tuple[tuple[str, str], ...]
    """Sender and fingerprint of certificates offered by mail: those that wait, and those enrolled at once lately."""
    broken: Mapping[str, int]
    """How often each promise of the register was broken when it was last looked at."""
    canary: tuple[CanaryRun, ...]
    """The one on its way, and the last that ended."""
    alarms: tuple[KeptAlarm, ...]
    """Those that were raised and are not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What changes slowly and takes a while to ask for."""

    expiries: tuple[Expiry, ...] = ()
    quotas: tuple[Quota, ...] = ()
    disk_used: float | None = None
    """How full the disk is that we write to, as a part of it; None when it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The service, at `at`."""

    at: datetime
    version: str
    environment: str
    queues: Queues | None
    """None when the register cannot be read now."""
    stages: tuple[StageState, ...]
    steps: Mapping[str, int]
    """What was done since the start, by name."""
    surroundings: Surroundings
