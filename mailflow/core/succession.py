"""A certificate that its sender's own signed mail offers to follow the one that signed it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from mailflow.core.model import CertificateUse


class Succession(StrEnum):
    """What became of an offered certificate."""

    WAITING = "waiting"
    """For the operator's word."""
    ENROLLED = "enrolled"
    DECLINED = "declined"
    TOO_MANY = "too-many"
    """Too many of this sender wait already; this one was not kept."""


KEPT = (Succession.WAITING, Succession.ENROLLED, Succession.DECLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """An offered certificate that passed every check of its own, and may have no more rights than it follows."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    certificate: bytes
    """DER."""
    fingerprint: str
    """SHA-256 (hex)."""
    follows: str
    """Fingerprint of the enrolled certificate that signed the mail."""
    uses: tuple[CertificateUse, ...]
    """To sign; to encrypt answers too, where its key is meant for that and what it follows is enrolled for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessorReceipt:
    """What is told of it."""

    successor: Successor
    became: Succession
