"""What IMAP commands and responses look like (RFC 3501): written and read here, without any connection."""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone


class UnreadableResponseError(ValueError):
    """The server's response does not follow the grammar. The text never holds octets of a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedItems:
    """What one FETCH response says about one mail. What it does not say is None."""

    uid: int
    size_bytes: int | None = None
    """RFC822.SIZE: a hint, since servers are known to miscount."""
    received_at: datetime | None = None
    """INTERNALDATE, in UTC."""
    body: bytes | None = None
    """None also for NIL: the mail is gone."""
    header: bytes | None = None
    """Fields of its header, when some were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of something a mailbox has and may have: octets of `storage`, else a number."""

    resource: str
    used: int
    limit: int


def quoted(text: str) -> str:
    """A quoted string (RFC 3501 section 9). Raises ValueError for what it cannot hold."""
    if not text.isascii() or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("an IMAP quoted string holds printable ASCII only")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def mailbox_name(name: str) -> str:
    """A folder's name as a quoted string in modified UTF-7 (RFC 3501 section 5.1.3)."""
    pieces = re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", name)
    try:
        encoded = "".join(
            piece.replace("&", "&-") if piece.isascii() and piece.isprintable() else _shifted(piece) for piece in pieces
        )
    except UnicodeEncodeError:  # a lone surrogate
        raise ValueError("a folder's name must be text") from None
    return quoted(encoded)


def _shifted(piece: str) -> str:
    return "&" + base64.b64encode(piece.encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"


def uid_set(uids: Sequence[int]) -> str:
    """The shortest `sequence-set` for these UIDs, e.g. `3:5,9` (RFC 3501 section 9). Never empty."""
    if not uids:
        raise ValueError("a set of UIDs cannot be empty")
    ranges: list[list[int]] = []
    for uid in sorted(set(uids)):
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in ranges)


def response_code(text: bytes) -> str:
    """The response code that a status text begins with (RFC 3501 section 7.1, RFC 5530), or nothing."""
    match = re.match(rb"\[([A-Z][A-Z0-9-]*)[ \]]", text, re.IGNORECASE)
    return match[1].decode().upper() if match else ""


def uidvalidity(lines: Sequence[bytes]) -> int:
    """The UIDVALIDITY that a SELECT told. Without it UIDs are not persistent: UnreadableResponseError."""
    for line in lines:
        if match := re.match(rb"OK \[UIDVALIDITY (\d{1,10})\]", bytes(line), re.IGNORECASE):
            return int(match[1])
    raise UnreadableResponseError("SELECT without UIDVALIDITY")


def uid_next(lines: Sequence[bytes]) -> int | None:
    """No mail in the folder had this UID, or a higher one, at the SELECT; None when that did not tell."""
    for line in lines:
        if match := re.match(rb"OK \[UIDNEXT (\d{1,10})\]", bytes(line), re.IGNORECASE):
            return int(match[1])
    return None


def capabilities(lines: Sequence[bytes]) -> frozenset[str]:
    """What a CAPABILITY response lists, in capitals."""
    words = b" ".join(bytes(line) for line in lines).decode("ascii", "replace")
    return frozenset(word.upper() for word in words.split())


def quotas(lines: Sequence[bytes]) -> Iterator[Quota]:
    """What QUOTA responses tell, without their first word (RFC 9208 section 4.2.1). What has no limit is left out."""
    for line in lines:
        listed = re.search(rb"\(([^()]*)\)$", bytes(line))
        words = listed[1].split() if listed else []
        for name, used, limit in zip(words[::3], words[1::3], words[2::3], strict=False):
            if re.fullmatch(rb"[A-Za-z-]{1,32}", name) and used.isdigit() and limit.isdigit():
                unit = 1024 if name.upper() == b"STORAGE" else 1
                resource = name.decode("ascii").lower()
                yield Quota(resource=resource, used=int(used) * unit, limit=int(limit) * unit)


def search_date(day: date) -> str:
    """A day as SEARCH wants it (RFC 3501 section 9, `date`), whatever the locale."""
    month = next(name for name, number in _MONTHS.items() if number == day.month).decode().capitalize()
    return f"{day.day}-{month}-{day.year}"


def search_uids(lines: Sequence[bytes]) -> tuple[int, ...] | None:
    """The UIDs of a SEARCH response, ascending, with or without the word SEARCH before them; None: there is none."""
    found, told = set[int](), False
    for line in lines:
        words = bytes(line).split()
        if words and words[0].upper() == b"SEARCH":
            words = words[1:]
        if all(word.isdigit() and len(word) <= 10 for word in words):
            found.update(map(int, words))
            told = True
    return tuple(sorted(found)) if told else None


_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_DATE_TIME = re.compile(rb"[ ]?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})\Z")


