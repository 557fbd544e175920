"""How values are written, the same for XML, JSON and a web form: stricter than pydantic, equal to the XSD.

Pydantic by itself takes `1_0`, Arabic digits and epoch seconds, which the XSD refuses. White space is
collapsed as `xs:token` does it, and nothing but the four XML white space characters counts as such.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

_SPACES = re.compile(r"[ \t\r\n]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TEXT_PATTERN = "[^\x00-\x1f\x7f-\x9f\ufffe\uffff]*"
"""No control characters, and nothing that XML cannot carry. Written to fit Python, Rust and XSD alike."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Marks a value that XML carries in the attribute `code`, taken from the list `code_list`."""

    code_list: str | None
    """None for codes whose list is not ours (municipalities: INSEE)."""


@dataclass(frozen=True, slots=True)
class Items:
    """Marks a tuple: XML wraps it in the field's element, and each item in an element of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """Marks a value that XML carries as an attribute; `extension` puts it into our own namespace."""

    extension: bool


class WireModel(BaseModel):
    """Base of what travels: frozen, unknown names refused, aliases are the names on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
        revalidate_instances="never",
    )


def collapse(value: Any) -> Any:
    """White space collapsed, when it is text; anything else as it is."""
    return _SPACES.sub(" ", value).strip(" ") if isinstance(value, str) else value


def read_date(value: Any) -> Any:
    """A date from `YYYY-MM-DD`; a date as it is. Raises ValueError for all else."""
    if type(value) is date:
        return value
    text = collapse(value)
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        raise ValueError("not a date")
    return date.fromisoformat(text)


def read_bool(value: Any) -> Any:
    """True or false from the words `true` and `false` only. Raises ValueError for all else."""
    if isinstance(value, bool):
        return value
    text = collapse(value)
    if text not in ("true", "false"):
        raise ValueError("not a truth value")
    return text == "true"


_collapsed = BeforeValidator(collapse)
Name = Annotated[str, _collapsed, StringConstraints(max_length=100, pattern=f"^{TEXT_PATTERN}$")]
"""A surname or first name."""
Line = Annotated[str, _collapsed, StringConstraints(max_length=150, pattern=f"^{TEXT_PATTERN}$")]
"""One line of text, as in an address."""
Token = Annotated[str, _collapsed, StringConstraints(max_length=40, pattern=f"^{TEXT_PATTERN}$")]
"""A code, number or reference whose grammar a rule checks."""
Day = Annotated[date, BeforeValidator(read_date)]
"""A calendar day, without time or zone."""
Truth = Annotated[bool, BeforeValidator(read_bool)]
