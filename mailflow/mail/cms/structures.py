"""SignedData, EnvelopedData and AuthEnvelopedData as values (RFC 5652 sections 5 and 6, RFC 5083, RFC 5753).

Reading says nothing about whether anything verifies. Every function raises `Malformed` for what it cannot read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailflow.mail.cms import ber
from mailflow.mail.cms.ber import Element, LimitExceeded, Malformed, Reader

SIGNERS_MAX = 4
CERTIFICATES_MAX = 32
ATTRIBUTES_MAX = 64
RECIPIENTS_MAX = 256

DATA = "1.2.840.113549.1.7.1"


class ContentType(StrEnum):
    """What a ContentInfo holds."""

    SIGNED = "1.2.840.113549.1.7.2"
    ENVELOPED = "1.2.840.113549.1.7.3"
    AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
    OTHER = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmIdentifier:
    oid: str
    parameters: bytes
    """As received; empty when absent."""
    raw: bytes
    """The whole element as received."""

    @property
    def plain(self) -> bool:
        """Without parameters, or with NULL: both are written for the same thing."""
        return self.parameters in (b"", ber.NULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerIdentifier:
    """Names a certificate, of a signer or of a recipient: by issuer and serial number, or by key identifier."""

    issuer: bytes | None
    """DER of the issuer's name, as received."""
    serial: int | None
    subject_key_id: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    signer: SignerIdentifier
    digest: AlgorithmIdentifier
    signed_attributes: bytes | None
    """The received octets under the tag of a SET OF: what the signature covers (RFC 5652 section 5.4)."""
    attributes: Mapping[str, tuple[bytes, ...]]
    """The values of each signed attribute, as received."""
    signature_algorithm: AlgorithmIdentifier
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    content_type: str
    content: bytes | None
    """None when the content is detached."""
    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransport:
    """The content key encrypted with an RSA key."""

    recipient: SignerIdentifier
    algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAgreement:
    """The content key wrapped under a key agreed with an ephemeral one."""

    recipient: SignerIdentifier
    algorithm: AlgorithmIdentifier
    encrypted_key: bytes
    ephemeral_point: bytes
    user_keying_material: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enveloped:
    content_type: str
    recipients: tuple[KeyTransport | KeyAgreement, ...]
    """Recipients of other kinds are left out."""
    algorithm: AlgorithmIdentifier
    ciphertext: bytes
    authentication: bytes | None
    """The authentication code of AuthEnvelopedData; None for EnvelopedData."""
    authenticated_attributes: bytes
    """The received octets under the tag of a SET OF; empty when there are none."""


def read_content_type(cms: bytes) -> ContentType:
    """Of a complete ContentInfo, nothing behind it."""
    return _content_info(Reader(cms))[0]


def read_algorithm(reader: Reader, element: Element) -> AlgorithmIdentifier:
    parts = reader.children(element, ber.SEQUENCE)
    if len(parts) not in (1, 2):
        raise Malformed("AlgorithmIdentifier")
    parameters = reader.raw(parts[1]) if len(parts) == 2 else b""
    return AlgorithmIdentifier(oid=reader.oid(parts[0]), parameters=parameters, raw=reader.raw(element))


def read_signed_data(cms: bytes) -> SignedData:
    reader = Reader(cms)
    kind, element = _content_info(reader)
    if kind is not ContentType.SIGNED:
        raise Malformed("not SignedData")
    fields = _Fields(reader, element)
    fields.take(ber.INTEGER)
    fields.take(ber.SET)
    content_type, content = _encapsulated(reader, fields.take(ber.SEQUENCE))
    bag = fields.take_optional(0xA0)
    fields.take_optional(0xA1)
    signers = reader.children(fields.take(ber.SET), ber.SET)
    fields.finish()
    certificates = reader.children(bag, 0xA0) if bag else []
    if len(signers) > SIGNERS_MAX:
        raise LimitExceeded(f"{len(signers)} signers")
    if len(certificates) > CERTIFICATES_MAX:
        raise LimitExceeded(f"{len(certificates)} certificates")
    return SignedData(
        content_type=content_type,
        content=content,
        # Other kinds than X.509 certificates carry other tags.
        certificates=tuple(reader.raw(c) for c in certificates if c.tag == ber.SEQUENCE),
        signers=tuple(_signer_info(reader, signer) for signer in signers),
    )


