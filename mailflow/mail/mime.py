"""Reading MIME without changing an octet: what a signature covers is cut out of the mail as it came."""

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mailflow.core.anomalies import Code
from mailflow.mail.fields import (
    Fields,
    MimeError,
    addr_spec,
    count_addresses,
    media_type,
    parameters,
    read_fields,
    usable_message_id,
    variants,
)

__all__ = [
    "Entity",
    "MimeError",
    "MimeLimits",
    "SignedParts",
    "canonical",
    "from_address",
    "has_other_recipients",
    "is_cms",
    "message_id",
    "read",
    "signed_parts",
    "walk",
]

HEADER_GLANCED_AT_BYTES_MAX = 64 * 1024
"""Of a mail that is only to be named."""
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
# The line end behind is only looked at: the next delimiter may begin with it.
_DELIMITER_REST = re.compile(rb"(?P<closing>--)?[ \t]*+\r?(?=\n|\Z)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")
_QP_FAULT = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+(?:\r?\n|\Z))|[\x80-\xff]")
_QP_PADDING = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_SINGLE_FIELDS = ("content-type", "content-transfer-encoding", "content-disposition")
_SIGNATURE_TYPES = ("application/pkcs7-signature", "application/x-pkcs7-signature")
_CMS_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SMIME_TYPES = ("", "signed-data", "enveloped-data", "authenveloped-data")


@dataclass(frozen=True, slots=True, kw_only=True)
class MimeLimits:
    """What reading may cost. Each limit is published; beyond it reading ends with `MAIL_LIMITS_EXCEEDED`."""

    header_bytes_max: int
    """Of one header block."""
    depth_max: int
    """Multiparts inside one another; 1 allows one multipart of leaves."""
    parts_max: int
    """Body parts in one multipart, and entities in a whole walk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A mail or a body part: a window on the octets that arrived."""

    raw: bytes = field(repr=False)
    start: int
    body_start: int
    end: int
    fields: Fields = field(repr=False)
    depth: int
    limits: MimeLimits = field(repr=False)

    @property
    def octets(self) -> bytes:
        """The exact octets, header included: of a signed part, what was signed."""
        return self.raw[self.start : self.end]

    @property
    def body(self) -> bytes:
        """The exact octets after the header, still in their transfer encoding."""
        return self.raw[self.body_start : self.end]

    def values(self, name: str) -> tuple[str, ...]:
        """The unfolded values of every field called `name` (lower case), in order."""
        return tuple(value for found, value in self.fields if found == name)

    def value(self, name: str) -> str:
        """The value of the first field called `name` (lower case); empty when there is none."""
        return next((value for found, value in self.fields if found == name), "")

    @property
    def content_type(self) -> str:
        """Type and subtype in lower case; text/plain when not said."""
        return media_type(self.value("content-type"))

    def parameter(self, name: str) -> str:
        """A parameter of Content-Type, RFC 2231 forms included; empty when not there. Raises MimeError."""
        return self._parameters("content-type").get(name, "")

    @property
    def filename(self) -> str:
        """The name that the part claims, empty without one: untrusted, never a path. Raises MimeError."""
        return self._parameters("content-disposition").get("filename", "") or self.parameter("name")

    @property
    def names(self) -> frozenset[str]:
        """Every name that the part claims: more than one where readers may take either. Raises MimeError."""
        disposition, kind = self.value("content-disposition"), self.value("content-type")
        return variants(disposition, "filename") | variants(kind, "name")

    def _parameters(self, name: str) -> Mapping[str, str]:
        return parameters(self.value(name))

    @property
    def is_multipart(self) -> bool:
        """Whether the body is a row of further entities."""
        return self.content_type.startswith("multipart/")

    @property
    def parts(self) -> tuple["Entity", ...]:
        """The body parts of a multipart, none of anything else. Raises MimeError.

        They are read when asked for, so that nothing unverified is taken apart further than it must be.
        """
        return tuple(_parts(self)) if self.is_multipart else ()

    def decoded(self, bytes_max: int) -> bytes:
        """The body without its transfer encoding (RFC 2045 section 6), refused rather than guessed.

        Raises MimeError: `PART_UNREADABLE`, or `MAIL_LIMITS_EXCEEDED` when it exceeds `bytes_max`.
        """
        encoding = self.value("content-transfer-encoding").lower()
        if encoding == "base64":
            content = _from_base64(self.body)
        elif encoding == "quoted-printable":
            content = _from_quoted_printable(self.body)
        elif encoding in ("", "7bit", "8bit", "binary"):
            content = self.body
        else:
            raise MimeError(Code.PART_UNREADABLE, "an unknown transfer encoding")
        if len(content) > bytes_max:
            raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "a part that is too large")
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedParts:
    """What the outermost part offers to `mail.cms`. Nothing is verified yet."""

    cms: bytes = field(repr=False)
    """The CMS structure, decoded: a detached signature, signed data or enveloped data."""
    content: bytes | None = field(repr=False)
    """The exact octets that a detached signature speaks of; None when the content lies inside `cms`."""


