"""Enrolments and trust material around the shared PKI."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledCertificate,
    EnrolledSender,
    SenderCode,
    Standing,
)
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Authority, Pki
from mailflow.mail.model import VerifiedSigner
from mailflow.mail.trust import SigningWindow, Trust, TrustMaterial
from tests.support.pki import AT, shared_pki

WINDOW = SigningWindow(before=timedelta(days=7), after=timedelta(minutes=5))
ADDRESS = "guichet@mairie.example"


def enrolled(
    identity: Identity | bytes,
    use: CertificateUse = CertificateUse.SIGN,
    standing: Standing = Standing.ACTIVE,
) -> EnrolledCertificate:
    """A certificate as the register would hand it out."""
    der = identity if isinstance(identity, bytes) else identity.der
    return EnrolledCertificate(fingerprint=hashlib.sha256(der).hexdigest(), der=der, use=use, standing=standing)


def a_sender(
    *certificates: EnrolledCertificate,
    code: str = "MAIRIE",
    address: str = ADDRESS,
    standing: Standing = Standing.ACTIVE,
) -> EnrolledSender:
    """A sender with these certificates and one address."""
    return EnrolledSender(
        code=SenderCode(code),
        name=code.title(),
        standing=standing,
        addresses=frozenset({address}),
        answer_address=address,
        certificates=certificates,
        mandates=(),
        legacy_encryption=False,
    )


def a_trust(
    *senders: EnrolledSender,
    pki: Pki | None = None,
    anchors: Sequence[bytes] | None = None,
    intermediates: Sequence[bytes] | None = None,
    crls: Sequence[bytes] | None = None,
    also: Sequence[Authority] = (),
) -> Trust:
    """Trust in the shared PKI, or what is given instead; `also` are further authorities, with their fresh lists."""
    pki = pki or shared_pki()
    known = pki.intermediates if intermediates is None else tuple(intermediates)
    lists = pki.crls() if crls is None else tuple(crls)
    return Trust(
        TrustMaterial(
            directory=Directory(generation=1, senders=senders, desks={}),
            anchors=pki.anchors if anchors is None else tuple(anchors),
            intermediates=(*known, *(authority.identity.der for authority in also)),
            crls=(*lists, *(pki.crl(authority) for authority in also)),
            window=WINDOW,
        )
    )


def signed_by(identity: Identity | bytes, signed_at: datetime | None = AT) -> VerifiedSigner:
    """What `mail.cms` says of a signature that holds."""
    return VerifiedSigner(
        certificate=identity if isinstance(identity, bytes) else identity.der,
        signed_at=signed_at,
        digest_algorithm="sha256",
        signature_algorithm="ecdsa-sha256",
    )


def with_weak_signature(identity: Identity, issuer: Identity, weak: hashes.MD5 | hashes.SHA1) -> bytes:
    """The same certificate (DER), signed again by its RSA issuer with a hash that `cryptography` would not write."""
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    certificate = asn1_x509.Certificate.load(identity.der)
    algorithm = {"algorithm": f"{weak.name}_rsa"}
    certificate["tbs_certificate"]["signature"] = algorithm
    certificate["signature_algorithm"] = algorithm
    signed = certificate["tbs_certificate"].dump(force=True)
    certificate["signature_value"] = issuer.key.sign(signed, padding.PKCS1v15(), weak)
    der = bytes(certificate.dump(force=True))
    assert isinstance(x509.load_der_x509_certificate(der).signature_hash_algorithm, type(weak))
    return der
