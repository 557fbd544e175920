"""How a mail is built, layer by layer, without what it says: headers, MIME tree, signatures, encryption. Pure.

By an allow-list: of headers their names, if they are among those that mail programs write, and how long they are; of
values only what is a word of MIME; of file names only those of the interface. Everything else has a size at most.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mailflow.mail import attachments, cms, mime
from mailflow.mail.attachments import Contents
from mailflow.mail.cms import facts
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.fields import addr_spec, count_addresses, parameters
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.mime import Entity, MimeError
from mailflow.wire.names import FileNameError, parse_name

Facts = dict[str, Any]

_HEADERS = """
from to cc bcc sender reply-to date subject message-id in-reply-to references mime-version content-type
content-transfer-encoding content-disposition content-description content-language content-id received return-path
delivered-to authentication-results dkim-signature arc-seal arc-message-signature arc-authentication-results
received-spf auto-submitted precedence x-auto-response-suppress x-mailer user-agent x-priority importance priority
list-id list-unsubscribe disposition-notification-to x-spam-status x-spam-flag x-virus-scanned x-originating-ip
thread-index thread-topic x-ms-has-attach
"""
_WORDS = """
text/plain text/html text/xml application/xml application/zip application/x-zip-compressed application/octet-stream
application/pdf application/pkcs7-signature application/x-pkcs7-signature application/pkcs7-mime
application/x-pkcs7-mime application/x-pem-file application/pgp-encrypted application/x-x509-ca-cert multipart/mixed
multipart/alternative multipart/related multipart/signed multipart/encrypted multipart/report message/rfc822
message/delivery-status image/png image/jpeg image/gif
signed-data enveloped-data authenveloped-data certs-only compressed-data smime.p7s smime.p7m
utf-8 us-ascii iso-8859-1 iso-8859-15 windows-1252 base64 quoted-printable 7bit 8bit binary attachment inline
sha-1 sha1 sha-256 sha256 sha-384 sha384 sha-512 sha512
1.0 auto-generated auto-replied auto-notified no bulk list junk flowed yes
"""
HEADERS = frozenset(_HEADERS.split())
"""Names that are told; another one may be anything."""
WORDS = frozenset(_WORDS.split())
"""Values of structured fields that are told."""
PARAMETERS = ("charset", "protocol", "micalg", "smime-type", "format", "delsp")
VALUES = ("mime-version", "content-transfer-encoding", "auto-submitted", "precedence")
OTHER = "other"
"""What is not in the lists."""
LAYERS_MAX = 2
"""The mail, and what was encrypted in it; what is signed in either comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A mail taken apart, as far as that goes."""

    layers: tuple[Facts, ...]
    """From the outside in; the last one says why it could not be opened further, if so."""
    contents: Contents | None
    """Of the innermost layer, proven or not; None when it was not reached."""


def take_apart(mail: Unjudged, judge: Judge) -> Apart:
    """What the judge opens, opened without asking who sent it."""
    layers: list[Facts] = []
    octets, name = mail.raw, "mail"
    try:
        for _ in range(LAYERS_MAX):
            layers.append(_layer(octets, name))
            entity = mime.read(octets, judge.limits.mime)
            layers[-1] |= {"headers": list(headers(entity)), "parts": list(tree(entity))}
            parts = mime.signed_parts(entity)
            if parts is None:
                break
            layers[-1]["cms"] = facts.structure(parts.cms)
            content = parts.content if parts.content is not None else facts.content_of(parts.cms)
            if content is not None:
                layers.append(_layer(content, "signed content"))
                layers[-1]["parts"] = list(tree(mime.read(content, judge.limits.mime)))
                contents = attachments.read_contents(content, judge.limits.contents)
                layers[-1]["anomalies"] = [anomaly.code.value for anomaly in contents.anomalies]
                return Apart(layers=tuple(layers), contents=contents)
            octets, name = cms.decrypt(parts.cms, judge.keys, at=mail.received_at), "decrypted"
    except (MimeError, CmsError) as error:
        layers[-1]["refused"] = {"code": error.code.value, "detail": error.detail}
    return Apart(layers=tuple(layers), contents=None)


def _layer(octets: bytes, name: str) -> Facts:
    digest = hashlib.sha256(octets).hexdigest()
    return {"layer": name, "octets": len(octets), "sha256": digest, **line_ends(octets)}


def line_ends(octets: bytes) -> Facts:
    """How its lines end, which a signature depends on."""
    crlf = octets.count(b"\r\n")
    return {"lines": {"crlf": crlf, "lf": octets.count(b"\n") - crlf, "cr": octets.count(b"\r") - crlf}}


def headers(entity: Entity) -> Iterator[Facts]:
    """The fields in their order."""
    for name, value in entity.fields:
        told: Facts = {"name": name if name in HEADERS else OTHER, "characters": len(value)}
        if name in ("from", "to", "cc", "reply-to"):
            told |= {"addresses": count_addresses(value), "plain": addr_spec(value) is not None}
        elif name in VALUES:
            told["value"] = _word(value)
        elif name == "message-id":
            told["usable"] = bool(mime.message_id(entity))
        elif name in ("content-type", "content-disposition"):
            told |= _structured(value)
        yield told


def _structured(value: str) -> Facts:
    told: Facts = {"value": _word(value.partition(";")[0])}
    try:
        given = parameters(value)
    except MimeError as error:
        return told | {"refused": error.detail}
    told["parameters"] = {name: _parameter(name, said) for name, said in given.items() if name in _NAMED}
    return told


_NAMED = (*PARAMETERS, "boundary", "name", "filename")


def _parameter(name: str, said: str) -> str:
    if name in PARAMETERS:
        return _word(said)
    return file_name(said) if name in ("name", "filename") else f"{len(said)} characters"


def _word(value: str) -> str:
    word = value.strip().strip('"').lower()
    return word if word in WORDS else OTHER


def file_name(name: str) -> str:
    """A name of the interface, or one that mail programs give to signatures; of another one how long it is."""
    try:
        return str(parse_name(name))
    except FileNameError:
        return name if name in WORDS else f"{len(name)} characters, not of the interface"


def tree(entity: Entity) -> Iterator[Facts]:
    """Every part, with its place: `1.2` is the second part of the first one."""
    yield from _tree(entity, "")


def _tree(entity: Entity, place: str) -> Iterator[Facts]:
    part: Facts = {
        "place": place or "0",
        "type": _word(entity.content_type),
        "encoding": _word(entity.value("content-transfer-encoding") or "7bit"),
        "octets": len(entity.octets),
        "body_octets": len(entity.body),
    }
    parts: Sequence[Entity] = ()
    try:
        part["names"] = sorted(map(file_name, entity.names))
        parts = entity.parts
    except MimeError as error:
        part["refused"] = error.detail
    yield part
    for number, one in enumerate(parts, 1):
        yield from _tree(one, f"{place}.{number}".lstrip("."))
