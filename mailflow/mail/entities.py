"""Writing MIME that no mail server has a reason to change: seven bits, CRLF, short lines.

Deterministic: the same arguments give the same octets, so boundaries and times are passed in.
"""

import re
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import quote

from mailflow.errors import MailflowError

LINE_OCTETS_MAX = 998
"""RFC 5322 section 2.1.1, without CRLF."""
NAME_OCTETS_MAX = 200
"""Of a file name in UTF-8, so that its escaped form still fits a line."""

_WIDTH = 76
"""Of encoded lines (RFC 2045 sections 6.7 and 6.8) and, where there is a space to fold at, of header lines."""
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+( [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_QUOTED = re.compile(r'["\\]')
_SAFE = b"\t" + bytes(range(0x20, 0x7F))
_ESCAPED = re.compile(rb"[^\t\x20-\x3c\x3e-\x7e]|[ \t]\Z|\A\.|\AF(?=rom )")
_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+(?:; [a-z-]+=[A-Za-z0-9.+-]+)*")
_ENCODED_WORD_OCTETS = 36
"""Of text in one encoded word: 60 characters when encoded, so that it fits a line of 76 (RFC 2047 section 2)."""


class EntityError(MailflowError):
    """What was to be written cannot be written safely. A fault of the caller, or of data it should have checked."""


def text_part(text: str) -> bytes:
    """A text/plain entity in UTF-8, quoted-printable; the text ends with a line end whether it had one or not."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    body = b"".join(_quoted_printable(line.encode("utf-8")) for line in lines)
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + body


def file_part(name: str, content: bytes, content_type: str) -> bytes:
    """An attachment in base64. `content_type` is type/subtype, with further parameters if need be.

    The name is put in plain when it is ASCII, else in the form of RFC 2231. Raises EntityError for a name with
    control characters or too long, and for a content type that is none.
    """
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise EntityError("not a content type that can be written")
    return (
        f"Content-Type: {content_type};\r\n {_name_parameter('name', name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_name_parameter('filename', name)}\r\n\r\n"
    ).encode("ascii") + _base64_lines(content)


def mixed(parts: Sequence[bytes], boundary: str, *, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A multipart/mixed of `parts`, whole entities that are kept octet for octet; `headers` as `mail` takes them.

    The line end before each delimiter is written here and belongs to the delimiter. Raises EntityError for a
    boundary that is not legal or that stands in a part, and for a header as `mail` does.
    """
    dashed = b"--" + boundary.encode("ascii", "replace")
    if not _BOUNDARY.fullmatch(boundary):
        raise EntityError("not a boundary that can be written")
    if any(dashed in part for part in parts):
        raise EntityError("the boundary stands in a part")
    fields = "".join(_header(name, value) for name, value in headers)
    head = f'{fields}Content-Type: multipart/mixed;\r\n boundary="{boundary}"\r\n\r\n'.encode("ascii")
    return head + b"".join(dashed + b"\r\n" + part + b"\r\n" for part in parts) + dashed + b"--\r\n"


class Address(NamedTuple):
    """A value of From: an address with the name of who writes from there (RFC 5322 section 3.4)."""

    name: str
    address: str

    def words(self) -> Iterator[str]:
        """The name as atoms, as a quoted string when it holds what means something there, or as encoded words."""
        if not self.name.isascii() or "=?" in self.name:
            yield from _encoded(self.name)
        elif _ATOMS.fullmatch(self.name):
            yield from self.name.split(" ")
        else:
            quoted = _QUOTED.sub(r"\\\g<0>", self.name)
            yield from f'"{quoted}"'.split(" ")
        yield f"<{self.address}>"

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>"


def mail(headers: Sequence[tuple[str, str | Address]], entity: bytes) -> bytes:
    """The complete mail: `headers` in order, MIME-Version, then `entity` with its own Content fields.

    Words that are not ASCII become encoded words (RFC 2047). Raises EntityError for a name that is none, for a
    value with control characters (so nothing can be injected) or nothing in it, and for an entity that SMTP
    would change: eight bits, bare CR or LF, long lines, no line end at the end.
    """
    if not entity.endswith(b"\r\n"):
        raise EntityError("an entity that does not end with a line end")
    head = "".join(_header(name, value) for name, value in headers)
    raw = f"{head}MIME-Version: 1.0\r\n".encode("ascii") + entity
    if not _passes_smtp(raw):
        raise EntityError("octets or lines that do not pass through SMTP unchanged")
    return raw


def _passes_smtp(raw: bytes) -> bool:
    lines = raw.split(b"\r\n")
    return not b"".join(lines).translate(None, _SAFE) and max(map(len, lines)) <= LINE_OCTETS_MAX


def date(at: datetime) -> str:
    """The value of a Date field (RFC 5322 section 3.3). Raises EntityError for a time without zone."""
    if at.utcoffset() is None:
        raise EntityError("a time without zone")
    return format_datetime(at)


def _header(name: str, value: str | Address) -> str:
    if not _FIELD_NAME.fullmatch(name) or name.lower().startswith("content-"):
        raise EntityError("not a header name that can be written")
    text = str(value)
    if _CONTROL.search(text) or not text or text != text.strip():
        raise EntityError("not a header value that can be written")
    words = value.words() if isinstance(value, Address) else _encoded_words(value)
    return _folded(f"{name}:", words) + "\r\n"


def _folded(head: str, words: Iterator[str]) -> str:
    """The line, folded before a word where it would become too wide (RFC 5322 section 2.2.3)."""
    lines = [head]
    for word in words:
        if word and len(lines[-1]) + 1 + len(word) > _WIDTH and lines[-1] != head:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _encoded_words(value: str) -> Iterator[str]:
    """The words of `value`; runs of those that are not ASCII, the spaces between them included, encoded."""
    run: list[str] = []
    for word in value.split(" "):
        if word.isascii() and not word.startswith("=?"):
            yield from _encoded(" ".join(run))
            run = []
            yield word
        else:
            run.append(word)
    yield from _encoded(" ".join(run))


def _encoded(text: str) -> Iterator[str]:
    chunk = b""
    for character in text:
        octets = character.encode("utf-8")
        if len(chunk) + len(octets) > _ENCODED_WORD_OCTETS:
            yield f"=?utf-8?B?{b64encode(chunk).decode('ascii')}?="
            chunk = b""
        chunk += octets
    if chunk:
        yield f"=?utf-8?B?{b64encode(chunk).decode('ascii')}?="


def _name_parameter(parameter: str, name: str) -> str:
    octets = name.encode("utf-8", "replace")
    if not name or _CONTROL.search(name) or len(octets) > NAME_OCTETS_MAX:
        raise EntityError("not a file name that can be written")
    if name.isascii():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'{parameter}="{escaped}"'
    return f"{parameter}*=utf-8''{quote(octets, safe='')}"


def _base64_lines(content: bytes) -> bytes:
    text = b2a_base64(content, newline=False)
    return b"\r\n".join(text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)) + b"\r\n"


def _quoted_printable(line: bytes) -> bytes:
    """One line, encoded and broken. Also escaped is what programs on the way are known to change: blanks at
    the end, a leading dot, a leading `From `."""
    rest = _ESCAPED.sub(lambda found: b"=%02X" % ord(found[0]), line)
    written: list[bytes] = []
    while len(rest) >= _WIDTH:
        cut = _WIDTH - 1
        escape = rest.find(b"=", cut - 2, cut)
        if escape >= 0:
            cut = escape  # no escape is torn apart
        written.append(rest[:cut])
        rest = rest[cut:]
    return b"=\r\n".join([*written, rest]) + b"\r\n"
