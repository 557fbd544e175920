"""Whether the process lives, and whether it can do its work. Pure."""

from collections.abc import Iterable

from mailflow.ops.snapshot import Snapshot, StageState

RECEIVE = "receive"
"""The stage from which all work comes; others may begin when there is something for them to do."""
FAILURES_MAX = 3
"""Turns in a row that a stage may fail before we say that it cannot work: a server may just be starting."""


def dead(stages: Iterable[StageState]) -> list[str]:
    """What only a new start can mend; empty when the process lives. That a server is down is none of it."""
    return [f"the stage {stage.name} hangs" for stage in stages if stage.hangs]


def unready(snapshot: Snapshot) -> list[str]:
    """Why mails are not received, decided and answered now; empty when they are."""
    reasons = dead(snapshot.stages)
    if snapshot.queues is None:
        reasons.append("the register cannot be read")
    elif snapshot.queues.outlook.stopped is not None:
        reasons.append("no unique numbers are given: mailflow queue says why")
    for stage in snapshot.stages:
        if stage.name == RECEIVE and not stage.tried:
            reasons.append("the mailbox has not been looked at yet")
        if stage.failures >= FAILURES_MAX:
            reasons.append(f"the stage {stage.name} finds its server or the register unavailable")
    return reasons
