"""Certificates that end: which of them nothing follows, and when that is announced, to the desk and to the operator."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.calendar import legal_day
from mailflow.core.model import CertificateUse, EnrolledCertificate, EnrolledSender, Standing

ANNOUNCED_DAYS = (7, 30, 60)
"""How many legal days before its end, the nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """From when to when a certificate holds, both inclusive (RFC 5280 section 4.1.2.5)."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A certificate in use that no other follows."""

    sender: EnrolledSender
    certificate: EnrolledCertificate
    """For the first of its uses."""
    uses: tuple[CertificateUse, ...]
    """Those that nothing follows in."""
    ends: datetime


def endings(
    senders: Iterable[EnrolledSender], validity: Callable[[bytes], Validity | None], at: datetime
) -> list[Ending]:
    """The certificates of active senders that end, or have ended, without a successor; the first to end first.

    A successor is enrolled for the same use, holds already when the other one ends, or now, and holds for longer.
    `validity` reads a DER certificate; what it gives None for cannot be read, and counts for nothing.
    """
    found: list[Ending] = []
    for sender in senders:
        if sender.standing is not Standing.ACTIVE:
            continue
        known = [
            (one, period)
            for one in sender.certificates
            if one.standing is Standing.ACTIVE and (period := validity(one.der)) is not None
        ]
        last: dict[str, list[tuple[EnrolledCertificate, Validity]]] = defaultdict(list)
        for one, period in known:
            others = [other for candidate, other in known if candidate.use is one.use]
            if not any(other.begins <= max(period.ends, at) and period.ends < other.ends for other in others):
                last[one.fingerprint].append((one, period))
        for uses in last.values():
            (one, period), *_ = uses
            uses_ending = tuple(other.use for other, _ in uses)
            found.append(Ending(sender=sender, certificate=one, uses=uses_ending, ends=period.ends))
    return sorted(found, key=lambda one: (one.ends, one.sender.code, one.certificate.fingerprint))


def announced(ends: datetime, at: datetime) -> int | None:
    """Which of the `ANNOUNCED_DAYS` has come for what ends then: the nearest; None before the first."""
    left = (legal_day(ends) - legal_day(at)).days
    return next((days for days in ANNOUNCED_DAYS if left <= days), None)