def read(raw: bytes, limits: MimeLimits) -> Entity:
    """Read the header of a mail, or of a signed content. Raises MimeError for what is no mail at all."""
    return _entity(raw, 0, len(raw), 0, limits)


def canonical(octets: bytes) -> bytes:
    """`octets` with CRLF where a bare LF stood: the inverse of what a Unix tool does to a mail on its way.

    A signature is tried on the octets as they came, then once on these. A bare CR is content: it stays.
    """
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def walk(entity: Entity) -> Iterator[Entity]:
    """`entity` and every part in it, in order. Mails inside the mail (`message/*`) are leaves, not opened.

    Raises MimeError on the way; the cost is linear in the size, times the depth.
    """
    waiting = [entity]
    seen = 0
    while waiting:
        current = waiting.pop()
        seen += 1
        if seen > entity.limits.parts_max + 1:
            raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "too many parts")
        yield current
        waiting.extend(reversed(current.parts))


def signed_parts(entity: Entity) -> SignedParts | None:
    """What to verify or decrypt when the outermost part is an S/MIME one (RFC 8551 section 3).

    None for anything else: a signature deeper inside says nothing about what stands around it. Raises MimeError
    for what cannot be decoded and for a multipart/signed that is not one content and one signature.
    """
    kind = entity.content_type
    if kind == "multipart/signed":
        if entity.parameter("protocol").lower() not in _SIGNATURE_TYPES:
            return None
        parts = entity.parts
        if len(parts) < 2:
            raise MimeError(Code.NOT_SIGNED, "a multipart/signed without a signature part")
        if len(parts) > 2:
            raise MimeError(Code.CONTENT_DUPLICATED, "a multipart/signed with more than two parts")
        content, signature = parts
        if signature.content_type not in _SIGNATURE_TYPES:
            raise MimeError(Code.SIGNATURE_UNREADABLE, "a multipart/signed whose second part is no signature")
        return SignedParts(cms=signature.decoded(len(entity.raw)), content=content.octets)
    if is_cms(entity):
        return SignedParts(cms=entity.decoded(len(entity.raw)), content=None)
    return None


def is_cms(entity: Entity) -> bool:
    """Whether this is signed or enveloped data, by type or name (RFC 8551 section 3.9). Raises MimeError."""
    if entity.content_type in _CMS_TYPES:
        return entity.parameter("smime-type").lower() in _SMIME_TYPES
    return entity.content_type == "application/octet-stream" and entity.filename.lower().endswith(".p7m")


def from_address(entity: Entity) -> str:
    """The one From address in lower case. Raises MimeError (`MAIL_FROM_AMBIGUOUS`) without just one."""
    fields = entity.values("from")
    if len(fields) != 1:
        raise MimeError(Code.MAIL_FROM_AMBIGUOUS, "several From fields" if fields else "no From field")
    address = addr_spec(fields[0])
    if address is None:
        raise MimeError(Code.MAIL_FROM_AMBIGUOUS, "a From field without exactly one plain address")
    return address


def has_other_recipients(entity: Entity) -> bool:
    """Whether To and Cc name more than one mailbox. Nobody vouches for them: it says nothing of the sender."""
    return sum(count_addresses(value) for name in ("to", "cc") for value in entity.values(name)) > 1


