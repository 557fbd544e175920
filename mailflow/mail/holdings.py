"""What a desk's software knows of the register: kept up from the answers to itself and the dispatches of others. Pure.

A reference for the other side; nothing of the service depends on it. The order in which files are applied does not
matter, nor how often.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from mailflow.errors import MailflowError
from mailflow.wire.dispatch import Told, read_told


class OtherEnvironment(MailflowError):
    """The file speaks of another register than the copy: the school's, or the real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A request as the desk knows it."""

    environment: str
    state: str
    """`active`, `radiee` or `supprimee`."""
    expires_on: date | None
    changed_at: datetime
    dispatched: bool
    """Told by a `DIS` file; else by an answer to the desk itself."""
    form: Mapping[str, Any] | None = field(repr=False)
    """By wire names; None when it is not active, or no file said."""


def apply(known: Mapping[str, Holding], name: str, content: bytes) -> dict[str, Holding]:
    """What is known once this `RET` or `DIS` file is read, whose `name` says which.

    Raises NotOfTheService and OtherEnvironment.
    """
    now = dict(known)
    for told in read_told(content):
        if any(one.environment != told.environment for one in list(now.values())[:1]):
            raise OtherEnvironment("the file is of another environment than the copy")
        new = _holding(told, now.get(told.number), dispatched=name.startswith("DIS"))
        if told.number not in now or _age(now[told.number]) <= _age(new):
            now[told.number] = new
    return now


def _age(holding: Holding) -> tuple[datetime, bool]:
    return holding.changed_at, holding.dispatched


def _holding(told: Told, before: Holding | None, *, dispatched: bool) -> Holding:
    """An operation without the form leaves it as it was."""
    form: Mapping[str, Any] | None = before.form if before else None
    if told.form is not None:
        form = told.form.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Holding(
        environment=told.environment,
        state=told.state,
        expires_on=told.expires_on,
        changed_at=told.changed_at,
        dispatched=dispatched,
        form=form if told.state == "active" else None,
    )


def dump(known: Mapping[str, Holding]) -> str:
    """As JSON, by number."""
    rows = {
        number: {
            "environnement": one.environment,
            "etat": one.state,
            "echeance": one.expires_on.isoformat() if one.expires_on else None,
            "dateEtat": one.changed_at.isoformat(),
            "dispatching": one.dispatched,
            "demandeLogement": one.form,
        }
        for number, one in sorted(known.items())
    }
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def load(text: str) -> dict[str, Holding]:
    """What `dump` wrote."""
    return {
        number: Holding(
            environment=row["environnement"],
            state=row["etat"],
            expires_on=date.fromisoformat(row["echeance"]) if row["echeance"] else None,
            changed_at=datetime.fromisoformat(row["dateEtat"]),
            dispatched=row["dispatching"],
            form=row["demandeLogement"],
        )
        for number, row in json.loads(text).items()
    }
