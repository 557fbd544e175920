"""Mails that are right in all but one thing, which keeps their sender from being proven: nobody is told why."""

from dataclasses import dataclass, replace
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.demo.applications import file_name, request_file, request_form
from mailflow.demo.installation import DeskSoftware, Installation
from mailflow.demo.pki import Fault, Pki
from mailflow.demo.story import LILLE, MARTIN

WHY = (Code.SIGNER_NOT_ENROLLED, Code.CERTIFICATE_REVOKED, Code.CONTENT_ALTERED, Code.DECRYPTION_FAILED)


def desks(pki: Pki) -> list[DeskSoftware]:
    """A good desk, and one whose certificate has been revoked since it was enrolled."""
    return [
        DeskSoftware(sender=name, desk=desk, territory="059", address=f"{name}@desks.example", identity=identity)
        for name, desk, identity in (
            ("lille", "Z0001", pki.issue("lille")),
            ("volee", "Z0002", pki.faulty(Fault.REVOKED)),
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes mails of the `desks`."""

    installation: Installation
    good: DeskSoftware
    revoked: DeskSoftware
    at: datetime

    def written(self, software: DeskSoftware, number: int = 1, *, encrypted: bool = True) -> bytes:
        """A mail with one creation."""
        request = request_form(MARTIN, desk=software.desk, deposited_on=self.at.date(), municipalities=[LILLE])
        files = [(file_name(software.desk, self.at, number), request_file([request], made_at=self.at))]
        message_id = f"<{number}@desk.example>"
        return self.installation.request(software, files, message_id=message_id, at=self.at, encrypted=encrypted)

    def silent(self, why: Code, number: int = 1) -> bytes:
        """A mail that is right in all but this (of `WHY`); each says that it is of an enrolled address."""
        match why:
            case Code.SIGNER_NOT_ENROLLED:
                stranger = self.installation.pki.issue("inconnue")
                return self.written(replace(self.good, identity=stranger), number)
            case Code.CERTIFICATE_REVOKED:
                return self.written(self.revoked, number)
            case Code.CONTENT_ALTERED:
                raw = self.written(self.good, number, encrypted=False)
                return raw.replace(b"Content-Disposition: attachment", b"Content-Disposition: Attachment", 1)
            case _:
                raw = self.written(self.good, number)
                last = raw.rindex(b"\r\n", 0, len(raw) - 200)
                other = b"B" if raw[last - 1 : last] == b"A" else b"A"
                return raw[: last - 1] + other + raw[last:]