def read_enveloped(cms: bytes) -> Enveloped:
    """EnvelopedData or AuthEnvelopedData."""
    reader = Reader(cms)
    kind, element = _content_info(reader)
    if kind not in (ContentType.ENVELOPED, ContentType.AUTH_ENVELOPED):
        raise Malformed("not EnvelopedData")
    fields = _Fields(reader, element)
    fields.take(ber.INTEGER)
    fields.take_optional(0xA0)  # originatorInfo: certificates that we have no use for
    infos = reader.children(fields.take(ber.SET), ber.SET)
    if len(infos) > RECIPIENTS_MAX:
        raise LimitExceeded(f"{len(infos)} recipients")
    encrypted = _Fields(reader, fields.take(ber.SEQUENCE))
    content_type = reader.oid(encrypted.take(ber.OID))
    algorithm = read_algorithm(reader, encrypted.take(ber.SEQUENCE))
    ciphertext = reader.octets(encrypted.take(0x80, 0xA0), 0x80)
    encrypted.finish()
    attributes = fields.take_optional(0xA1)  # unprotected, so ignored, in EnvelopedData
    authentication = None
    if kind is ContentType.AUTH_ENVELOPED:
        authentication = reader.octets(fields.take(ber.OCTET_STRING, 0x24))
        fields.take_optional(0xA2)
    fields.finish()
    return Enveloped(
        content_type=content_type,
        recipients=tuple(r for info in infos for r in _recipient_infos(reader, info)),
        algorithm=algorithm,
        ciphertext=ciphertext,
        authentication=authentication,
        authenticated_attributes=_as_set(reader, attributes) if attributes and authentication else b"",
    )


class _Fields:
    """The fields of a SEQUENCE, taken one after the other."""

    def __init__(self, reader: Reader, element: Element, tag: int = ber.SEQUENCE) -> None:
        self._left = reader.children(element, tag)[::-1]

    def take(self, *tags: int) -> Element:
        if not self._left or self._left[-1].tag not in tags:
            raise Malformed("field missing or out of place")
        return self._left.pop()

    def take_optional(self, tag: int) -> Element | None:
        return self._left.pop() if self._left and self._left[-1].tag == tag else None

    def finish(self) -> None:
        if self._left:
            raise Malformed("more fields than expected")


def _content_info(reader: Reader) -> tuple[ContentType, Element]:
    fields = _Fields(reader, reader.root())
    oid = reader.oid(fields.take(ber.OID))
    content = reader.only_child(fields.take(0xA0), 0xA0)
    fields.finish()
    known = (ContentType.SIGNED, ContentType.ENVELOPED, ContentType.AUTH_ENVELOPED)
    return next((kind for kind in known if kind == oid), ContentType.OTHER), content


def _encapsulated(reader: Reader, element: Element) -> tuple[str, bytes | None]:
    fields = _Fields(reader, element)
    content_type = reader.oid(fields.take(ber.OID))
    explicit = fields.take_optional(0xA0)
    fields.finish()
    return content_type, reader.octets(reader.only_child(explicit, 0xA0)) if explicit else None


def _as_set(reader: Reader, element: Element) -> bytes:
    """The element under the tag of a SET OF. It must be DER, so its length is definite."""
    if reader.data[element.start + 1] == 0x80:
        raise Malformed("attributes of indefinite length")
    return b"\x31" + reader.data[element.start + 1 : element.end]


def _signer_info(reader: Reader, element: Element) -> SignerInfo:
    fields = _Fields(reader, element)
    fields.take(ber.INTEGER)
    signer = _identifier(reader, fields.take(ber.SEQUENCE, 0x80))
    digest = read_algorithm(reader, fields.take(ber.SEQUENCE))
    attributes = fields.take_optional(0xA0)
    signature_algorithm = read_algorithm(reader, fields.take(ber.SEQUENCE))
    signature = reader.octets(fields.take(ber.OCTET_STRING, 0x24))
    fields.take_optional(0xA1)
    fields.finish()
    return SignerInfo(
        signer=signer,
        digest=digest,
        signed_attributes=_as_set(reader, attributes) if attributes else None,
        attributes=_attributes(reader, attributes) if attributes else {},
        signature_algorithm=signature_algorithm,
        signature=signature,
    )


