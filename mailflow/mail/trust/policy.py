"""What an installation demands of every path, as a value."""

from dataclasses import dataclass


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


HOUSE_POLICY = PathPolicy()
"""What holds where the settings say nothing."""
