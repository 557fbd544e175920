"""Metrics for Prometheus: the `Meter` of the service, and what a snapshot tells, as one text."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mailflow.core.canary import CanaryOutcome, CanaryRun
from mailflow.meter import Counted, Ending, Identifier, Level, Step
from mailflow.ops.outlook import Outlook
from mailflow.ops.snapshot import Queues, Snapshot, Surroundings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)
"""Upper bounds of the spans in which durations are counted: from a look-up to a server that lets us wait."""
UNKNOWN = ""
"""Value of a label where nothing is proven."""


class Metrics:
    """All metrics of one process. What is measured as it happens comes in as by a `Meter`, the rest by `show`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._turns = self._histogram("stage_turn_seconds", "Turns of the stages.", "stage", "outcome")
        self._calls = self._histogram(
            "dependency_call_seconds",
            "Uses of servers, database and pool. Of the database: whole transactions.",
            *("dependency", "operation", "outcome"),
        )
        self._counters: dict[Counted, Counter] = {
            "mail": self._counter("mails", "Mails judged, by sender where proven.", "sender", "outcome"),
            "request": self._counter("requests", "Requests decided.", "desk", "outcome"),
            "anomaly": self._counter("anomalies", "Anomalies found, of mails, files and requests.", "code"),
        }
        self._levels: dict[Level, Gauge] = {
            "lock_held": self._gauge("lock_held", "Whether this process has it: to receive, to do the jobs.", "lock"),
            "mailbox_mails": self._gauge("mailbox_mails", "Mails in the mailbox when it was last looked at."),
            "mailbox_emptied_at": self._gauge(
                "mailbox_emptied_timestamp_seconds", "When the mailbox was last seen empty."
            ),
            "job_done_at": self._gauge("job_done_timestamp_seconds", "When a job of the day was last done.", "task"),
        }
        self._facts = _Facts()
        self._registry.register(self._facts)
        self._known: dict[tuple[Level, str], float] = {}

    def known(self, what: Level, label: str = "") -> float | None:
        """The last of this that was told, with this value of its label; None when nothing was."""
        return self._known.get((what, label))

    def _histogram(self, name: str, says: str, *labels: str) -> Histogram:
        return Histogram(f"mailflow_{name}", says, labels, registry=self._registry, buckets=SECONDS)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"mailflow_{name}", says, labels, registry=self._registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"mailflow_{name}", says, labels, registry=self._registry)

    # The port `Meter`

    @contextlib.contextmanager
    def turn(self, stage: str) -> Iterator[Ending]:
        """One turn of a stage."""
        with _timed(self._turns, stage=stage) as ending:
            yield ending

    @contextlib.contextmanager
    def call(self, dependency: str, operation: str) -> Iterator[Ending]:
        """One use of a server, of the database or of the pool."""
        with _timed(self._calls, dependency=dependency, operation=operation) as ending:
            yield ending

    def count(self, what: Counted, **labels: str) -> None:
        """One more of these."""
        self._counters[what].labels(**labels).inc()

    def level(self, what: Level, value: float, **labels: str) -> None:
        """What is so now."""
        gauge = self._levels[what]
        (gauge.labels(**labels) if labels else gauge).set(value)
        self._known[what, "".join(labels.values())] = value

    def mail(self, intake: int, step: Step, begun: datetime, ended: datetime, **identifiers: Identifier) -> None:
        """Not counted: a metric for each mail would be one too many."""

    # What is read when somebody asks

    def text(self, snapshot: Snapshot) -> bytes:
        """All metrics as they stand with this snapshot."""
        self._facts.show(snapshot, self.known("mailbox_emptied_at"))
        return generate_latest(self._registry)


@contextlib.contextmanager
def _timed(histogram: Histogram, **labels: str) -> Iterator[Ending]:
    ending, begun = Ending(), time.perf_counter()
    try:
        yield ending
    except BaseException as error:
        ending.outcome = type(error).__name__.lower()
        raise
    finally:
        histogram.labels(outcome=ending.outcome, **labels).observe(time.perf_counter() - begun)


