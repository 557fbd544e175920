"""The header fields of an entity: how a block divides into fields, and what their values say.

Written anew rather than taken from the standard library: its modern policy can be made to run for minutes,
its old one passes over what it cannot read, and here whatever could be read in two ways is refused.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from mailflow.core.anomalies import Code
from mailflow.errors import MailflowError

Fields = tuple[tuple[str, str], ...]
"""Name in lower case and unfolded value, in order. Octets that are not UTF-8 show as U+FFFD."""

_NAME = re.compile(rb"[!-9;-~]+")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`{|}~0-9a-z-]+/[!#$%&'*+.^_`{|}~0-9a-z-]+")
_PARAMETER = re.compile(
    r';\s*(?:(?P<name>[^\s=;"]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]++|\\.)*+)"\s*|(?P<bare>[^;"]*))|(?P<junk>[^;"]*))(?=;|\Z)',
    re.DOTALL,
)
_SECTION = re.compile(r"(?P<base>[^*]+)(?:\*(?P<index>0|[1-9][0-9]?))?(?P<encoded>\*)?")
_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDR_SPEC = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>{_LABEL}(?:\.{_LABEL})*)")
_MESSAGE_ID = re.compile(rf"<{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9._:\[\]-]+>")

ADDRESS_CHARACTERS_MAX = 254
"""RFC 5321 section 4.5.3.1.3, without the angle brackets; 64 of them for the local part."""
MESSAGE_ID_CHARACTERS_MAX = 250
"""So that our In-Reply-To stays well under the 998 octets of a line (RFC 5322 section 2.1.1)."""
ADDRESS_FIELD_CHARACTERS_MAX = 998
STRUCTURED_CHARACTERS_MAX = 4096
"""Of a value with parameters: a file name of 255 octets, all of them escaped, takes 765."""


class MimeError(MailflowError):
    """A mail, or a part of one, that cannot be read or exceeds a limit."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        """What the catalogue calls it."""
        self.detail = detail
        """For the operator: names the construct, never its content."""

    def __str__(self) -> str:
        return f"{self.code.value}: {self.detail}"


def read_fields(block: bytes) -> Fields:
    """The fields of a header block (RFC 5322 section 2.2), which comes without the empty line that ends it.

    Raises MimeError for a line that is no field, and for bare CR and NUL, which readers take differently.
    """
    unfolded: list[tuple[str, list[bytes]]] = []
    for line in block.removesuffix(b"\n").split(b"\n") if block else ():
        text = line.removesuffix(b"\r")
        if b"\r" in text or b"\0" in text:
            raise MimeError(Code.MAIL_UNREADABLE, "bare CR or NUL in a header")
        if text[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1][1].append(text)
            continue
        name, colon, value = text.partition(b":")
        name = name.rstrip(b" \t")
        if not colon or not _NAME.fullmatch(name):
            raise MimeError(Code.MAIL_UNREADABLE, "a header line that is no field")
        unfolded.append((name.decode("ascii").lower(), [value]))
    return tuple((name, b"".join(pieces).decode("utf-8", "replace").strip()) for name, pieces in unfolded)


def media_type(value: str) -> str:
    """Type and subtype in lower case; text/plain where none can be read (RFC 2045 section 5.2)."""
    found = value.partition(";")[0].strip().lower()
    return found if _MEDIA_TYPE.fullmatch(found) else "text/plain"


def parameters(value: str) -> Mapping[str, str]:
    """The parameters of a structured value (RFC 2045 section 5.1), those of RFC 2231 joined and decoded.

    Names are in lower case. Raises MimeError where a name comes twice, quotes do not close, or the
    value exceeds `STRUCTURED_CHARACTERS_MAX`.
    """
    plain, joined = _both(value)
    return plain | joined


def variants(value: str, name: str) -> frozenset[str]:
    """What a parameter says in its plain form and in that of RFC 2231: two readers may take either.

    Raises MimeError as `parameters` does.
    """
    return frozenset(found[name] for found in _both(value) if found.get(name))


def _both(value: str) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters in plain form, and those of RFC 2231."""
    if len(value) > STRUCTURED_CHARACTERS_MAX:
        raise MimeError(Code.MAIL_LIMITS_EXCEEDED, "a header value with too many parameters")
    position = value.find(";")
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    while 0 <= position < len(value):
        match = _PARAMETER.match(value, position)
        if match is None:
            raise MimeError(Code.MAIL_UNREADABLE, "parameters that cannot be read")
        position = match.end()
        if match["name"] is None:
            continue
        quoted = match["quoted"]
        text = match["bare"].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        _place(match["name"].lower(), text, plain, sections)
    return plain, {name: _joined(found) for name, found in sections.items()}


