"""How a worker fares, as its sign of life in the register says it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from mailflow.core.alerting import WorkerSign
from mailflow.ops.snapshot import Quota, StageState


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What only the worker itself knows."""

    stages: tuple[StageState, ...]
    mailbox: str = ""
    """Which one it reads, by account and folder; empty: of a former program, which does not say."""
    receives: bool | None
    """Whether it held the mailbox when it last wanted it; None before."""
    quotas: tuple[Quota, ...]
    disk_used: float | None


STATES: TypeAdapter[State] = TypeAdapter(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A worker's last sign of life."""

    host: str
    beaten_at: datetime
    emptied_at: datetime | None
    state: State


def written(state: State) -> str:
    """As the register keeps it."""
    return STATES.dump_json(state).decode()


def read(state: str) -> State:
    """What `written` wrote; nothing is known of a worker of another version, but that it lives."""
    try:
        return STATES.validate_json(state)
    except ValidationError:
        return State(stages=(), receives=None, quotas=(), disk_used=None)


def replaced(signs: Iterable[WorkerSign], by: WorkerSign, *, silent_since: datetime) -> list[str]:
    """Owners of former workers of the same host and mailbox that have been silent since then: nobody waits for them."""
    mailboxes = {read(by.state).mailbox, ""}
    former = (one for one in signs if (one.host, one.owner != by.owner) == (by.host, True))
    return [one.owner for one in former if one.beaten_at < silent_since and read(one.state).mailbox in mailboxes]


def beats(signs: Iterable[WorkerSign]) -> tuple[Beat, ...]:
    """The signs of life in the register, read."""
    return tuple(
        Beat(
            host=sign.host,
            beaten_at=sign.beaten_at,
            emptied_at=sign.emptied_at,
            state=read(sign.state),
        )
        for sign in signs
    )
