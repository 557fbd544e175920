"""Decides who a mail is from: an enrolled sender, proven by a certificate that was good when the mail came."""

from mailflow.mail.trust.decision import SigningWindow, Trust, TrustMaterial
from mailflow.mail.trust.errors import TrustError, TrustUndetermined
from mailflow.mail.trust.policy import HOUSE_POLICY, PathPolicy

__all__ = [
    "HOUSE_POLICY",
    "PathPolicy",
    "SigningWindow",
    "Trust",
    "TrustError",
    "TrustMaterial",
    "TrustUndetermined",
]
