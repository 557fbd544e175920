"""Mails of a soak that are hostile, or of programs that fail. Small, since they are many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.mails import Batch, message_id_of, protection_of, request_of, sealed
from mailflow.demo.applications import file_name
from mailflow.mail import entities
from tests.hosts.soak.oracle import Fate

DEEP = 2_000
"""Elements in elements."""
LAYERS = 60
"""MIME parts in parts, far more than are read."""
HEADER_LINES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody with a certificate of a good authority who is not enrolled."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to be hostile."""

    fate: Fate
    write: Callable[[Batch, int, Stranger], bytes]


def _headed(batch: Batch, number: int, entity: bytes, *, more: Sequence[tuple[str, str]] = ()) -> bytes:
    headers = [("From", batch.address), ("To", batch.recipient), ("Message-ID", message_id_of(batch, number)), *more]
    return entities.mail(headers, entity)


def _file(batch: Batch, number: int) -> bytes:
    name = file_name(batch.desk, batch.at, number)
    return entities.file_part(name, request_of(batch, number), "application/xml")


def _good(batch: Batch, number: int, *, encrypted: bool = True) -> bytes:
    protection = protection_of(batch.key, batch.certificate, batch.encrypt_to if encrypted else None)
    return sealed(batch, number, request_of(batch, number), protection)


def _carrying(content: bytes) -> Shape:
    """A desk's own mail, with a file that is none."""

    def write(batch: Batch, number: int, _stranger: Stranger) -> bytes:
        return sealed(batch, number, content, protection_of(batch.key, batch.certificate, batch.encrypt_to))

    return Shape(fate=Fate.REFUSED, write=write)


def _unproven(write: Callable[[Batch, int, Stranger], bytes]) -> Shape:
    return Shape(fate=Fate.SILENCE, write=write)


def _by_a_stranger(batch: Batch, number: int, stranger: Stranger) -> bytes:
    protection = protection_of(stranger.key, stranger.certificate, batch.encrypt_to)
    return sealed(batch, number, request_of(batch, number), protection)


def _altered(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    """After it was signed, the file got another name."""
    return _good(batch, number, encrypted=False).replace(b"-%06d.xml" % number, b"-%06d.xml" % (number + 1))


def _cut_off(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    raw = _good(batch, number)
    return raw[: len(raw) * 2 // 3] + b"\r\n"


def _from_another(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    return _good(batch, number).replace(b"From: ", b"From: not-", 1)


def _layers(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    entity = _file(batch, number)
    for layer in range(LAYERS):
        entity = entities.mixed([entity], f"layer-{layer}")
    return _headed(batch, number, entity)


def _huge_header(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    return b"X-Filler: 0123456789012345678901234567890123456789\r\n" * HEADER_LINES + _good(batch, number)


def _two_types(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    return b"Content-Type: text/plain\r\n" + _good(batch, number)


def _automatic(batch: Batch, number: int, _stranger: Stranger) -> bytes:
    return _headed(batch, number, entities.text_part("Absent"), more=[("Auto-Submitted", "auto-replied")])


_BOMB = b'<!DOCTYPE a [<!ENTITY a "%s"><!ENTITY b "%s">]>\n<a>&b;</a>\n' % (b"x" * 100, b"&a;" * 100)

SHAPES: dict[str, Shape] = {
    "not signed": _unproven(lambda batch, number, _: _headed(batch, number, _file(batch, number))),
    "signed by a stranger": _unproven(_by_a_stranger),
    "altered after it was signed": _unproven(_altered),
    "cut off in its envelope": _unproven(_cut_off),
    "another's address": _unproven(_from_another),
    "parts in parts": _unproven(_layers),
    "a huge header": _unproven(_huge_header),
    "two content types": _unproven(_two_types),
    "an automatic reply": _unproven(_automatic),
    "broken XML": _carrying(b"<interfaceNuu><entete></interfaceNuu>"),
    "a DOCTYPE": _carrying(_BOMB),
    "deep XML": _carrying(b"<a>" * DEEP + b"</a>" * DEEP),
    "no XML": _carrying(bytes(range(256)) * 4),
}
