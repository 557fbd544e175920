"""The jobs of a day, in their order: what ends today is dispatched today, what is erased was read again before."""

from mailflow.jobs.audit import AUDIT
from mailflow.jobs.certificates import CERTIFICATES
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.jobs.lifetimes import EXPIRY, NOTICES_JOB, PURGE
from mailflow.jobs.loose_keys import LOOSE_KEYS
from mailflow.jobs.rederiving import REDERIVE
from mailflow.jobs.retention import RETENTION
from mailflow.jobs.rewrapping import REWRAP
from mailflow.jobs.work import Job

JOBS: tuple[Job, ...] = (
    NOTICES_JOB,
    CERTIFICATES,
    EXPIRY,
    DISPATCH_JOB,
    REDERIVE,
    PURGE,
    RETENTION,
    LOOSE_KEYS,
    REWRAP,
    AUDIT,
)
