"""Why a certificate, or the mail that it signed, is not believed."""

from mailflow.core.anomalies import Code
from mailflow.errors import MailflowError


class TrustError(MailflowError):
    """Refused; `code` is of the family SIG.

    `detail` is for the operator: fingerprints, names of senders, OIDs, dates. It carries nothing of the content.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(code, detail)  # both as arguments, so that the error survives pickling
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code.name} ({self.detail})"


class TrustUndetermined(MailflowError):
    """Revocation data are missing or stale: not a refusal, and never to be taken for an acceptance."""

    code = Code.REVOCATION_UNKNOWN

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
