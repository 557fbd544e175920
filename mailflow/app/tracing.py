"""Traces, when the settings say where to: nothing of OpenTelemetry is loaded, made or asked before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from mailflow import __version__
from mailflow.meter import Meter
from mailflow.settings import Settings


@contextlib.asynccontextmanager
async def traced(settings: Settings, meter: Meter) -> AsyncIterator[Meter]:
    """The meter to measure with; what is left of the traces is sent at the end."""
    if not settings.traces.endpoint:
        yield meter
        return
    from mailflow.ops.traces import Traces  # here, so that nobody else waits for it

    traces = Traces(
        meter,
        endpoint=settings.traces.endpoint,
        percent=settings.traces.percent,
        environment=settings.environment.value,
        version=__version__,
        of=f"{settings.environment} {settings.service.address}",
    )
    try:
        yield traces
    finally:
        await asyncio.to_thread(traces.close)
