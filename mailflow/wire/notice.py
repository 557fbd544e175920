"""The list that goes with a notice: requests that end soon, each with its last day. CSV (RFC 4180), UTF-8."""

from collections.abc import Sequence
from datetime import date

from mailflow.core.model import Environment
from mailflow.core.numbers import DeskCode, UniqueNumber


def notice_name(desk: DeskCode, first: UniqueNumber) -> str:
    """`preavis-<desk>-<the first number>.csv`."""
    return f"preavis-{desk}-{first}.csv"


def write_notice(requests: Sequence[tuple[UniqueNumber, date]], environment: Environment) -> bytes:
    """The list, separated by semicolons as is usual in France."""
    rows = [f"{number};{last.isoformat()};{environment}" for number, last in requests]
    return "\r\n".join(["numUnique;echeance;environnement", *rows, ""]).encode()
