"""Traces by OpenTelemetry: a `Meter` that makes spans of what is measured, and passes everything on to another one.

Two kinds of traces. A turn of a stage is one, with the uses of servers, database and pool in it. A mail is one too:
from its reception to the decision, and a span for each outgoing mail that is composed and sent for it. Its id follows
from the intake, so that all workers, whenever they run, add to the same one; it links to the turns that did the work.

Spans hold identifiers and words of the program, by the same rule as the log, and of an error its class.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from mailflow.log import event, safe
from mailflow.meter import Counted, Ending, Identifier, Level, Meter, Step

TIMEOUT_SECONDS = 5.0
"""For one export; the work never waits for it, but a stop may."""
NANOSECONDS = 1_000_000_000
ROOT = "decided"
"""The step of a mail under which the others stand."""

log = logging.getLogger(__name__)


class Traces:
    """The port `Meter`, before another one."""

    def __init__(self, meter: Meter, *, endpoint: str, percent: int, environment: str, version: str, of: str) -> None:
        """`of` names the installation: traces of two that report to one place do not mix."""
        # What a collector is told goes nowhere else; that it does not hear us is told once, by `_Told`.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        named = {
            "service.name": "mailflow",
            "service.version": version,
            "deployment.environment.name": environment,
        }
        self._meter = meter
        self._of = of
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(percent / 100),
            resource=Resource(named),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        exporter = _Told(OTLPSpanExporter(endpoint=endpoint, headers={}, timeout=TIMEOUT_SECONDS))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mailflow", version)

    def close(self) -> None:
        """Send what is left, within a few seconds; what cannot be sent is lost."""
        self._provider.shutdown()

    @contextlib.contextmanager
    def turn(self, stage: str) -> Iterator[Ending]:
        """One turn of a stage: what is done in it stands under it."""
        span = self._tracer.start_span(f"turn {safe(stage)}", context=context.Context())
        token = context.attach(trace.set_span_in_context(span))
        try:
            with self._meter.turn(stage) as ending, _ended(span, ending):
                yield ending
        finally:
            context.detach(token)

    @contextlib.contextmanager
    def call(self, dependency: str, operation: str) -> Iterator[Ending]:
        """One use of a server, of the database or of the pool."""
        span = self._tracer.start_span(f"{safe(dependency)} {safe(operation)}", kind=trace.SpanKind.CLIENT)
        with self._meter.call(dependency, operation) as ending, _ended(span, ending):
            yield ending

    def count(self, what: Counted, **labels: str) -> None:
        """Only counted."""
        self._meter.count(what, **labels)

    def level(self, what: Level, value: float, **labels: str) -> None:
        """Only kept."""
        self._meter.level(what, value, **labels)

    def mail(self, intake: int, step: Step, begun: datetime, ended: datetime, **identifiers: Identifier) -> None:
        """A step of a mail's way."""
        self._meter.mail(intake, step, begun, ended, **identifiers)
        digest = hashlib.sha256(f"{self._of}\0{intake}".encode()).digest()
        root = SpanContext(
            trace_id=int.from_bytes(digest[:16]),
            span_id=int.from_bytes(digest[16:24]),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        within = trace.set_span_in_context(NonRecordingSpan(root), context.Context())
        turn = trace.get_current_span().get_span_context()
        self._ids.given = root if step == ROOT else None
        try:
            span = self._tracer.start_span(
                f"mail {safe(step)}",
                context=context.Context() if step == ROOT else within,
                start_time=_nanoseconds(begun),
                links=[Link(turn)] if turn.is_valid else [],
                attributes={"mailflow.intake": intake, **_attributes(identifiers)},
            )
        finally:
            self._ids.given = None
        span.end(_nanoseconds(ended))


def _attributes(identifiers: dict[str, Identifier]) -> dict[str, str | int]:
    return {
        f"mailflow.{name}": value if isinstance(value, int) else safe(value)
        for name, value in identifiers.items()
        if value not in (None, "")
    }


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * NANOSECONDS)


@contextlib.contextmanager
def _ended(span: trace.Span, ending: Ending) -> Iterator[None]:
    """The span ends with the block; of an exception its class is told, never its text."""
    try:
        yield
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        span.set_attribute("mailflow.outcome", safe(ending.outcome))
        span.end()


class _Ids(RandomIdGenerator):
    """At random, but for the span of a mail that all its others stand under."""

    given: SpanContext | None = None

    def generate_span_id(self) -> int:
        return self.given.span_id if self.given else super().generate_span_id()

    def generate_trace_id(self) -> int:
        return self.given.trace_id if self.given else super().generate_trace_id()


class _Told(SpanExporter):
    """Says once in the log that the collector does not take what it is sent, and once that it does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._heard = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        heard = result is SpanExportResult.SUCCESS
        if heard != self._heard:
            event(log, "traces-taken" if heard else "traces-lost", level=logging.WARNING)
        self._heard = heard
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return self._exporter.force_flush(timeout_millis)
