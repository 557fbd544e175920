"""Reference data as an operator keeps them: two kinds of CSV files, told apart by their first line. Pure.

UTF-8, `;` between the columns, lines that begin with `#` are remarks. All that is wrong is told at once, each with its
line and column, because a list of landlords is mended in a spreadsheet.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailflow.attestation.typography import UNKNOWN_SIGN, displayable
from mailflow.core import places
from mailflow.core.identifiers import is_siren
from mailflow.core.numbers import DEPARTMENTS
from mailflow.core.reference import Commission, Landlord
from mailflow.errors import MailflowError

T = TypeVar("T")

LANDLORD_COLUMNS = ("commune", "siren", "bailleur")
COMMISSION_COLUMNS = ("departement", "commission", "adresse", "delaiMois")
TEXT_CHARACTERS_MAX = 200
MONTHS_MAX = 120
FAULTS_SHOWN = 20


class ReferenceFileError(MailflowError):
    """A file of reference data cannot be used; the message tells each fault with its line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFile:
    """What one file holds: one of the two, or nothing but its first line."""

    landlords: tuple[Landlord, ...] | None = None
    commissions: tuple[Commission, ...] | None = None


def read(content: bytes) -> ReferenceFile:
    """Every line of a file. Raises ReferenceFileError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ReferenceFileError(f"line {line}: is not UTF-8; save the file as CSV UTF-8") from None
    rows = _rows(text)
    number, names = next(rows, (1, []))
    columns = tuple(names)
    if columns == LANDLORD_COLUMNS:
        return ReferenceFile(landlords=_lines(rows, columns, _landlord, lambda one: (one.municipality, one.siren)))
    if columns == COMMISSION_COLUMNS:
        return ReferenceFile(commissions=_lines(rows, columns, _commission, lambda one: one.department))
    wanted = " or ".join(";".join(one) for one in (LANDLORD_COLUMNS, COMMISSION_COLUMNS))
    raise ReferenceFileError(f"line {number}: should name the columns {wanted}")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each line that says something, with its number; values lose the white space around them."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip(" ;") and not line.startswith("#"):
            try:
                (row,) = csv.reader([line], delimiter=";", skipinitialspace=True)
            except csv.Error:
                raise ReferenceFileError(f"line {number}: is no line of a CSV file") from None
            yield number, [value.strip() for value in row]


def _lines(
    rows: Iterator[tuple[int, list[str]]],
    columns: Sequence[str],
    make: Callable[["_Line"], T],
    identity: Callable[[T], object],
) -> tuple[T, ...]:
    found: dict[object, tuple[int, T]] = {}
    faults: list[str] = []
    for number, row in rows:
        if len(row) != len(columns):
            faults.append(f"line {number}: has {len(row)} columns instead of {len(columns)} ({';'.join(columns)})")
            continue
        line = _Line(number=number, values=dict(zip(columns, row, strict=True)), faults=[])
        made = make(line)
        faults += line.faults
        if not line.faults:
            first, _ = found.setdefault(identity(made), (number, made))
            if first != number:
                faults.append(f"line {number}, column {columns[0]}: is there already, in line {first}")
    if faults:
        more = [f"and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
        raise ReferenceFileError("\n".join((*faults[:FAULTS_SHOWN], *more)))
    return tuple(made for _, made in found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line, and what is wrong with it."""

    number: int
    values: dict[str, str]
    faults: list[str]

    def value(self, column: str, check: Callable[[str], str | None]) -> str:
        """The value of a column; `check` says what is wrong with it."""
        value = self.values[column]
        if wrong := check(value):
            self.faults.append(f"line {self.number}, column {column}: {wrong}")
        return value


def _landlord(line: _Line) -> Landlord:
    return Landlord(
        municipality=line.value("commune", _municipality_fault),
        siren=line.value("siren", lambda value: None if is_siren(value) else "is no SIREN: nine digits with their sum"),
        name=line.value("bailleur", _text_fault),
    )


def _commission(line: _Line) -> Commission:
    delay = line.value("delaiMois", _delay_fault)
    return Commission(
        department=line.value("departement", _department_fault),
        name=line.value("commission", _text_fault),
        address=line.value("adresse", _text_fault),
        delay_months=int(delay) if _delay_fault(delay) is None else 1,
    )


def _municipality_fault(value: str) -> str | None:
    known = places.municipality(value)
    if known is None:
        return "is no municipality: give the INSEE code, with its zeros in front"
    return f"is a municipality no more: it is part of {known.present}" if known.is_former else None


def _department_fault(value: str) -> str | None:
    return None if value in DEPARTMENTS else "is no département: 59, 2A, 974"


def _delay_fault(value: str) -> str | None:
    if value.isascii() and value.isdigit() and 1 <= int(value[:6]) <= MONTHS_MAX:
        return None
    return f"should be a number of months, 1 to {MONTHS_MAX}"


def _text_fault(value: str) -> str | None:
    if not value:
        return "is empty"
    if len(value) > TEXT_CHARACTERS_MAX:
        return f"has more than {TEXT_CHARACTERS_MAX} characters"
    return "holds a sign that cannot be printed" if UNKNOWN_SIGN in displayable(value) else None
