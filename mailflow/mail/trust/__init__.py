"""Decides who a mail is from: an enrolled sender, proven by a certificate that was good when the mail came."""

from mailflow.mail.trust.decision import Trust
from mailflow.mail.trust.errors import TrustError, TrustUndetermined
from mailflow.mail.trust.grounds import Enrolment, Grounds, Proven
from mailflow.mail.trust.material import TrustMaterial
from mailflow.mail.trust.policy import HOUSE_POLICY, PathPolicy, SigningWindow

__all__ = [
    "HOUSE_POLICY",
    "Enrolment",
    "Grounds",
    "PathPolicy",
    "Proven",
    "SigningWindow",
    "Trust",
    "TrustError",
    "TrustMaterial",
    "TrustUndetermined",
]