def _place(name: str, text: str, plain: dict[str, str], sections: dict[str, dict[int, tuple[str, bool]]]) -> None:
    """Put one parameter where it belongs: `name`, or a section of it (`name*`, `name*0`, `name*0*`)."""
    section = _SECTION.fullmatch(name)
    if section is None:
        raise MimeError(Code.MAIL_UNREADABLE, "a parameter name that cannot be read")
    if section["index"] is None and section["encoded"] is None:
        taken = name in plain
        plain[name] = text
    else:
        found = sections.setdefault(section["base"], {})
        index = int(section["index"] or 0)
        taken = index in found
        found[index] = (text, section["encoded"] is not None)
    if taken:
        raise MimeError(Code.MAIL_UNREADABLE, "a parameter that comes twice")


def _joined(sections: Mapping[int, tuple[str, bool]]) -> str:
    """RFC 2231 sections 3 and 4; the empty text where a section is missing or the charset is unknown."""
    if sorted(sections) != list(range(len(sections))):
        return ""
    charset = "utf-8"
    octets = b""
    for index in range(len(sections)):
        text, encoded = sections[index]
        if encoded and index == 0:
            charset, _, rest = text.partition("'")
            _, second, text = rest.partition("'")
            charset = charset.lower() or "us-ascii"
            if not second or charset not in _CHARSETS:
                return ""
        octets += unquote_to_bytes(text) if encoded else text.encode("utf-8", "replace")
    return octets.decode(charset, "replace")


def addr_spec(value: str) -> str | None:
    """The one address of a From value in lower case; None unless there is exactly one, plainly written.

    Read are `a@b` and `phrase <a@b>` with comments around (RFC 5322 section 3.4). What mail programs read in
    different ways is not read at all: groups, routes, lists, quoted local parts, domain literals, encoded words
    or anything but ASCII inside the address. The phrase is never looked into.
    """
    if len(value) > ADDRESS_FIELD_CHARACTERS_MAX:
        return None
    bare = _without_comments(value)
    if bare is None or any(mark in bare for mark in ",;:\\"):
        return None
    phrase, opening, rest = bare.partition("<")
    if opening:
        address, closing, after = rest.partition(">")
        if not closing or after.strip() or "@" in phrase or ">" in phrase:
            return None
    else:
        address = phrase
    return plain_address(address.strip())


def plain_address(text: str) -> str | None:
    """`text` in lower case if it is one addr-spec of ASCII dot-atoms, within the lengths of RFC 5321."""
    if len(text) > ADDRESS_CHARACTERS_MAX:
        return None
    match = _ADDR_SPEC.fullmatch(text)
    if match is None or len(match["local"]) > 64 or "=?" in match["local"]:
        return None
    return text.lower()


def _without_comments(value: str) -> str | None:
    """`value` with a space for each comment and a mark for each quoted string; None when one stays open."""
    kept: list[str] = []
    depth = 0
    quoted = escaped = False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = character != '"'
        elif character == "(":
            depth += 1
            kept.append(" ")
        elif character == ")" and depth:
            depth -= 1
        elif not depth:
            quoted = character == '"'
            kept.append(character)
    return None if quoted or depth else "".join(kept)


def count_addresses(value: str) -> int:
    """How many mailboxes a To or Cc value names, comments and quoted strings aside; 0 when it cannot be read."""
    return (_without_comments(value) or "").count("@")


def usable_message_id(value: str) -> str:
    """`value` when it can stand in In-Reply-To as it is (RFC 5322 section 3.6.4), else the empty text."""
    usable = len(value) <= MESSAGE_ID_CHARACTERS_MAX and _MESSAGE_ID.fullmatch(value)
    return value if usable else ""
