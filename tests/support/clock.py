"""The program's clock, set from outside: it reads the time in one function, which some modules know by name."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta


def set_forward(ahead: timedelta) -> None:
    """From now on the program's time is `ahead` of the real one, or behind it."""
    from mailflow.app import parts

    clock = parts.now
    read_by(lambda: clock() + ahead)


@contextlib.contextmanager
def shifted(ahead: timedelta) -> Iterator[None]:
    """The program's time in this very process, for as long as the context lasts."""
    from mailflow.app import parts

    clock = parts.now
    set_forward(ahead)
    try:
        yield
    finally:
        read_by(clock)


@contextlib.contextmanager
def at_instant(at: datetime) -> Iterator[None]:
    """The program's time in this very process stands still."""
    from mailflow.app import parts

    clock = parts.now
    read_by(lambda: at)
    try:
        yield
    finally:
        read_by(clock)


def read_by(clock: Callable[[], datetime]) -> None:
    """From now on this is the program's clock; what is loaded later finds it there."""
    from mailflow.app import parts

    before = parts.now
    for name, module in [*sys.modules.items()]:
        if name.startswith("mailflow.") and getattr(module, "now", None) is before:
            setattr(module, "now", clock)  # noqa: B010  mypy would not have a function assigned


def minutes_until(at: datetime) -> str:
    """How far that time is from now, or behind it, as `tests.support.killed --later` takes it."""
    return str((at - datetime.now(UTC)) / timedelta(minutes=1))
