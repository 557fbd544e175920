"""File names: `DEM<desk5>-<YYYYMMDDHHMM>-<seq6>.xml` and its relatives `RET`, `ATT`, `CER`, `DIS`, `GES`, `RGE`."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from mailflow.core.calendar import PARIS
from mailflow.core.numbers import DeskCode
from mailflow.errors import MailflowError

_NAME = re.compile(r"([A-Z]{3})([0-9A-Z]{5})-([0-9]{12})(?:-([0-9]{6}))?\.([a-z]{3})")


class Kind(StrEnum):
    """What a file is."""

    REQUEST = "DEM"
    RETURN = "RET"
    ATTESTATION = "ATT"
    CERTIFICATE = "CER"
    DISPATCH = "DIS"
    QUESTION = "GES"
    STATUS = "RGE"


_EXTENSION = dict.fromkeys(Kind, "xml") | {Kind.ATTESTATION: "pdf", Kind.CERTIFICATE: "pem"}
_ANSWERED_BY = {Kind.REQUEST: Kind.RETURN, Kind.QUESTION: Kind.STATUS}
"""The files that a desk sends, and what comes back for each."""


class FileNameError(MailflowError, ValueError):
    """The text is no file name of the interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileName:
    """A file name taken apart."""

    kind: Kind
    desk: DeskCode
    minute: str
    """`YYYYMMDDHHMM` as the desk's clock had it; a real minute, but never compared with ours."""
    sequence: str | None
    """Six digits; None for certificates. Of an attestation: that of its unique number; of a dispatch: its own."""

    def __str__(self) -> str:
        sequence = "" if self.sequence is None else f"-{self.sequence}"
        return f"{self.kind}{self.desk}-{self.minute}{sequence}.{_EXTENSION[self.kind]}"


def parse_name(text: str) -> FileName:
    """The parts of a file name, which is compared to the letter. Raises FileNameError."""
    found = _NAME.fullmatch(text)
    if found is None or found[1] not in Kind.__members__.values():
        raise FileNameError("not a file name of the interface")
    kind = Kind(found[1])
    if found[5] != _EXTENSION[kind] or (found[4] is None) != (kind is Kind.CERTIFICATE):
        raise FileNameError("not a file name of the interface")
    if not _is_minute(found[3]):
        raise FileNameError("no such minute")
    return FileName(kind=kind, desk=DeskCode(found[2]), minute=found[3], sequence=found[4])


def parse_request_name(text: str) -> FileName:
    """As `parse_name`, for `DEM` files only."""
    return _parse_kind(text, Kind.REQUEST)


def parse_question_name(text: str) -> FileName:
    """As `parse_name`, for `GES` files only."""
    return _parse_kind(text, Kind.QUESTION)


def _parse_kind(text: str, kind: Kind) -> FileName:
    name = parse_name(text)
    if name.kind is not kind:
        raise FileNameError(f"not a {kind} file")
    return name


def question_name(desk: DeskCode, sequence: int, at: datetime) -> str:
    """The name of a `GES` file made at that moment, in Paris. Raises FileNameError."""
    minute = at.astimezone(PARIS).strftime("%Y%m%d%H%M")
    name = str(FileName(kind=Kind.QUESTION, desk=desk, minute=minute, sequence=f"{sequence:06}"))
    return str(parse_name(name))


def is_meant_as_question(text: str) -> bool:
    """Whether the sender calls the file a `GES` file, be the rest of its name right or wrong."""
    return text.startswith(Kind.QUESTION)


def return_name(text: str) -> str:
    """The name of the `RET` or `RGE` file that answers the file named `text`.

    A file whose name is none of the interface is answered under a name made from its digest, so that nothing a
    sender wrote goes into a header or a path unchecked.
    """
    try:
        name = _parse_sent(text)
    except FileNameError:
        kind = Kind.STATUS if is_meant_as_question(text) else Kind.RETURN
        return f"{kind}-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.xml"
    kind = _ANSWERED_BY[name.kind]
    return str(FileName(kind=kind, desk=name.desk, minute=name.minute, sequence=name.sequence))


def attestation_name(text: str, sequence: int) -> str:
    """The name of the attestation of a number with that sequence, registered by the file named `text`.

    Raises FileNameError: a file with no name of the interface registers nothing.
    """
    name = parse_request_name(text)
    return str(FileName(kind=Kind.ATTESTATION, desk=name.desk, minute=name.minute, sequence=f"{sequence:06}"))


def speakable_name(name: str) -> str | None:
    """The name of a file that a desk sent, as it may be repeated: only when it is one of the interface."""
    try:
        return str(_parse_sent(name))
    except FileNameError:
        return None


def _parse_sent(text: str) -> FileName:
    name = parse_name(text)
    if name.kind not in _ANSWERED_BY:
        raise FileNameError("not a file that a desk sends")
    return name


@lru_cache
def _is_minute(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d%H%M")  # noqa: DTZ007  only whether it exists is asked, in no zone
    except ValueError:
        return False
    return True
