"""What is known of the places that revocation data are fetched from. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

DIGEST_CHARACTERS = 16


class SourceKind(StrEnum):
    """What a place has."""

    LIST = "list"
    """A revocation list (RFC 5280 section 5), complete or delta."""
    ANSWER = "answer"
    """An OCSP responder's answer about one certificate (RFC 6960)."""


class Says(StrEnum):
    """What an OCSP responder says of a certificate (RFC 6960 section 2.2)."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class SourceKey(NamedTuple):
    """Tells sources apart."""

    kind: SourceKind
    url: str
    about: str = ""
    """SHA-256 (hex) of the certificate that is asked about; empty for a list."""

    @property
    def digest(self) -> str:
        """What the log tells it by, in hex: a URL may say too much."""
        return hashlib.sha256("\n".join(self).encode()).hexdigest()[:DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """All revocation data that were fetched, DER."""

    lists: tuple[bytes, ...] = ()
    answers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSource:
    """How a source stands. What it said last stays until it says something newer, whatever fails meanwhile."""

    key: SourceKey
    etag: str | None
    modified: str | None
    """Last-Modified as the server wrote it."""
    published: datetime | None
    """thisUpdate of what is kept; None: nothing was had yet."""
    expires: datetime | None
    """nextUpdate of what is kept."""
    says: Says | None
    """Of an answer."""
    fetched_at: datetime | None
    """When the server last said that this is what there is."""
    asked_at: datetime
    next_at: datetime
    failures: int
    """In a row."""
    failing_since: datetime | None
    failure: str | None
    """Why it failed last."""

    def is_current(self, at: datetime) -> bool:
        """Whether what is kept can still vouch for anything."""
        return self.expires is not None and at <= self.expires
