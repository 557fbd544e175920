"""Whether a send whose end nobody saw went out, judged by the copies in the audit mailbox."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

GAPS_MIN = 3
"""Of the time for which a copy is waited for, what passes between two looks counts for a third at most."""


class Verdict(Enum):
    """What to do with an outbox row that is `sending`."""

    SENT = "sent"
    """A copy is there: the server had accepted it."""
    RESEND = "resend"
    """None will come any more, or there is no time to wait for one: the same octets go again."""
    WAIT = "wait"
    """Too early to tell."""


def body_digest(raw: bytes) -> str:
    """SHA-256 (hex) of the body of a mail: what lies behind the first empty line.

    The header is left out, since every server on the way adds to it. Line ends are taken as CRLF and empty lines at
    the end as one line end, as in DKIM's simple form (RFC 6376, 3.4.3), since servers store and return those freely.
    """
    _, _, body = b"\n".join((b"", raw.replace(b"\r\n", b"\n"))).partition(b"\n\n")
    return hashlib.sha256(body.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n").hexdigest()


def decide(
    copies: Sequence[bytes],
    expected_digest: str,
    *,
    copies_before: int,
    missed_for: timedelta,
    at: datetime,
    deadline_at: datetime,
    sending_max: timedelta,
    wait: timedelta,
    reserve: timedelta,
) -> Verdict:
    """Judge a send by the `copies` with its Message-ID, of which one could have been seen for `missed_for` by now.

    A copy counts only with the body that was sent (`expected_digest`, of `body_digest`): anybody may write a
    Message-ID. Without one it goes again after `wait`, longer than a server may still deliver what it accepted
    in silence, or once no more than `reserve` is left before `deadline_at`: then a second identical copy is the
    lesser evil, but not before `sending_max`, since until then its sender may be about to hear that it was accepted,
    nor before half of `wait`, for which one further look is not enough (`GAPS_MIN`).
    Of a mail that an operator sends once more, `copies_before` may be there from before and prove nothing; nor is it
    in a hurry, since it left in time.
    """
    if sum(body_digest(copy) == expected_digest for copy in copies) > copies_before:
        return Verdict.SENT
    urgent = not copies_before and deadline_at - at <= reserve
    if missed_for >= (max(sending_max, wait / 2) if urgent else wait):
        return Verdict.RESEND
    return Verdict.WAIT
