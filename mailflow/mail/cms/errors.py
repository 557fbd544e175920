"""Why a CMS structure is refused."""

from mailflow.core.anomalies import Code
from mailflow.errors import MailflowError


class CmsError(MailflowError):
    """A signed or encrypted structure is refused; `code` is of the family SIG.

    `detail` is for the operator: an OID, a size, the name of a field. It never carries content, and for a failed
    decryption nothing that depends on the key or on the plaintext.
    """

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(code, detail)  # both as arguments, so that the error survives pickling
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code.name} ({self.detail})" if self.detail else self.code.name
