"""What a desk's software knows of the register: kept up from the answers to itself and the dispatches of others. Pure.

A reference for the other side; nothing of the service depends on it. The order in which files are applied does not
matter, nor how often.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any

from mailflow.errors import MailflowError
from mailflow.wire.dispatch import Told, read_told

ACTIVE = "active"


class OtherEnvironment(MailflowError):
    """The file speaks of another register than the copy: the school's, or the real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A request as the desk knows it."""

    environment: str
    state: str
    """`active`, `radiee` or `supprimee`."""
    expires_on: date | None
    revision: int
    """Of the request: how many changes it had had when this was so."""
    form: Mapping[str, Any] | None = field(repr=False)
    """By wire names; None when it is not active, or no file said."""
    form_revision: int
    """Of the file that said so, or of the end of the request: what older files say is not so any more."""


def apply(known: Mapping[str, Holding], content: bytes) -> dict[str, Holding]:
    """What is known once this `RET` or `DIS` file is read. Raises NotOfTheService and OtherEnvironment."""
    now = dict(known)
    for told in read_told(content):
        if any(one.environment != told.environment for one in islice(now.values(), 1)):
            raise OtherEnvironment("the file is of another environment than the copy")
        nothing = Holding(
            environment=told.environment, state="", expires_on=None, revision=0, form=None, form_revision=0
        )
        now[told.number] = _with(now.get(told.number, nothing), told)
    return now


def _with(before: Holding, told: Told) -> Holding:
    """State and content go their own ways, because a file may say the one without the other."""
    after = before
    if told.revision >= before.revision:
        after = replace(after, state=told.state, expires_on=told.expires_on, revision=told.revision)
    if told.form is not None and told.revision >= before.form_revision:
        form = told.form.model_dump(mode="json", by_alias=True, exclude_none=True)
        after = replace(after, form=form, form_revision=told.revision)
    return after if after.state == ACTIVE else replace(after, form=None, form_revision=after.revision)


def dump(known: Mapping[str, Holding]) -> str:
    """As JSON, by number."""
    rows = {
        number: {
            "environnement": one.environment,
            "etat": one.state,
            "echeance": one.expires_on.isoformat() if one.expires_on else None,
            "revision": one.revision,
            "demandeLogement": one.form,
            "revisionDemandeLogement": one.form_revision,
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
            revision=row["revision"],
            form=row["demandeLogement"],
            form_revision=row["revisionDemandeLogement"],
        )
        for number, row in json.loads(text).items()
    }
