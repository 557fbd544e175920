"""The `NCE*.pem` file: a certificate offered by a signed mail, with the proof that its sender holds the new key. Pure.

It is a SignedData in PEM, made with the new key over a statement of a few words: which service is meant, and which
certificate is followed. So a statement that was signed once serves no other service and no other sender.
"""

from collections.abc import Collection
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.mail import cms, pem
from mailflow.mail.cms import CmsError, SigningKey
from mailflow.mail.model import VerifiedMail
from mailflow.mail.trust import TrustError

TITLE, SERVICE, FOLLOWS = "nouveau-certificat", "service:", "succede:"


def write_statement(service: str, follows: str) -> bytes:
    """What the new key signs. `service` is the address of the service, `follows` the SHA-256 (hex) of a certificate."""
    return f"{TITLE}\r\n{SERVICE} {service}\r\n{FOLLOWS} {follows}\r\n".encode()


def write_successor(service: str, follows: str, key: SigningKey, at: datetime) -> bytes:
    """The whole file, as a desk's software makes it."""
    signed = cms.sign(write_statement(service, follows), key, at=at, detached=False)
    return (pem.written(signed, pem.CMS) + "\n").encode()


def read_successor(octets: bytes, services: Collection[str], follows: str, at: datetime) -> VerifiedMail:
    """The proof, whose one signer has the offered certificate; nothing is said yet of what that is worth.

    `services` are our own addresses; white space and case of the statement do not matter. Raises TrustError
    `SUCCESSOR_UNPROVEN`.
    """
    try:
        (structure,) = pem.read_der(octets, pem.CMS)
        proof = cms.verify(structure, None, enrolled=lambda _: (), at=at)
    except (ValueError, CmsError) as error:
        detail = error.code.value if isinstance(error, CmsError) else "not one CMS structure in PEM"
        raise TrustError(Code.SUCCESSOR_UNPROVEN, detail) from None
    if len(proof.signers) != 1:
        raise TrustError(Code.SUCCESSOR_UNPROVEN, "several signers")
    said = proof.content.decode("ascii", "replace").lower().split()
    if said not in [[TITLE, SERVICE, service.lower(), FOLLOWS, follows] for service in services]:
        raise TrustError(Code.SUCCESSOR_UNPROVEN, "another statement")
    return proof
