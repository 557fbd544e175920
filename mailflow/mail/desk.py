"""The other side: how a desk's software makes a request mail and opens an answer. Pure.

Of the service only `mail.recovery` uses it, to read its own answers as the archive. The reference client, the demo, the
tests and the benchmark do.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO

from mailflow.errors import MailflowError
from mailflow.mail import cms, entities, mime
from mailflow.mail.cms import CmsError, DecryptionKey, SigningKey
from mailflow.mail.letter import ENVIRONMENT, PART
from mailflow.mail.mime import MimeError, MimeLimits

LIMITS = MimeLimits(header_bytes_max=65_536, depth_max=8, parts_max=2_100)
"""What a desk takes from the service: an answer has two parts more than the request mail had files."""
PART_BYTES_MAX = 64 * 1024 * 1024


class AnswerRefused(MailflowError):
    """The mail is no answer of the service to us, or was altered on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How a request mail is signed and encrypted."""

    signing_key: SigningKey
    encrypt_to: bytes | None
    """DER of the service's certificate; None: signed only."""
    opaque: bool
    """The content inside the signature, instead of beside it."""
    legacy: bool
    """Encrypted by AES-CBC and RSA v1.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedAnswer:
    """What the service said, with its signature proven."""

    text: str
    environment: str
    """`production` or `ecole`, from what is signed."""
    part: int
    parts: int
    """How many mails the whole answer comes in."""
    files: Mapping[str, bytes] = field(repr=False)
    """By name: the `RET` files and the acknowledgement."""
    in_reply_to: str
    encrypted: bool
    """Else others may have read it: so come announcements about certificates when nothing can be encrypted to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    """All parts of one answer that are at hand."""

    text: str
    environment: str
    files: Mapping[str, bytes] = field(repr=False)
    in_reply_to: str
    encrypted: bool
    """Every part of it was."""
    missing: tuple[int, ...]
    """Numbers of the parts that are not at hand."""


def request_mail(
    files: Sequence[tuple[str, bytes]],
    protection: Protection,
    *,
    sender: str,
    recipient: str,
    message_id: str,
    at: datetime,
    subject: str = "Demandes",
) -> bytes:
    """A complete request mail with these files, signed `at`, then encrypted. Raises CmsError and EntityError."""
    parts = [
        entities.file_part(name, content, "application/x-pem-file" if name.endswith(".pem") else "application/xml")
        for name, content in files
    ]
    content = parts[0] if len(parts) == 1 else entities.mixed(parts, _boundary(message_id, "content"))
    if protection.opaque:
        entity = cms.opaque_signed(content, protection.signing_key, at=at)
    else:
        boundary = _boundary(message_id, "signature")
        entity = cms.multipart_signed(content, protection.signing_key, at=at, boundary=boundary)
    if protection.encrypt_to is not None:
        entity = cms.enveloped_entity(cms.encrypt(entity, [protection.encrypt_to], legacy=protection.legacy))
    headers = [
        ("From", sender),
        ("To", recipient),
        ("Subject", subject),
        ("Date", entities.date(at)),
        ("Message-ID", message_id),
    ]
    return entities.mail(headers, entity)


def open_answer(
    raw: bytes, keys: Sequence[DecryptionKey], service_certificates: Sequence[bytes], at: datetime
) -> OpenedAnswer:
    """Decrypt a mail of the service and prove that it signed it, by one of its published certificates (DER).

    One that is only signed is opened as well. Raises AnswerRefused.
    """
    try:
        outer = mime.read(raw, LIMITS)
        sealed = mime.signed_parts(outer)
        if sealed is None:
            raise AnswerRefused("the mail is neither encrypted nor signed")
        encrypted = sealed.content is None
        signed = mime.signed_parts(mime.read(cms.decrypt(sealed.cms, keys, at=at), LIMITS)) if encrypted else sealed
        if signed is None:
            raise AnswerRefused("the content is not signed")
        verified = cms.verify(signed.cms, signed.content, enrolled=lambda _: service_certificates, at=at)
        if any(signer.certificate not in service_certificates for signer in verified.signers):
            raise AnswerRefused("somebody else signed it")
        content = mime.read(verified.content, LIMITS)
        texts, files = [], {}
        for part in mime.walk(content):
            if part.filename:
                name, octets = _unzipped(part.filename, part.decoded(PART_BYTES_MAX))
                files[name] = octets
            elif not part.is_multipart:
                texts.append(part.decoded(PART_BYTES_MAX).decode("utf-8", "replace"))
    except (CmsError, MimeError) as error:
        raise AnswerRefused(f"{error.code} {error.detail}".strip()) from None
    number, _, of = content.value(PART.lower()).partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise AnswerRefused("the content does not say which part it is")
    return OpenedAnswer(
        text="".join(texts).replace("\r\n", "\n"),
        environment=content.value(ENVIRONMENT.lower()),
        part=int(number),
        parts=int(of),
        files=files,
        in_reply_to=outer.value("in-reply-to"),
        encrypted=encrypted,
    )


def joined(parts: Sequence[OpenedAnswer]) -> WholeAnswer:
    """One answer from its parts, in any order, a part twice included. Raises AnswerRefused when they are of several."""
    first = parts[0]
    if len({(part.in_reply_to, part.environment, part.parts) for part in parts}) > 1:
        raise AnswerRefused("these are not parts of one answer")
    by_number = {part.part: part for part in parts}
    ordered = [by_number[number] for number in sorted(by_number)]
    files: dict[str, bytes] = {}
    for part in ordered:
        for name, content in part.files.items():
            if files.setdefault(name, content) != content:
                raise AnswerRefused("these are not parts of one answer")
    return WholeAnswer(
        text="\n".join(part.text for part in ordered),
        environment=first.environment,
        files=files,
        in_reply_to=first.in_reply_to,
        encrypted=all(part.encrypted for part in parts),
        missing=tuple(number for number in range(1, first.parts + 1) if number not in by_number),
    )


def _unzipped(name: str, octets: bytes) -> tuple[str, bytes]:
    """A file that was too large for a mail comes zipped, under its name and `.zip`."""
    if not name.endswith(".zip"):
        return name, octets
    inner = name.removesuffix(".zip")
    try:
        with zipfile.ZipFile(BytesIO(octets)) as archive, archive.open(inner) as file:
            content = file.read(PART_BYTES_MAX + 1)
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, ValueError, zlib.error) as error:
        raise AnswerRefused("a zip that cannot be read") from error
    if len(content) > PART_BYTES_MAX:
        raise AnswerRefused("a zip that unpacks to more than any answer has")
    return inner, content


def _boundary(message_id: str, part: str) -> str:
    return "=_" + hashlib.sha256(f"{part}:{message_id}".encode()).hexdigest()[:32]
