"""What a verified content holds: request files, zips of them, and the certificate to answer to.

Everything here speaks of octets that a proven sender signed. So nothing is raised: each fault is an anomaly,
which the sender is told.
"""

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from enum import Enum
from io import BytesIO

from mailflow.core.anomalies import Anomaly, Code
from mailflow.mail.mime import Entity, MimeError, MimeLimits, is_cms, read, walk

NAME_CHARACTERS_MAX = 128
"""Longer names are cut: none that is legal comes near."""

_ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
_XML_TYPES = ("application/xml", "text/xml")
_LAYER_TYPES = ("multipart/signed", "multipart/encrypted")
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The two that Python unpacks in bounded steps."""
_ZIP_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flags of traditional and strong encryption and of a masked directory (APPNOTE section 4.4.4)."""
_ZIP_DIRECTORY_ENTRY = b"PK\x01\x02"
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises for bytes that are no sound zip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLimits:
    """What a verified content may hold; all published, all answered by name."""

    mime: MimeLimits
    files_max: int
    """Request files in a mail, those in zips included."""
    zip_bytes_max: int
    """Of all that the zips of a mail hold, unpacked."""
    zip_file_bytes_max: int
    """Of one file in a zip, unpacked."""
    zip_ratio_max: int
    """Unpacked bytes of a zip for each of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBytes:
    """A request file as it was sent."""

    name: str
    """What the sender called it, right or wrong; never to be used as a path."""
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was found. Files beside a faulty part are still returned: each has its own outcome."""

    files: tuple[NamedBytes, ...]
    certificate: bytes | None = field(repr=False)
    """The `CER*.pem` as it was sent, unchecked; None without one, or with several."""
    successor: bytes | None = field(default=None, repr=False)
    """The `NCE*.pem`, likewise."""
    anomalies: tuple[Anomaly, ...]
    """Of the mail as a whole, in the order found."""


def read_contents(content: bytes, limits: ContentLimits) -> Contents:
    """Take `content`, the exact octets that were signed, apart (interface guide, section 1).

    Parts are known by their names: `DEM*.xml`, `GES*.xml`, `CER*.pem`, `NCE*.pem`, zips. Whatever else is XML or calls
    itself DEM is returned as a file too, so that its name can be answered. All other parts are for people.
    A part whose names differ, so that readers would take it for different things, is refused.
    A fault of the whole (layers, limits, unreadable MIME) leaves no files.
    """
    sorting = _Sorting(limits)
    try:
        for part in walk(read(content, limits.mime)):
            if part.content_type in _LAYER_TYPES or is_cms(part):
                raise MimeError(Code.LAYERING_REFUSED, "a signed or encrypted part inside the signed content")
            if not part.is_multipart:
                sorting.take(part)
    except MimeError as error:
        return Contents(files=(), certificate=None, anomalies=(Anomaly(code=error.code),))
    return sorting.contents()


