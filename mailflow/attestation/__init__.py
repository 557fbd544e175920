"""The attestation: the certificate that an applicant receives, as an accessible PDF."""

from mailflow.attestation.document import Attestation
from mailflow.attestation.typesetter import typeset

__all__ = ["Attestation", "typeset"]
