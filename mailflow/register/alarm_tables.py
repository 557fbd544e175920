"""Tables of what operators are told: signs of life, what is wrong, what was told of it. Codes and counts only."""

import sqlalchemy as sa

from mailflow.core.alerting import Channel, Occasion
from mailflow.core.canary import CanaryOutcome
from mailflow.register.columns import metadata, one_of, partial_index, serial
from mailflow.register.types import Instant

alarm = sa.Table(
    "alarm",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("raised_at", Instant),
    sa.Column("escalated_at", Instant),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("acknowledged_why", sa.Text),
    sa.Column("cleared_at", Instant),
    sa.CheckConstraint(
        "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)"
        " AND (acknowledged_at IS NULL) = (acknowledged_why IS NULL)",
        name="acknowledged_whole",
    ),
    sa.CheckConstraint("escalated_at IS NULL OR raised_at IS NOT NULL", name="escalated_when_raised"),
    sqlite_autoincrement=True,
)
lasts = alarm.c.cleared_at.is_(None)
# So that two that find the same at one time raise one alarm.
sa.Index("ix_alarm_lasts", alarm.c.code, alarm.c.subject, unique=True, sqlite_where=lasts, postgresql_where=lasts)

alarm_notice = sa.Table(
    "alarm_notice",
    metadata,
    sa.Column("alarm_id", serial, sa.ForeignKey("alarm.id"), nullable=False),
    sa.Column("occasion", sa.Text, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("told_at", Instant),
    sa.PrimaryKeyConstraint("alarm_id", "occasion", "turn", "channel"),
    one_of("occasion", Occasion, "occasion"),
    one_of("channel", Channel, "channel"),
)
partial_index("ix_alarm_notice_due", alarm_notice.c.due_at, where=alarm_notice.c.told_at.is_(None))

worker_sign = sa.Table(
    "worker_sign",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("beaten_at", Instant, nullable=False),
    sa.Column("emptied_at", Instant),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tables", sa.Text, nullable=False),  # the version of the tables that its program works with
)

canary_run = sa.Table(
    "canary_run",
    metadata,
    sa.Column("id", serial, sa.Identity(), primary_key=True),
    sa.Column("file_name", sa.Text, nullable=False, unique=True),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("late_at", Instant, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("outcome", sa.Text),
    sa.Column("number", sa.Text),
    one_of("outcome", CanaryOutcome, "outcome"),
    sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended"),
    sqlite_autoincrement=True,
)

job_run = sa.Table(
    "job_run",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("done_at", Instant),
)

# How far accepted mails were read again, and with which of them a promise was not kept.
reexamination = sa.Table(
    "reexamination",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.BigInteger, nullable=False),
    sa.Column("night", Instant),
    sa.Column("mails", sa.Integer, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)
doubted_mail = sa.Table(
    "doubted_mail",
    metadata,
    sa.Column("intake_id", serial, sa.ForeignKey("intake.id"), primary_key=True),
    sa.Column("promise", sa.Text, primary_key=True),
    sa.Column("found_at", Instant, nullable=False),
)

broken_promise = sa.Table(
    "broken_promise",
    metadata,
    sa.Column("invariant", sa.Text, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("looked_at", Instant, nullable=False),
)
