"""The mails of NIST's PKI test suite, each signed by the end certificate of one test (`tests/data/pkits`)."""

import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from asn1crypto import cms as asn1_cms

from mailflow.core.model import CertificateUse, Directory
from mailflow.mail import cms, mime
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.mime import MimeLimits, SignedParts
from mailflow.mail.model import VerifiedMail
from mailflow.mail.trust import PathPolicy, Trust, TrustError, TrustMaterial, TrustUndetermined
from tests.support.pki import AT
from tests.support.trust import WINDOW

FOLDER = Path(__file__).parent.parent / "data/pkits"
LIMITS = MimeLimits(header_bytes_max=65_536, depth_max=8, parts_max=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a test, what NIST expects, and what comes of it here."""

    test: str
    valid: bool
    got: str
    """`accepted`, or why not."""


def table() -> list[Row]:
    """What is known of every test."""
    lines = (line.split("\t") for line in (FOLDER / "verdicts.tsv").read_text("ascii").splitlines()[1:])
    return [Row(test=test, valid=expected == "valid", got=got) for test, expected, got in lines]


@cache
def archive() -> dict[str, bytes]:
    """Every file of the suite that is kept, by its path there."""
    with tarfile.open(FOLDER / "smime.tar.xz") as files:
        opened = {member.name: files.extractfile(member) for member in files}
        return {name: file.read() for name, file in opened.items() if file is not None}


def signed_mail(test: str) -> VerifiedMail:
    """The mail of a test. Raises CmsError."""
    parts = _parts(test)
    assert parts.content is not None
    return cms.verify(parts.cms, mime.canonical(parts.content), enrolled=lambda _: (), at=AT)


def _parts(test: str) -> SignedParts:
    parts = mime.signed_parts(mime.read(archive()[f"smime/Signed{test}.eml"], LIMITS))
    assert parts is not None
    return parts


def material(test: str, policy: PathPolicy) -> TrustMaterial:
    """What is installed for a test: its mail's own certificates and lists."""
    files = archive()
    known = asn1_cms.ContentInfo.load(_parts(test).cms)["content"]
    return TrustMaterial(
        directory=Directory(generation=1, senders=(), desks={}),
        anchors=(files["certs/TrustAnchorRootCertificate.crt"],),
        # The mail of NameChainingUIDs brings that authority with other octets than were signed.
        intermediates=(*(c.dump() for c in known["certificates"]), files["certs/UIDCACert.crt"]),
        crls=tuple(c.dump() for c in known["crls"] or ()),
        window=WINDOW,
        policy=policy,
    )


def verdict(test: str, policy: PathPolicy) -> str:
    """What becomes of the signer of a mail when its own certificates and lists are all that is installed."""
    try:
        mail = signed_mail(test)
        Trust(material(test, policy)).check_enrolment(mail.signers[0].certificate, CertificateUse.SIGN, AT)
    except TrustUndetermined as error:
        return f"{error.code.name} ({error})"
    except (CmsError, TrustError) as error:
        return str(error)
    return "accepted"