def _attributes(reader: Reader, element: Element) -> dict[str, tuple[bytes, ...]]:
    entries = reader.children(element, 0xA0)
    if len(entries) > ATTRIBUTES_MAX:
        raise LimitExceeded(f"{len(entries)} attributes")
    found: dict[str, tuple[bytes, ...]] = {}
    for entry in entries:
        fields = _Fields(reader, entry)
        oid = reader.oid(fields.take(ber.OID))
        values = reader.children(fields.take(ber.SET), ber.SET)
        fields.finish()
        # An attribute given twice counts as one with all the values, which no reader of a single value accepts.
        found[oid] = found.get(oid, ()) + tuple(reader.raw(value) for value in values)
    return found


def _identifier(reader: Reader, element: Element) -> SignerIdentifier:
    if element.tag == ber.SEQUENCE:
        fields = _Fields(reader, element)
        issuer = reader.raw(fields.take(ber.SEQUENCE))
        serial = reader.integer(fields.take(ber.INTEGER))
        fields.finish()
        return SignerIdentifier(issuer=issuer, serial=serial, subject_key_id=None)
    if element.tag == 0xA0:  # RecipientKeyIdentifier of a key agreement: a date and more may follow
        parts = reader.children(element, 0xA0)
        key_id = reader.octets(parts[0]) if parts else b""
        return SignerIdentifier(issuer=None, serial=None, subject_key_id=key_id)
    return SignerIdentifier(issuer=None, serial=None, subject_key_id=reader.octets(element, 0x80))


def _recipient_infos(reader: Reader, element: Element) -> list[KeyTransport | KeyAgreement]:
    if element.tag == 0xA1:
        return list(_key_agreements(reader, element))
    if element.tag != ber.SEQUENCE:
        return []
    fields = _Fields(reader, element)
    fields.take(ber.INTEGER)
    recipient = _identifier(reader, fields.take(ber.SEQUENCE, 0x80))
    algorithm = read_algorithm(reader, fields.take(ber.SEQUENCE))
    encrypted_key = reader.octets(fields.take(ber.OCTET_STRING, 0x24))
    fields.finish()
    return [KeyTransport(recipient=recipient, algorithm=algorithm, encrypted_key=encrypted_key)]


def _key_agreements(reader: Reader, element: Element) -> list[KeyAgreement]:
    fields = _Fields(reader, element, 0xA1)
    fields.take(ber.INTEGER)
    originator = reader.only_child(fields.take(0xA0), 0xA0)
    material = fields.take_optional(0xA1)
    algorithm = read_algorithm(reader, fields.take(ber.SEQUENCE))
    entries = reader.children(fields.take(ber.SEQUENCE), ber.SEQUENCE)
    fields.finish()
    if len(entries) > RECIPIENTS_MAX:
        raise LimitExceeded(f"{len(entries)} recipients")
    if originator.tag != 0xA1:
        return []  # a static key of the originator, named by its certificate
    key = _Fields(reader, originator, 0xA1)
    key.take(ber.SEQUENCE)
    point = reader.value(key.take(ber.BIT_STRING), ber.BIT_STRING)
    key.finish()
    if point[:1] != b"\0":
        raise Malformed("originator key")
    keying = reader.octets(reader.only_child(material, 0xA1)) if material else None
    return [_key_agreement(reader, entry, algorithm, point[1:], keying) for entry in entries]


def _key_agreement(
    reader: Reader, element: Element, algorithm: AlgorithmIdentifier, point: bytes, keying: bytes | None
) -> KeyAgreement:
    fields = _Fields(reader, element)
    recipient = _identifier(reader, fields.take(ber.SEQUENCE, 0xA0))
    encrypted_key = reader.octets(fields.take(ber.OCTET_STRING, 0x24))
    fields.finish()
    return KeyAgreement(
        recipient=recipient,
        algorithm=algorithm,
        encrypted_key=encrypted_key,
        ephemeral_point=point,
        user_keying_material=keying,
    )