class _Sorting:
    """The parts of one content, as they are sorted."""

    def __init__(self, limits: ContentLimits) -> None:
        self._limits = limits
        self._files: list[NamedBytes] = []
        self._certificates: list[bytes] = []
        self._successors: list[bytes] = []
        self._codes: list[Code] = []
        self._zip_bytes_left = limits.zip_bytes_max

    def take(self, part: Entity) -> None:
        """Sort one leaf. Raises MimeError only for what makes the rest of the mail pointless."""
        try:
            kinds = {_kind(name, part.content_type) for name in part.names or {""}}
            if len(kinds) > 1:
                raise MimeError(Code.PART_NAME_AMBIGUOUS, "a part with several names")
            match kinds.pop():
                case Kind.FILE, name:
                    self._files.append(_named(name, part.decoded(len(part.raw))))
                case Kind.ZIP, _:
                    self._files.extend(self._unzipped(part.decoded(len(part.raw))))
                case Kind.CERTIFICATE, _:
                    self._certificates.append(part.decoded(len(part.raw)))
                case Kind.SUCCESSOR, _:
                    self._successors.append(part.decoded(len(part.raw)))
        except MimeError as error:
            self._codes.append(error.code)
        if len(self._files) > self._limits.files_max:
            raise MimeError(Code.MAIL_TOO_MANY_REQUESTS, "more request files than allowed")

    def contents(self) -> Contents:
        """All that was sorted."""
        codes = list(dict.fromkeys(self._codes))
        if len(self._certificates) > 1 or len(self._successors) > 1:
            codes.append(Code.MAIL_SEVERAL_CERTIFICATES)
        if not self._files and not self._successors and not codes:
            codes.append(Code.MAIL_WITHOUT_REQUEST)
        return Contents(
            files=tuple(self._files),
            certificate=self._certificates[0] if len(self._certificates) == 1 else None,
            successor=self._successors[0] if len(self._successors) == 1 else None,
            anomalies=tuple(Anomaly(code=code) for code in codes),
        )

    def _unzipped(self, octets: bytes) -> list[NamedBytes]:
        """All files of a zip, or MimeError: a zip is taken whole or not at all."""
        # Every entry of the directory begins so: counted before `zipfile` makes an object of each.
        if octets.count(_ZIP_DIRECTORY_ENTRY) > self._limits.files_max:
            raise MimeError(Code.ZIP_TOO_LARGE, "a zip with more entries than allowed")
        bytes_left = min(self._zip_bytes_left, self._limits.zip_ratio_max * len(octets))
        files: list[NamedBytes] = []
        try:
            with zipfile.ZipFile(BytesIO(octets)) as archive:
                entries = archive.infolist()
                if len({entry.header_offset for entry in entries}) < len(entries):
                    raise MimeError(Code.ZIP_REFUSED, "zip entries that share their octets")
                for entry in entries:
                    _check_entry(entry)
                    content = _unpack(archive, entry, min(bytes_left, self._limits.zip_file_bytes_max))
                    bytes_left -= len(content)
                    self._zip_bytes_left -= len(content)
                    files.append(_named(entry.filename, content))
        except _ZIP_FAULTS as fault:
            raise MimeError(Code.PART_UNREADABLE, "a zip that cannot be read") from fault
        return files


class Kind(Enum):
    """What a part is taken for."""

    FILE = "request or question"
    ZIP = "zip"
    CERTIFICATE = "certificate"
    SUCCESSOR = "new certificate"
    OTHER = "for people"


def _kind(name: str, content_type: str) -> tuple[Kind, str]:
    """What a part of that name is; with the name, where that counts."""
    if _looks_like_request(name, content_type):
        return Kind.FILE, name
    if name.lower().endswith(".zip") or content_type in _ZIP_TYPES:
        return Kind.ZIP, ""
    if name.startswith("CER") and name.endswith(".pem"):
        return Kind.CERTIFICATE, ""
    if name.startswith("NCE") and name.endswith(".pem"):
        return Kind.SUCCESSOR, ""
    return Kind.OTHER, ""


def _looks_like_request(name: str, content_type: str) -> bool:
    """Whether the sender may have meant a request file, be it wrongly named."""
    if name.lower().endswith(".zip"):
        return False
    return name.lower().endswith(".xml") or name.startswith("DEM") or content_type in _XML_TYPES


def _named(name: str, content: bytes) -> NamedBytes:
    """A file whose name is safe to show. What is replaced or cut was not legal before."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return NamedBytes(name=shown[:NAME_CHARACTERS_MAX], content=content)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Refuse what only a zip meant to surprise has: paths, links, other files, encryption, rare methods."""
    name = entry.filename
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if (
        name != entry.orig_filename
        or any(mark in name for mark in "/\\:\0")
        or not _looks_like_request(name, "")
        or mode not in (0, stat.S_IFREG)
        or entry.flag_bits & _ZIP_ENCRYPTED
        or entry.compress_type not in _ZIP_METHODS
    ):
        raise MimeError(Code.ZIP_REFUSED, "a zip entry that is not allowed")


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, bytes_max: int) -> bytes:
    """The content of one entry. What counts is what comes out, not what the directory says of it."""
    with archive.open(entry) as stream:
        content = stream.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise MimeError(Code.ZIP_TOO_LARGE, "a zip that unpacks to more than allowed")
    return content
