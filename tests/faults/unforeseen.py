"""Faults of ours that the service survives: a turn or a job that an exception ended which nobody foresaw.

It logs them and goes on, so that nothing else would show them; in a sweep each is a finding.
"""

import logging

from mailflow.errors import Misconfigured, Unavailable


class Unforeseen(logging.Handler):
    """Hears what `mailflow.log.fault` says, and what the pool says of a task that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Of everything else that is logged nothing is kept."""
        pairs: dict[str, str] = getattr(record, "pairs", {})
        if "error" in pairs:
            self._said.append(pairs)

    def heard(self, *, disturbed: bool) -> list[str]:
        """What was said since it was last asked; in a disturbed run a job may find that a dependency is down."""
        said, self._said = self._said, []
        foreseen = names_of(Misconfigured) | names_of(Unavailable) if disturbed else set()
        unforeseen = [pairs for pairs in said if pairs["error"].lower() not in foreseen]
        return [" ".join(f"{key}={value}" for key, value in pairs.items()) for pairs in unforeseen]


def names_of(error: type[Exception]) -> set[str]:
    """Of this class of errors and those below it, in small letters."""
    return {error.__name__.lower()}.union(*(names_of(below) for below in error.__subclasses__()))
