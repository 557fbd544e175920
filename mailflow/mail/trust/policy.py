"""What an installation demands of paths and signatures, of all or of some senders, as values."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPolicy:
    """The inputs of RFC 5280 section 6.1.1, and where we may differ from it. Algorithms are `mail.cms.algorithms`'."""

    policies: frozenset[str] = frozenset()
    """The initial policy set (OIDs); empty: any."""
    explicit: bool = False
    """Whether a path must hold under one of `policies` even where no authority demands it."""
    no_mapping: bool = False
    no_any_policy: bool = False
    mail_usage_required: bool = False
    """Whether a holder's certificate must name emailProtection; else it may leave out ExtendedKeyUsage."""
    authorities_may_sign: bool = False
    """Whether an authority's certificate may be a holder's. RFC 5280 does not mind; we do."""
    anchors: frozenset[str] = frozenset()
    """SHA-256 fingerprints (hex) of the anchors that a path may lead to; empty: any that is configured."""
    issuers: frozenset[str] = frozenset()
    """SHA-256 fingerprints (hex) of the authorities that may have issued a holder's certificate; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningWindow:
    """How far the signing time may lie from the reception."""

    before: timedelta
    after: timedelta
    """How far the signer's clock may be ahead of ours."""


HOUSE_POLICY = PathPolicy()
"""What holds where the settings say nothing."""
