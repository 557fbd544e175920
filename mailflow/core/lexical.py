"""How values are written, the same for XML, JSON and a web form: stricter than pydantic, equal to the XSD.

Pydantic by itself takes `1_0`, Arabic digits and epoch seconds, which the XSD refuses. White space is
collapsed as `xs:token` does it, and nothing but the four XML white space characters counts as such.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema

from mailflow.core.calendar import PARIS

SPACES = " \t\r\n"
"""What counts as white space."""
_RUN_OF_SPACES = re.compile(f"[{SPACES}]+")
_TEXT = r"^[^\u0000-\u001F\u007F-\u009F\uFFFE\uFFFF]*$"
"""No control characters, and nothing that XML cannot carry; every dialect of regular expressions reads it alike."""


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written, for whoever makes a schema of it; marks those that are not text."""

    name: str
    """Of the type in the XSD."""
    bases: tuple[str, ...]
    """The types of XML Schema that it restricts: one, or a choice."""
    pattern: str
    """A regular expression for the whole text; XML Schema, Python and ECMAScript read it alike."""
    length_max: int | None = None


DAY = Written("Date", ("date",), "[0-9]{4}-[0-9]{2}-[0-9]{2}")
MOMENT = Written(
    "Datetime",
    ("dateTime", "date"),
    "20[0-9]{2}-[0-9]{2}-[0-9]{2}"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+\-](0[0-9]|1[0-3]):[0-5][0-9])?)?",
)
TRUTH = Written("Bool", ("boolean",), "true|false")
COUNT = Written("Count", ("nonNegativeInteger",), "[0-9]{1,6}")
YEAR = Written("Year", ("nonNegativeInteger",), "(19|20)[0-9]{2}")
AMOUNT = Written("Amount", ("decimal",), r"[0-9]{1,8}(\.[0-9]{1,2})?")
AREA = Written("Area", ("decimal",), r"[0-9]{1,4}(\.[0-9]{1,2})?")
_DAY, _MOMENT, _COUNT, _YEAR, _AMOUNT, _AREA = (
    re.compile(written.pattern) for written in (DAY, MOMENT, COUNT, YEAR, AMOUNT, AREA)
)


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


def _read_whole(value: Any, pattern: re.Pattern[str]) -> Any:
    """A whole number from its digits; a number as it is, if it may be written. Raises ValueError for all else."""
    text = str(value) if type(value) is int else collapse(value)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError("not such a number")
    return int(text)


def _read_decimal(value: Any, pattern: re.Pattern[str]) -> Any:
    """An exact decimal from its digits, as many after the point as were written; never from a binary fraction.

    Raises ValueError for what is neither text nor Decimal, and for what the pattern refuses.
    """
    text = str(value) if isinstance(value, Decimal) else collapse(value)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError("not such a number")
    return Decimal(text)


def read_count(value: Any) -> Any:
    """How many: at most six digits. Raises ValueError for all else."""
    return _read_whole(value, _COUNT)


def read_year(value: Any) -> Any:
    """A year of this century or the last. Raises ValueError for all else."""
    return _read_whole(value, _YEAR)


def read_amount(value: Any) -> Any:
    """Euros and cents, from text or Decimal. Raises ValueError for all else."""
    return _read_decimal(value, _AMOUNT)


def read_area(value: Any) -> Any:
    """Square metres, from text or Decimal. Raises ValueError for all else."""
    return _read_decimal(value, _AREA)


def _as_text(written: Written) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({written.pattern})$"})


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
Day = Annotated[date, DAY, BeforeValidator(read_day)]
"""A calendar day, without time or zone."""
Moment = Annotated[datetime, MOMENT, BeforeValidator(read_moment)]
"""An instant."""
Truth = Annotated[bool, TRUTH, BeforeValidator(read_truth)]
Count = Annotated[
    int, COUNT, BeforeValidator(read_count), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 999_999})
]
"""How many of something."""
Year = Annotated[
    int, YEAR, BeforeValidator(read_year), WithJsonSchema({"type": "integer", "minimum": 1900, "maximum": 2099})
]
Amount = Annotated[Decimal, AMOUNT, BeforeValidator(read_amount), _as_text(AMOUNT)]
"""Euros, with at most two digits after the point; in JSON a text, because a number there is a binary fraction."""
Area = Annotated[Decimal, AREA, BeforeValidator(read_area), _as_text(AREA)]
"""Square metres, with at most two digits after the point; in JSON a text."""
