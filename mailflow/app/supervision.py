"""What the service tells the service manager: ready, alive, stopping, and what it is at (sd_notify(3)).

And what works beside its mails, whose early end it does not live on with.

Started by anything but systemd it tells nobody. It is alive as long as its event loop turns and none of its stages
hangs in a turn: then, and only then, the watchdog hears from us. Otherwise systemd ends the process and starts another,
which loses nothing: each stage is safe to kill at any line.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Coroutine, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mailflow.errors import Unavailable
from mailflow.log import event, fault
from mailflow.mail.stages import Stages

STATUS_SECONDS = 10.0
"""How often the status is renewed; the watchdog, when it is shorter in patience, is told more often."""
PINGS_A_TIMEOUT = 3
STEP_SECONDS = 0.2
"""How often the start is looked at until we are ready."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceManager:
    """Whoever started us and wants to hear of us."""

    address: str | None = None
    """Its datagram socket; None: nobody wants to."""
    watchdog_seconds: float | None = None
    """The silence after which it ends us; None: it never does."""

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self:
        """Taken out of the environment, so that no process that we start speaks in our name."""
        address = environment.pop("NOTIFY_SOCKET", None)
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", str(os.getpid()))
        ours = microseconds.isdecimal() and meant == str(os.getpid())
        return cls(address=address, watchdog_seconds=int(microseconds) / 1e6 if ours else None)

    @property
    def interval_seconds(self) -> float:
        """How often it is to hear of us."""
        return min(STATUS_SECONDS, (self.watchdog_seconds or STATUS_SECONDS * PINGS_A_TIMEOUT) / PINGS_A_TIMEOUT)

    def tell(self, **said: object) -> None:
        """One datagram. That it cannot be sent is no reason to stop the service."""
        if self.address is None:
            return
        text = "\n".join(f"{name}={value}" for name, value in said.items())
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto(text.encode(), name)
        except OSError:
            event(log, "unheard", level=logging.WARNING, by="service-manager")


@contextlib.asynccontextmanager
async def beside(works: Sequence[Coroutine[Any, Any, None]], stop: asyncio.Event) -> AsyncIterator[None]:
    """All of these at work until the block ends.

    One that fails before sets `stop`, and the end of the block raises Unavailable: nobody would see that it is not done
    any more, and a process that is started anew does it again.
    """
    tasks = [asyncio.create_task(work) for work in works]
    failed = []

    def ended(task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            fault(log, "ended-early", error)
            failed.append(task)
            stop.set()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(ended)
            task.cancel()
        await asyncio.wait(tasks)
    if failed:
        raise Unavailable("work beside the mails has ended early: see the log")


async def keep_told(manager: ServiceManager, stages: Stages, stop: asyncio.Event, turn_seconds_max: float) -> None:
    """Tell that we are ready once there was a first look at the mailbox, alive, stopping; until cancelled.

    A server that is down keeps nobody from being ready: it is tried again, and the status says so.
    """
    if manager.address is None:
        return
    hanging: tuple[str, ...] = ()
    steps = {"READY": lambda: stages.receive.tried, "STOPPING": stop.is_set}
    while True:
        for step in [step for step, reached in steps.items() if reached()]:
            manager.tell(**{step: 1})
            del steps[step]
        known, hanging = hanging, stages.hanging(turn_seconds_max)
        for name in set(hanging) - set(known):
            event(log, "hangs", level=logging.ERROR, work=name)
        manager.tell(STATUS=_status(stages, hanging), **({} if hanging else {"WATCHDOG": 1}))
        pause = min(manager.interval_seconds, STEP_SECONDS) if "READY" in steps else manager.interval_seconds
        if "STOPPING" in steps:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
        else:
            await asyncio.sleep(pause)


def _status(stages: Stages, hanging: tuple[str, ...]) -> str:
    """One line for `systemctl status`: counts since the start, and what is wrong now."""
    done = stages.progress
    said = [f"received {done.received}, answered {done.answered}, sent {done.sent}, set aside {done.set_aside}"]
    said += [f"{stage.name} fails ({stage.failures} times)" for stage in stages.all if stage.failures]
    said += [f"{name} hangs" for name in hanging]
    return "; ".join(said)