def message_id(entity: Entity) -> str:
    """The Message-ID with its brackets, when our answer can repeat it as it is; else the empty text."""
    fields = entity.values("message-id")
    return usable_message_id(fields[0]) if len(fields) == 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a mail says of itself that nobody has judged yet; empty where it says it not, twice, or unreadably."""

    message_id: str = ""
    """As `message_id` has it."""
    from_address: str = ""
    """As `from_address` has it."""


def glance(raw: bytes) -> Glance:
    """The first look at a mail. Never fails."""
    try:
        end, _ = _header_bounds(raw, 0, len(raw), HEADER_GLANCED_AT_BYTES_MAX)
        fields = read_fields(raw[:end])
    except MimeError:
        return Glance()
    ids, froms = ([value for name, value in fields if name == wanted] for wanted in ("message-id", "from"))
    return Glance(
        message_id=usable_message_id(ids[0]) if len(ids) == 1 else "",
        from_address=(addr_spec(froms[0]) or "") if len(froms) == 1 else "",
    )


def _entity(raw: bytes, start: int, end: int, depth: int, limits: MimeLimits) -> Entity:
    header_end, body_start = _header_bounds(raw, start, end, limits.header_bytes_max)
    fields = read_fields(raw[start:header_end])
    names = [name for name, _ in fields]
    if any(names.count(name) > 1 for name in _SINGLE_FIELDS):
        raise MimeError(Code.MAIL_UNREADABLE, "a Content field that comes twice")
    return Entity(raw=raw, start=start, body_start=body_start, end=end, fields=fields, depth=depth, limits=limits)


def _header_bounds(raw: bytes, start: int, end: int, bytes_max: int) -> tuple[int, int]:
    """Where the header block ends and where the body begins."""
    for line_end in (b"\r\n", b"\n"):
        if raw.startswith(line_end, start, end):
            return start, start + len(line_end)
    found = _HEADER_END.search(raw, start, min(end, start + bytes_max + 4))
    header_end, body_start = found.span() if found else (end, end)
    if header_end - start > bytes_max:
        raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "a header block that is too large")
    return header_end, body_start


def _parts(entity: Entity) -> Iterator[Entity]:
    """Cut a multipart at its delimiter lines (RFC 2046 section 5.1.1).

    The line break before a delimiter belongs to the delimiter. A delimiter is a whole line, blanks at its end
    aside: one that merely begins alike may belong to a part inside. Preamble and epilogue are not seen.
    """
    limits = entity.limits
    if entity.depth >= limits.depth_max:
        raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "parts nested too deeply")
    if entity.value("content-transfer-encoding").lower() not in ("", "7bit", "8bit", "binary"):
        raise MimeError(Code.MAIL_UNREADABLE, "a multipart in a transfer encoding")
    start: int | None = None
    count = 0
    for before, rest in _delimiters(entity):
        if start is not None:
            count += 1
            if count > limits.parts_max:
                raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "too many parts")
            end = before - (1 if entity.raw[before - 1 : before] == b"\r" else 0)
            yield _entity(entity.raw, start, max(start, end), entity.depth + 1, limits)
        if rest["closing"]:
            return
        start = min(rest.end() + 1, entity.end)
    raise MimeError(Code.MAIL_UNREADABLE, "a multipart without its closing delimiter")


def _delimiters(entity: Entity) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Where the line feed before each delimiter is, and what stands behind the boundary."""
    boundary = entity.parameter("boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise MimeError(Code.MAIL_UNREADABLE, "a multipart without a legal boundary")
    # It begins with a line end, so that a body of dashes alone is not compared at each of them.
    mark = b"\n--" + boundary.encode("ascii")
    position = entity.body_start - 1  # the line end of the header begins the first line of the body
    while (before := entity.raw.find(mark, position, entity.end)) >= 0:
        rest = _DELIMITER_REST.match(entity.raw, before + len(mark), entity.end)
        if rest is not None:
            yield before, rest
        position = before + len(mark)


def _from_base64(body: bytes) -> bytes:
    text = body.translate(None, b"\r\n \t")
    if len(text) % 4 or not _BASE64.fullmatch(text):
        raise MimeError(Code.PART_UNREADABLE, "invalid base64")
    return a2b_base64(text)


def _from_quoted_printable(body: bytes) -> bytes:
    if _QP_FAULT.search(body):
        raise MimeError(Code.PART_UNREADABLE, "invalid quoted-printable")
    return a2b_qp(_QP_PADDING.sub(b"", body))
