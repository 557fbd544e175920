"""The status page for people: one template, read-only, without any script. Pure."""

import re
from datetime import datetime, timedelta
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined

from mailflow.core.calendar import PARIS
from mailflow.ops import health
from mailflow.ops.messages import in_short
from mailflow.ops.outlook import age_labels, duration, public_sentences
from mailflow.ops.snapshot import Snapshot

SOON = timedelta(days=30)
"""How long before its end something is marked as to be renewed."""


def style() -> str:
    """The style sheet."""
    return _read("status.css")


def _read(name: str) -> str:
    return files("mailflow.ops.page").joinpath(name).read_text(encoding="utf-8")


def _local(instant: datetime) -> str:
    return f"{instant.astimezone(PARIS):%d/%m/%Y %H:%M}"


def _unbroken(line: str) -> str:
    """No line ends inside `3 h 20`."""
    return re.sub(r"(?<=\d) h (?=\d)", "\u00a0h\u00a0", line)


_environment = Environment(
    loader=DictLoader({"status": _read("status.html")}),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["local"] = _local
_environment.filters["duration"] = duration


def render(snapshot: Snapshot) -> str:
    """The page as HTML."""
    queues = snapshot.queues
    said = [_unbroken(line) for line in public_sentences(queues.outlook)] if queues else []
    return _environment.get_template("status").render(
        snapshot=snapshot,
        queues=queues,
        problems=health.unready(snapshot),
        facts=[line for line in said if not line.startswith("Warning: ")],
        warnings=[line.removeprefix("Warning: ") for line in said if line.startswith("Warning: ")]
        + in_short(queues.alarms if queues else ()),
        ages=age_labels(queues.outlook.deadline) if queues else [],
        expiries=sorted(snapshot.surroundings.expiries, key=lambda one: one.at),
        soon=snapshot.at + SOON,
    )
