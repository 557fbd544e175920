"""How values are written, the same for XML, JSON and a web form: stricter than pydantic, equal to the XSD.

Pydantic by itself takes `1_0`, Arabic digits and epoch seconds, which the XSD refuses. White space is
collapsed as `xs:token` does it, and nothing but the four XML white space characters counts as such.
"""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints

from mailflow.core.calendar import PARIS

SPACES = " \t\r\n"
"""What counts as white space."""
_RUN_OF_SPACES = re.compile(f"[{SPACES}]+")
_DAY = re.compile(DAY_PATTERN := "[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    MOMENT_PATTERN := "20[0-9]{2}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+\-](0[0-9]|1[0-3]):[0-5][0-9])?)?"
)
_TEXT = r"^[^\p{Cc}\uFFFE\uFFFF]*$"
"""No control characters, and nothing that XML cannot carry."""


def collapse(value: Any) -> Any:
    """White space collapsed, when it is text; anything else as it is."""
    return _RUN_OF_SPACES.sub(" ", value).strip(" ") if isinstance(value, str) else value


def read_day(value: Any) -> Any:
    """A date from `YYYY-MM-DD`; a date as it is. Raises ValueError for all else."""
    if type(value) is date:
        return value
    text = collapse(value)
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ValueError("not a date")
    return date.fromisoformat(text)


def read_moment(value: Any) -> Any:
    """An aware datetime from an `xs:dateTime`, or from a day (its first instant); without a zone it is Paris.

    Raises ValueError for all else.
    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    text = collapse(value)
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise ValueError("not a date and time")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=PARIS)


def read_truth(value: Any) -> Any:
    """True or false from the words `true` and `false` only. Raises ValueError for all else."""
    if isinstance(value, bool):
        return value
    text = collapse(value)
    if text not in ("true", "false"):
        raise ValueError("not a truth value")
    return text == "true"


# Constraints stand next to `str`, so that pydantic checks them itself; a validator that runs before comes last.
_collapsed = BeforeValidator(collapse)
Name = Annotated[str, StringConstraints(max_length=100, pattern=_TEXT), _collapsed]
"""A surname or first name."""
Line = Annotated[str, StringConstraints(max_length=150, pattern=_TEXT), _collapsed]
"""One line of text, as in an address."""
Token = Annotated[str, StringConstraints(max_length=64, pattern=_TEXT), _collapsed]
"""A code, number or reference whose grammar a rule checks."""
Sentence = Annotated[str, StringConstraints(max_length=1000, pattern=_TEXT), _collapsed]
"""What the service says: sentences, remedies, paths."""
Day = Annotated[date, BeforeValidator(read_day)]
"""A calendar day, without time or zone."""
Moment = Annotated[datetime, BeforeValidator(read_moment)]
"""An instant."""
Truth = Annotated[bool, BeforeValidator(read_truth)]
