"""The content key as one recipient gets it: transported with RSA, or wrapped under an agreed key."""

from datetime import datetime

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import HASHES, MGF1, Scheme, Use, allowed
from mailflow.mail.cms.ber import Malformed, Reader
from mailflow.mail.cms.structures import AlgorithmIdentifier, KeyAgreement, KeyTransport, read_algorithm

_SHA1 = "1.3.14.3.2.26"
_LABEL = "1.2.840.113549.1.1.9"


def transported_key(recipient: KeyTransport, key: rsa.RSAPrivateKey, at: datetime) -> bytes:
    """Any bytes where the padding is wrong: only the content can tell."""
    scheme = allowed(Use.KEY_TRANSPORT, recipient.algorithm.oid, at).scheme
    how: padding.AsymmetricPadding = padding.PKCS1v15()
    if scheme is Scheme.RSA_OAEP:
        how = _oaep(recipient.algorithm, at)
    try:
        # OpenSSL 3.2 and later answer bad v1.5 padding with a deterministic random text, not with an error.
        return key.decrypt(recipient.encrypted_key, how)
    except ValueError:
        return b""


def _oaep(stated: AlgorithmIdentifier, at: datetime) -> padding.OAEP:
    """RFC 4055 section 4.1; each parameter is SHA-1 or empty when left out."""
    digest = mask = allowed(Use.OAEP_DIGEST, _SHA1, at)
    label = b""
    reader = Reader(stated.parameters)
    for field in reader.children(reader.root(), ber.SEQUENCE):
        algorithm = read_algorithm(reader, reader.only_child(field, field.tag))
        parameters = Reader(algorithm.parameters)
        if field.tag == 0xA0:
            digest = allowed(Use.OAEP_DIGEST, algorithm.oid, at)
        elif field.tag == 0xA1 and algorithm.oid == MGF1:
            mask = allowed(Use.OAEP_DIGEST, read_algorithm(parameters, parameters.root()).oid, at)
        elif field.tag == 0xA2 and algorithm.oid == _LABEL:
            label = parameters.octets(parameters.root())
        else:
            raise Malformed("RSAES-OAEP-params")
    return padding.OAEP(padding.MGF1(HASHES[mask.name]), HASHES[digest.name], label or None)


def agreed_key(recipient: KeyAgreement, key: ec.EllipticCurvePrivateKey, at: datetime) -> bytes:
    """Empty where it does not unwrap (RFC 5753 section 7.2).

    The curve is ours, so a point off it is refused by the library.
    """
    agreement = allowed(Use.KEY_AGREEMENT, recipient.algorithm.oid, at)
    reader = Reader(recipient.algorithm.parameters)
    wrap_algorithm = read_algorithm(reader, reader.root())
    wrap = allowed(Use.KEY_WRAP, wrap_algorithm.oid, at)
    info = shared_info(wrap_algorithm.raw, wrap.key_octets, recipient.user_keying_material)
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, recipient.ephemeral_point)
        secret = key.exchange(ec.ECDH(), point)
        derivation = X963KDF(HASHES[agreement.digest or ""], wrap.key_octets, info)
        return keywrap.aes_key_unwrap(derivation.derive(secret), recipient.encrypted_key)
    except (ValueError, keywrap.InvalidUnwrap):
        return b""


def shared_info(wrap_algorithm: bytes, key_octets: int, user_keying_material: bytes | None) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 section 7.2): both sides derive the wrapping key from it."""
    keying = b""
    if user_keying_material is not None:
        keying = ber.der(0xA0, ber.octet_string(user_keying_material))
    bits = (8 * key_octets).to_bytes(4, "big")
    return ber.sequence(wrap_algorithm, keying, ber.der(0xA2, ber.octet_string(bits)))
