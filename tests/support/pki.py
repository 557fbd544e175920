"""One PKI for all tests of a run: making keys is slow, and nobody changes it."""

from datetime import UTC, datetime
from functools import cache

from mailflow.demo.pki import Pki

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""The instant that the tests' PKI is made for: leaves are valid, lists are an hour old."""


@cache
def shared_pki() -> Pki:
    """The PKI at `AT`. Issue from it what you like; who wants to `revoke` makes a `Pki` of their own."""
    return Pki(at=AT)
