"""The jobs of a day, in their order."""

from mailflow.jobs.retention import RETENTION
from mailflow.jobs.work import Job

JOBS: tuple[Job, ...] = (RETENTION,)