class _Facts(Collector):
    """What the last snapshot told; what it did not tell is not there."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()

    def show(self, snapshot: Snapshot, emptied_at: float | None) -> None:
        self._families.clear()
        self._set("info", "Version and environment.", 1, version=snapshot.version, environment=snapshot.environment)
        self._set("register_up", "Whether the register could be read.", snapshot.queues is not None)
        for step, number in snapshot.steps.items():
            self._set("steps", "What was done since the start.", number, CounterMetricFamily, step=step)
        for stage in snapshot.stages:
            self._set("stage_failures", "Turns in a row that found a server away.", stage.failures, stage=stage.name)
            self._set("stage_hangs", "Whether the present turn is too long.", stage.hangs, stage=stage.name)
        self._surroundings(snapshot.surroundings)
        if snapshot.queues is not None:
            self._queues(snapshot.queues)
            self._canary(snapshot.queues.canary, snapshot.at)
            self._outlook(snapshot.queues.outlook, emptied_at)

    def _set(
        self,
        name: str,
        says: str,
        value: float,
        kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
        /,
        **labels: str,
    ) -> None:
        if name not in self._families:
            self._families[name] = kind(f"mailflow_{name}", says, labels=tuple(labels))
        self._families[name].add_metric(list(labels.values()), value)

    def _surroundings(self, around: Surroundings) -> None:
        for one in around.expiries:
            says = "When a certificate or a revocation list ends."
            self._set("expiry_timestamp_seconds", says, one.at.timestamp(), kind=one.kind, name=one.name)
        for quota in around.quotas:
            labels = {"mailbox": quota.mailbox, "resource": quota.resource}
            self._set("quota_used", "What a mailbox holds: octets of storage, or a number.", quota.used, **labels)
            self._set("quota_limit", "What a mailbox may hold.", quota.limit, **labels)
        if around.disk_used is not None:
            self._set("disk_used_ratio", "How full the disk is that the service writes to.", around.disk_used)

    def _queues(self, queues: Queues) -> None:
        for table, states in queues.states.items():
            for state, number in states.items():
                self._set("queue", "Mails that came (intake) or go out (outbox).", number, queue=table, state=state)
        for reason, number in queues.set_aside.items():
            self._set("set_aside", "Mails that were set aside, by reason.", number, reason=reason)
        for reason, number in queues.held.items():
            self._set("outbox_held", "Outgoing mails that are held, by reason.", number, reason=reason)
        for sender, number in queues.beyond_rates.items():
            says = "Mails beyond their sender's budget of a day, whose turn comes too late for their deadline."
            self._set("beyond_rates", says, number, sender=sender)
        for sender, fingerprint in queues.successors:
            says = "A certificate that a sender offered by mail, that waits or was enrolled lately."
            self._set("successor_offered", says, 1, sender=sender, certificate=fingerprint[:16])
        for invariant, times in queues.broken.items():
            says = "How often a promise of the register was broken when it was last looked at."
            self._set("broken_promise", says, times, invariant=invariant)

    def _canary(self, runs: Iterable[CanaryRun], at: datetime) -> None:
        for run in runs:
            if run.ended_at is None:
                age = (at - run.begun_at).total_seconds() if run.is_late(at) else 0
                self._set("canary_late_seconds", "Age of the canary request that is late; else 0.", age)
            elif run.outcome is not None:
                failed = run.outcome is not CanaryOutcome.ANSWERED
                self._set("canary_failed", "Whether the last canary request failed.", failed, outcome=run.outcome.value)
                says = "How long the last canary request took, from its sending to its answer in the mailbox."
                self._set("canary_seconds", says, (run.ended_at - run.begun_at).total_seconds())

    def _outlook(self, view: Outlook, emptied_at: float | None) -> None:
        self._set("deadline_seconds", "Time within which a request is to be answered.", view.deadline.total_seconds())
        self._set("waiting", "Mails that wait for their answer.", view.waiting)
        self._set("late", "Of these those whose deadline has passed.", view.late)
        self._set("numbers_stopped", "Whether no unique numbers are given.", view.stopped is not None)
        for share in view.shares:
            says = "Mails that have used at least so many percent of their time."
            self._set("used_share", says, share.count, percent=str(share.percent))
        for bar in view.bars:
            labels = {"state": bar.state, "sender": bar.sender or UNKNOWN, "desk": bar.desk or UNKNOWN}
            self._set("waiting_by_desk", "Mails that wait, by sender and desk where proven.", bar.total, **labels)
        if view.oldest is not None and view.left is not None:
            says = "Reception of the oldest mail that waits."
            self._set("oldest_waiting_timestamp_seconds", says, view.oldest.timestamp())
            self._set("left_seconds", "Time left to the next deadline.", view.left.total_seconds())
        if view.rate is not None:
            self._set("answer_rate", "Mails finished in a second, now.", view.rate)
        if view.forecast is not None:
            self._set("missed", "Mails that will miss their deadline at this rate.", view.forecast.missed)
            if view.forecast.cleared_at is not None:
                says = "When the backlog is cleared at this rate."
                self._set("cleared_timestamp_seconds", says, view.forecast.cleared_at.timestamp())
        if emptied_at is not None:
            says = "All mails that were received before have been answered."
            self._set("answered_up_to_timestamp_seconds", says, min(_instants(emptied_at, view.oldest)))


def _instants(emptied_at: float, oldest: datetime | None) -> list[float]:
    return [emptied_at, *([] if oldest is None else [oldest.timestamp()])]