def internal_date(text: bytes) -> datetime:
    """An INTERNALDATE (RFC 3501 section 9, `date-time`) in UTC. Raises UnreadableResponseError."""
    match = _DATE_TIME.match(text)
    month = _MONTHS.get(match[2].lower()) if match else None
    if match is None or month is None:
        raise UnreadableResponseError("INTERNALDATE is not a date")
    day, year, hour, minute, second = (int(match[n]) for n in (1, 3, 4, 5, 6))
    offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
    try:
        # A leap second is written :60; one second earlier is near enough.
        zone = timezone(offset if match[7] == b"+" else -offset)
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableResponseError("INTERNALDATE is not a date") from None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`(`, `)`, `atom`, or `string` (quoted or literal)."""
    octets: bytes = b""


_TOKEN = re.compile(
    rb"""[ ]*(?: (?P<paren>[()])
               | "(?P<quoted>(?:[^"\\]|\\.)*)"
               | (?P<atom>(?:\[[^\[\]]*\] | [^ ()"\[]+ | \[)++)
            )""",
    re.DOTALL | re.VERBOSE,
)
_LITERAL = re.compile(rb"~?\{\d+\}\Z")
_FETCH = re.compile(rb"\d+ FETCH (?=\()", re.IGNORECASE)


def fetched(lines: Sequence[bytes | bytearray]) -> Iterator[FetchedItems]:
    """The FETCH responses among the lines that one command collected. Raises UnreadableResponseError.

    A line that ends in a literal's count is followed by the literal, then by the rest of the response.
    Responses without a UID (another client's change of flags) and other responses are left out.
    """
    position = 0
    while position < len(lines):
        match = None if isinstance(lines[position], bytearray) else _FETCH.match(lines[position])
        if match is None:
            position += 1
            continue
        tokens, position = _tokens(lines, position, match.end())
        items = _items(tokens)
        if items is not None:
            yield items


def _tokens(lines: Sequence[bytes | bytearray], position: int, start: int) -> tuple[list[_Token], int]:
    """The tokens of the response that begins in `lines[position]`, and the position after it."""
    tokens: list[_Token] = []
    line = bytes(lines[position][start:])
    while True:
        position += 1
        literal = _LITERAL.search(line)
        text = line[: literal.start()] if literal else line
        tokens.extend(_split(text))
        if literal is None:
            return tokens, position
        if position + 1 >= len(lines):
            raise UnreadableResponseError("FETCH response ends within a literal")
        tokens.append(_Token("string", bytes(lines[position])))
        line = bytes(lines[position + 1])
        position += 1


def _split(text: bytes) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip(b" "))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise UnreadableResponseError("FETCH response with an unexpected character")
        position = match.end()
        if match["paren"]:
            yield _Token(match["paren"].decode())
        elif match["atom"]:
            yield _Token("atom", match["atom"])
        else:
            yield _Token("string", re.sub(rb"\\(.)", rb"\1", match["quoted"], flags=re.DOTALL))


def _items(tokens: list[_Token]) -> FetchedItems | None:
    """Pairs of name and value inside the outer parentheses; the order is free, values may be nested lists."""
    if len(tokens) < 2 or tokens[0].kind != "(" or tokens[-1].kind != ")":
        raise UnreadableResponseError("FETCH response is not a list")
    values: dict[bytes, _Token] = {}
    position, end = 1, len(tokens) - 1
    while position < end:
        name = tokens[position]
        if name.kind != "atom" or position + 1 >= end:
            raise UnreadableResponseError("FETCH response is not a list of pairs")
        value = tokens[position + 1]
        values[re.sub(rb"<\d+>\Z", b"", name.octets).upper()] = value
        position = _after_list(tokens, position + 1, end) if value.kind == "(" else position + 2
        if value.kind == ")":
            raise UnreadableResponseError("FETCH response closes too early")
    uid = _number(values.get(b"UID"))
    if uid is None:
        return None
    date, body = values.get(b"INTERNALDATE"), values.get(b"BODY[]")
    header = next((value for name, value in values.items() if name.startswith(b"BODY[HEADER.FIELDS")), None)
    return FetchedItems(
        uid=uid,
        size_bytes=_number(values.get(b"RFC822.SIZE")),
        received_at=internal_date(date.octets) if date and date.kind == "string" else None,
        body=body.octets if body and body.kind == "string" else None,
        header=header.octets if header and header.kind == "string" else None,
    )


def _after_list(tokens: list[_Token], position: int, end: int) -> int:
    depth = 0
    while position < end:
        depth += {"(": 1, ")": -1}.get(tokens[position].kind, 0)
        position += 1
        if depth == 0:
            return position
    raise UnreadableResponseError("FETCH response with an open list")


def _number(token: _Token | None) -> int | None:
    if token is None:
        return None
    if token.kind != "atom" or not token.octets.isdigit() or len(token.octets) > 20:
        raise UnreadableResponseError("FETCH response where a number belongs has none")
    return int(token.octets)
