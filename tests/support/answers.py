"""OCSP answers, right and wrong, as no responder would make them all."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from mailflow.demo.certificates import Identity
from mailflow.demo.pki import DAY, Authority
from tests.support.pki import AT

GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


def ocsp_answer(
    leaf: Identity,
    issuer: Authority,
    status: ocsp.OCSPCertStatus = GOOD,
    *,
    by: Identity | None = None,
    published: datetime = AT - timedelta(hours=1),
    lasts: timedelta | None = DAY,
    nonce: bytes | None = None,
    hashed: hashes.HashAlgorithm | None = None,
) -> bytes:
    """About `leaf`; signed by its issuer, or by another, who sends its certificate along. DER."""
    signer = by or issuer.identity
    revoked = status is REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=leaf.certificate,
            issuer=issuer.identity.certificate,
            algorithm=hashed or hashes.SHA1(),
            cert_status=status,
            this_update=published,
            next_update=None if lasts is None else published + lasts,
            revocation_time=AT - DAY if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    )
    if by is not None:
        builder = builder.certificates([by.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
