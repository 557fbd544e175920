"""Signed and encrypted structures (CMS, RFC 5652): prove, open, sign, encrypt. Pure, but for the randomness of keys."""

from mailflow.core.anomalies import Code
from mailflow.mail.cms.algorithms import algorithm_table
from mailflow.mail.cms.ber import Malformed
from mailflow.mail.cms.decrypt import decrypt
from mailflow.mail.cms.encrypt import encrypt
from mailflow.mail.cms.entities import enveloped_entity, multipart_signed, opaque_signed
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.keys import (
    DecryptionKey,
    KeyPair,
    KeySource,
    PemKey,
    ServiceKeys,
    SigningKey,
    SigningPrivateKey,
    load_decryption_key,
    load_signing_key,
    open_decryption_key,
    open_signing_key,
)
from mailflow.mail.cms.sign import sign
from mailflow.mail.cms.structures import ContentType, SignerIdentifier, read_content_type
from mailflow.mail.cms.verify import Enrolled, verify, verify_attributes

__all__ = [
    "CmsError",
    "ContentType",
    "DecryptionKey",
    "Enrolled",
    "KeyPair",
    "KeySource",
    "PemKey",
    "ServiceKeys",
    "SignerIdentifier",
    "SigningKey",
    "SigningPrivateKey",
    "algorithm_table",
    "content_type",
    "decrypt",
    "encrypt",
    "enveloped_entity",
    "load_decryption_key",
    "load_signing_key",
    "multipart_signed",
    "opaque_signed",
    "open_decryption_key",
    "open_signing_key",
    "sign",
    "verify",
    "verify_attributes",
]


def content_type(cms: bytes) -> ContentType:
    """What kind of structure this is, for checks of layering. Raises CmsError `SIGNATURE_UNREADABLE`."""
    try:
        return read_content_type(cms)
    except Malformed as error:
        raise CmsError(Code.SIGNATURE_UNREADABLE, str(error)) from None
