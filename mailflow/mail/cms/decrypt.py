"""Opening what was encrypted to us. What comes out is proof of nothing: CBC can be altered without a trace.

One error for every failure that depends on a key. Where a content key cannot be had, a random one takes its place,
so that a wrong key and a wrong content fail in the same place and in the same way (RFC 3218, RFC 8017 7.2.2).
"""

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import GCM_NONCE_OCTETS, GCM_TAG_OCTETS_MIN, Scheme, Use, allowed
from mailflow.mail.cms.ber import Malformed, Reader
from mailflow.mail.cms.certificates import identity
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.keys import DecryptionKey
from mailflow.mail.cms.recipients import agreed_key, transported_key
from mailflow.mail.cms.structures import DATA, Enveloped, KeyAgreement, KeyTransport, read_enveloped

_BLOCK_OCTETS = 16


def decrypt(cms: bytes, keys: Sequence[DecryptionKey], *, at: datetime) -> bytes:
    """The content of an EnvelopedData or AuthEnvelopedData that names one of `keys`.

    `at` is the time of reception; it decides which algorithms are permitted. Raises CmsError, with
    `ALGORITHM_REFUSED` and the OID for an algorithm off the table, else `DECRYPTION_FAILED`.
    """
    try:
        enveloped = read_enveloped(cms)
        if enveloped.content_type != DATA:
            raise Malformed("content type")
        cipher = allowed(Use.CONTENT_ENCRYPTION, enveloped.algorithm.oid, at)
        if (cipher.scheme is Scheme.GCM) != (enveloped.authentication is not None):
            raise CmsError(Code.ALGORITHM_REFUSED, "cipher and kind of envelope disagree")
        content_key = _content_key(enveloped, keys, cipher.key_octets, at)
        if cipher.scheme is Scheme.GCM:
            return _open_gcm(enveloped, content_key)
        return _open_cbc(enveloped, content_key)
    except Malformed as error:
        raise CmsError(Code.DECRYPTION_FAILED, str(error)) from None
    except (InvalidTag, ValueError):
        raise CmsError(Code.DECRYPTION_FAILED) from None


def _content_key(enveloped: Enveloped, keys: Sequence[DecryptionKey], octets: int, at: datetime) -> bytes:
    """The content key for the first recipient that is one of ours; a random one where that fails."""
    for recipient in enveloped.recipients:
        for key in keys:
            if not identity(key.certificate).answers_to(recipient.recipient):
                continue
            match recipient, key.private_key:
                case KeyTransport(), rsa.RSAPrivateKey():
                    found = transported_key(recipient, key.private_key, at)
                case KeyAgreement(), ec.EllipticCurvePrivateKey():
                    found = agreed_key(recipient, key.private_key, at)
                case _:
                    continue
            substitute = secrets.token_bytes(octets)
            return found if len(found) == octets else substitute
    raise Malformed("no recipient is ours")


def _open_gcm(enveloped: Enveloped, content_key: bytes) -> bytes:
    """RFC 5084 section 3.2. Nothing is returned before the tag has proved it."""
    tag = enveloped.authentication or b""
    reader = Reader(enveloped.algorithm.parameters)
    parts = reader.children(reader.root(), ber.SEQUENCE)
    if len(parts) not in (1, 2):
        raise Malformed("GCMParameters")
    nonce_octets = reader.value(parts[0], ber.OCTET_STRING)
    tag_length = reader.integer(parts[1]) if len(parts) == 2 else 12
    if len(nonce_octets) != GCM_NONCE_OCTETS or not GCM_TAG_OCTETS_MIN <= tag_length <= _BLOCK_OCTETS:
        raise CmsError(Code.ALGORITHM_REFUSED, "length of GCM nonce or tag")
    if len(tag) != tag_length:
        raise Malformed("GCM tag")
    mode = modes.GCM(nonce_octets, tag, min_tag_length=GCM_TAG_OCTETS_MIN)
    decryptor = Cipher(algorithms.AES(content_key), mode).decryptor()
    decryptor.authenticate_additional_data(enveloped.authenticated_attributes)
    content = decryptor.update(enveloped.ciphertext)
    decryptor.finalize()
    return content


def _open_cbc(enveloped: Enveloped, content_key: bytes) -> bytes:
    reader = Reader(enveloped.algorithm.parameters)
    vector = reader.value(reader.root(), ber.OCTET_STRING)
    decryptor = Cipher(algorithms.AES(content_key), modes.CBC(vector)).decryptor()
    padded = decryptor.update(enveloped.ciphertext)
    decryptor.finalize()
    count = padded[-1] if padded else 0
    if not 1 <= count <= _BLOCK_OCTETS or not hmac.compare_digest(padded[-count:], bytes([count]) * count):
        raise ValueError
    return padded[:-count]
