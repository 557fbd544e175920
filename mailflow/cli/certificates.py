"""Certificates that are about to be enrolled: read from their files, and what speaks against each told at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mailflow import app
from mailflow.core.anomalies import Code, catalogue
from mailflow.core.model import CertificateUse, Directory, SenderCode
from mailflow.errors import MailflowError, Misconfigured
from mailflow.mail import pem
from mailflow.mail.trust import Trust, TrustError, TrustUndetermined
from mailflow.mail.trust_files import read_pem_file
from mailflow.register import Transaction, directory
from mailflow.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One certificate for one use by one sender."""

    sender: SenderCode
    file: Path
    der: bytes
    use: CertificateUse

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex)."""
        return hashlib.sha256(self.der).hexdigest()


def read_offered(files: Sequence[Path], use: CertificateUse, sender: SenderCode) -> list[Offered]:
    """The first certificate of each file; what follows is its chain. Raises MailflowError."""
    try:
        return [
            Offered(sender=sender, file=file, der=read_pem_file(file, pem.CERTIFICATE)[0], use=use) for file in files
        ]
    except Misconfigured as error:
        raise MailflowError(str(error)) from None


async def doubts(settings: Settings, offered: Sequence[Offered], at: datetime) -> list[str]:
    """Why mails would be refused, or answers held, if they came now. Raises MailflowError for what is no certificate.

    The rest only warns: a certificate may be enrolled before its time, or bring its chain along with each mail.
    """
    nobody = Directory(generation=0, senders=(), desks={})
    try:
        async with app.register_of(settings, read_only=True) as register:
            trust = Trust(await replace(app.trust_files(settings, register), keys=None).material(nobody))
    except Misconfigured as error:
        return [f"the certificates were not checked: {error}"]
    found = []
    for one in offered:
        try:
            trust.check_enrolment(one.der, one.use, at, one.sender)
        except (TrustError, TrustUndetermined) as error:
            if error.code is Code.CERTIFICATE_UNREADABLE:
                raise MailflowError(f"{one.file}: holds no certificate that can be read") from None
            sentence = catalogue()[error.code].english
            found.append(f"{one.file}, to {one.use.value}: {error.code} {sentence} {error.detail}".strip())
    return found


async def refuse_of_others(tx: Transaction, code: SenderCode, offered: Sequence[Offered]) -> None:
    """A certificate proves one sender. Raises AlreadyEnrolled with the name of the other."""
    owners = {
        known.fingerprint: sender.code for sender in await directory.list_senders(tx) for known in sender.certificates
    }
    for one in offered:
        owner = owners.get(one.fingerprint, code)
        if owner != code:
            raise directory.AlreadyEnrolled(f"{one.file}: this certificate is enrolled for {owner} already")
