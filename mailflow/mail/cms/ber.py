"""A bounded reader of BER elements and a small writer of DER: just what CMS needs (ITU-T X.690).

The reader keeps offsets into the received buffer, so that what is hashed is what was received. Each element of
indefinite length is walked once, whatever the nesting, so reading is linear in the number of elements.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from mailflow.errors import MailflowError

ELEMENTS_MAX = 200_000
"""Elements visited in one structure. Streams of 1,000-octet chunks reach it at 100 MB."""
DEPTH_MAX = 24
"""Indefinite lengths inside one another."""
CHUNKS_DEPTH_MAX = 5
"""Chunks of one octet string inside one another, as OpenSSL takes them. Bouncy Castle writes two."""
INTEGER_OCTETS_MAX = 64
OID_OCTETS_MAX = 40

INTEGER, BIT_STRING, OCTET_STRING, OID = 0x02, 0x03, 0x04, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
CONSTRUCTED = 0x20
NULL = b"\x05\x00"


class Malformed(MailflowError):
    """The bytes are not the structure that is expected here."""


class LimitExceeded(Malformed):
    """The structure is larger than anything legitimate."""


class Element(NamedTuple):
    """One tag-length-value, as offsets into the reader's buffer."""

    tag: int
    start: int
    body: int
    body_end: int
    end: int
    """After the end-of-contents octets, when the length is indefinite."""


class Reader:
    """Reads elements of one buffer. Every method raises `Malformed` for what it cannot read."""

    __slots__ = ("_ends", "data", "visited")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.visited = 0
        self._ends: dict[int, int] = {}

    def root(self) -> Element:
        """The one element that fills the whole buffer; bytes behind it are refused."""
        element = self._element(0, len(self.data), 0)
        if element.end != len(self.data):
            raise Malformed("trailing data")
        return element

    def _element(self, start: int, limit: int, depth: int) -> Element:
        self.visited += 1
        if self.visited > ELEMENTS_MAX:
            raise LimitExceeded("too many elements")
        body = start + 2
        if body > limit:
            raise Malformed("truncated")
        tag, length = self.data[start], self.data[start + 1]
        if tag & 0x1F == 0x1F:
            raise Malformed("tag number over 30")
        if length == 0x80:
            end = self._indefinite_end(tag, start, limit, depth)
            return Element(tag, start, body, end - 2, end)
        if length > 0x80:
            size = length & 0x7F
            if size > 4 or body + size > limit:
                raise Malformed("length")
            length = int.from_bytes(self.data[body : body + size], "big")
            body += size
        end = body + length
        if end > limit:
            raise Malformed("longer than its parent")
        return Element(tag, start, body, end, end)

    def _indefinite_end(self, tag: int, start: int, limit: int, depth: int) -> int:
        """Found by walking once, within the limit of that walk.

        It lies within every later limit too: that of the parent, and a parent ends where all inside it have ended.
        """
        if not tag & CONSTRUCTED:
            raise Malformed("primitive of indefinite length")
        end = self._ends.get(start, 0)
        if not end:
            if depth >= DEPTH_MAX:
                raise LimitExceeded("nested too deep")
            position = start + 2
            while True:
                inner = self._element(position, limit, depth + 1)
                position = inner.end
                if inner.tag == 0 and inner.end == inner.start + 2:
                    break
            end = self._ends[start] = position
        return end

    def children(self, parent: Element, tag: int) -> list[Element]:
        """The elements directly inside `parent`, which must carry this tag."""
        if parent.tag != tag:
            raise Malformed(f"tag {parent.tag:#04x} instead of {tag:#04x}")
        if not tag & CONSTRUCTED:
            raise Malformed("primitive has no elements")
        found = []
        position = parent.body
        while position < parent.body_end:
            element = self._element(position, parent.body_end, 0)
            found.append(element)
            position = element.end
        return found

    def only_child(self, parent: Element, tag: int) -> Element:
        """The single element inside `parent`, as in an EXPLICIT tag."""
        found = self.children(parent, tag)
        if len(found) != 1:
            raise Malformed("one element expected")
        return found[0]

    def raw(self, element: Element) -> bytes:
        """The whole element as received."""
        return self.data[element.start : element.end]

    def value(self, element: Element, tag: int) -> bytes:
        """The contents of a primitive element."""
        if element.tag != tag:
            raise Malformed(f"tag {element.tag:#04x} instead of {tag:#04x}")
        return self.data[element.body : element.body_end]

    def octets(self, element: Element, tag: int = OCTET_STRING, depth: int = 0) -> bytes:
        """An octet string in one piece, in chunks, or in chunks of chunks. `tag` is the one of the primitive form."""
        if element.tag != tag | CONSTRUCTED:
            return self.value(element, tag)
        if depth >= CHUNKS_DEPTH_MAX:
            raise LimitExceeded("chunks nested too deep")
        chunks = self.children(element, element.tag)
        return b"".join([self.octets(chunk, depth=depth + 1) for chunk in chunks])

    def integer(self, element: Element) -> int:
        """A signed integer of at most 64 octets."""
        content = self.value(element, INTEGER)
        if not 1 <= len(content) <= INTEGER_OCTETS_MAX:
            raise Malformed("integer")
        return int.from_bytes(content, "big", signed=True)

    def oid(self, element: Element) -> str:
        """An object identifier in dotted form."""
        return _dotted(self.value(element, OID))


@lru_cache(maxsize=512)
def _dotted(content: bytes) -> str:
    if not 1 <= len(content) <= OID_OCTETS_MAX or content[-1] & 0x80:
        raise Malformed("object identifier")
    arcs: list[int] = []
    arc = 0
    for octet in content:
        if arc == 0 and octet == 0x80:
            raise Malformed("object identifier")
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def der(tag: int, *parts: bytes) -> bytes:
    """One element around the joined parts."""
    length = sum(map(len, parts))
    if length < 0x80:
        head = bytes([tag, length])
    else:
        size = (length.bit_length() + 7) // 8
        head = bytes([tag, 0x80 | size]) + length.to_bytes(size, "big")
    return b"".join([head, *parts])


def sequence(*parts: bytes) -> bytes:
    return der(SEQUENCE, *parts)


def set_of(*parts: bytes, tag: int = SET) -> bytes:
    """A SET OF in the order that DER wants; `tag` where it is IMPLICIT."""
    return der(tag, *sorted(parts))


def octet_string(content: bytes) -> bytes:
    return der(OCTET_STRING, content)


def integer(value: int) -> bytes:
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


@lru_cache(maxsize=128)
def oid(dotted: str) -> bytes:
    """An object identifier from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return der(OID, bytes(octets))


def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    """An AlgorithmIdentifier; without parameters when these are empty."""
    return sequence(oid(dotted), parameters)


def time(at: datetime) -> bytes:
    """UTCTime through 2049, GeneralizedTime from 2050 (RFC 5652 section 11.3); whole seconds."""
    utc = at.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return der(UTC_TIME, f"{utc:%y%m%d%H%M%S}Z".encode())
    return der(GENERALIZED_TIME, f"{utc.year:04}{utc:%m%d%H%M%S}Z".encode())
