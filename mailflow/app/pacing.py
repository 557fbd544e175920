"""How much the mail door does at a time, how long, how often: from the settings."""

from datetime import timedelta

from mailflow.core.rates import Budget
from mailflow.mail.door import Pace
from mailflow.mail.smtp import sending_seconds_max
from mailflow.settings import Settings
from mailflow.settings.amounts import Rates

CHUNK_BYTES_MAX = 16 * 1024 * 1024
"""Octets of the mails that one transaction handles: with the limit on a mail, what bounds our memory."""
DEFER_FIRST = timedelta(minutes=1)
DEFER_MOST = timedelta(minutes=30)
GATHER = timedelta(milliseconds=5)


def pace_of(settings: Settings) -> Pace:
    """How much at a time, how long, how often."""
    worker = settings.worker
    return Pace(
        chunk=worker.chunk,
        requests_max=settings.limits.requests_max,
        chunk_bytes_max=CHUNK_BYTES_MAX,
        lease=timedelta(seconds=worker.lease_seconds),
        attempts_max=worker.attempts_max,
        waiting_max=worker.waiting_max,
        put_off_bytes_max=worker.put_off_bytes_max,
        disk_used_max=worker.disk_percent_max / 100,
        undetermined_retry=timedelta(seconds=worker.undetermined_retry_seconds),
        rates=_rates(settings.rates),
        successor_at_once=settings.trust.successor_at_once,
        late=timedelta(minutes=settings.service.receipt_minutes),
        deadline=timedelta(hours=settings.service.deadline_hours),
        sending_max=timedelta(seconds=sending_seconds_max(settings.smtp.data_timeout_seconds)),
        audit_wait=timedelta(minutes=worker.audit_wait_minutes),
        audit_reserve=timedelta(minutes=worker.audit_reserve_minutes),
        defer_first=DEFER_FIRST,
        defer_most=DEFER_MOST,
        mail_bytes_max=settings.limits.answer_bytes_max,
        gather=GATHER,
    )


def _rates(rates: Rates) -> dict[Budget, int]:
    return {
        Budget.MAILS_AN_HOUR: rates.mails_an_hour,
        Budget.BYTES_AN_HOUR: rates.bytes_an_hour,
        Budget.REQUESTS_AN_HOUR: rates.requests_an_hour,
        Budget.MAILS_A_DAY: rates.mails_a_day,
        Budget.BYTES_A_DAY: rates.bytes_a_day,
        Budget.REQUESTS_A_DAY: rates.requests_a_day,
    }
