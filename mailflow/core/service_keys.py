"""The keys of the service itself: which one signs, which ones open mails, and when one may go. Pure.

What the register knows of a key is when it serves. The key and its certificate are files: whoever can write to the
database can name no key of his own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

SETTINGS_SINCE = datetime.min.replace(tzinfo=UTC)
"""Since when the keys of the settings serve: before any other."""


class KeyUse(StrEnum):
    """What a key of the service is for."""

    SIGNING = "signing"
    DECRYPTION = "decryption"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """When a key serves, by its certificate."""

    fingerprint: str
    """SHA-256 of the certificate (hex)."""
    use: KeyUse
    active_from: datetime
    """From then on it signs, or is the one that desks are to encrypt to. One that decrypts does so before as well."""
    retired_at: datetime | None = None
    """Since then it is not used for anything."""


def present(keys: Iterable[ServiceKey], use: KeyUse, at: datetime) -> ServiceKey | None:
    """The one that signs, or that desks are to encrypt to; None: the one that the settings name."""
    begun = [key for key in keys if key.use is use and key.retired_at is None and key.active_from <= at]
    return max(begun, key=lambda key: (key.active_from, key.fingerprint), default=None)


def out_of_use(keys: Iterable[ServiceKey], key: ServiceKey) -> datetime | None:
    """When another one took its place, or will; None: nothing is to follow it."""
    later = [
        one.active_from
        for one in keys
        if one.use is key.use and one.retired_at is None and one.active_from > key.active_from
    ]
    return min(later, default=None)


def may_go(keys: Iterable[ServiceKey], key: ServiceKey, overlap: timedelta) -> datetime | None:
    """From when on the key may be retired; None: not while nothing follows it.

    One that signs, once another signs. One that decrypts, `overlap` after desks were to encrypt to another: until
    then mails to it may come, be judged again or be replayed.
    """
    ends = out_of_use(keys, key)
    return ends + overlap if ends is not None and key.use is KeyUse.DECRYPTION else ends
