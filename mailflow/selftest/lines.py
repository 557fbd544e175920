"""Lines of IMAP and SMTP: cut, stalled, garbled. The proxies ask here at each line that passes.

Octets of mails are no lines of the protocol: over TLS nobody alters them unseen, and nothing in it would tell. Nor is a
server made to say that it refuses what it takes, or for good (5yz): that would be its answer and no fault. What it says
to a command of ours that came garbled is its own.
"""

import re
from collections.abc import Sequence

from mailflow.selftest.points import Point, reach
from mailflow.selftest.proxy import Break, Fault, Side

PROTOCOLS = {
    "imap": re.compile(rb"[*+)] |\)|[A-Z]+\d+ |DONE"),
    "smtp": re.compile(rb"\d{3}[ -]|(EHLO|AUTH|MAIL|RCPT|DATA|QUIT)\b|\.\r\n|From: "),
}
"""What begins a line of the protocol."""
_WORDS = re.compile(rb"^From|\d{3}[ -](?:\d\.\d\.\d)?|\b[A-Z]{2,}\b|[.)]")
_WORD = re.compile(rb"[A-Za-z]{3,}\d*")
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_ACCEPTED = "server 250 2.0.0"
"""The reply to the final dot: mails that it takes may not be said to be put off."""
_OF_A_MAIL = "client From"
"""Octets of a mail, and a line at which it can be cut."""
_DOT = b".\r\n"

CUTS = {
    "reset before it": Fault.RESET_BEFORE,
    "reset in the middle of it": Fault.RESET_WITHIN,
    "closed after it": Fault.CLOSE_AFTER,
    "stalled": Fault.STALL,
}
BITS, WORD, STATUS, LATER, LITERAL, HUGE = (
    "bits flipped",
    "another word",
    "another status",
    "told to come later",
    "broken literal",
    "huge literal",
)


def name_of(protocol: str, side: Side, octets: bytes) -> str | None:
    """What kind of thing the line says, whatever the tag and the numbers; None of octets of a mail."""
    if not octets.endswith(b"\r\n") or not PROTOCOLS[protocol].match(octets):
        return None
    words = [word.decode().strip() for word in _WORDS.findall(octets)[:2]]
    words = ["250-"] if words[:1] == ["250-"] else words
    return " ".join([side, *words, *(["{}"] if _LITERAL.search(octets) else [])])


def hows(point: Point) -> Sequence[str]:
    """What can go wrong at a line."""
    if point.name == _OF_A_MAIL:
        return tuple(CUTS)
    if point.name.startswith(Side.CLIENT):
        return (*CUTS, BITS, WORD)
    garbled = [BITS, STATUS]
    if point.kind == "smtp" and point.name != _ACCEPTED:
        garbled.append(LATER)
    if point.name.endswith("{}"):
        garbled += [LITERAL, HUGE]
    return (*CUTS, *garbled)


def at_line(protocol: str, side: Side, octets: bytes) -> Break | None:
    """What happens at this line in the present run."""
    name = name_of(protocol, side, octets)
    how = name and reach(protocol, name)
    return broken(how, octets) if how else None


def broken(how: str, octets: bytes) -> Break:
    """What happens at this line when that goes wrong."""
    if how in CUTS:
        return Break(fault=CUTS[how])
    return Break(fault=Fault.REPLACE, replacement=garbled(how, octets))


def garbled(how: str, octets: bytes) -> bytes:
    """The line as it arrives."""
    match how:
        case "bits flipped":
            return bytes(octet ^ 0x80 * (at % 3 == 0) for at, octet in enumerate(octets[:-2])) + b"\r\n"
        case "another word":  # the command of SMTP, the tag of IMAP: what was asked is done, and nobody knows the reply
            return b"." + _DOT if octets == _DOT else _WORD.sub(b"XYZZY", octets, count=1)
        case "another status":
            if octets[:1].isdigit():
                return b"999" + octets[3:]
            return re.sub(rb"^(\*|\S+) (OK|NO)\b", rb"\1 BAD", octets) if b" OK" in octets else b"* BAD " + octets[2:]
        case "told to come later":
            return b"451" + octets[3:]
        case "broken literal":
            return _LITERAL.sub(rb"{\1x}\r\n", octets)
        case "huge literal":
            return _LITERAL.sub(rb"{\g<1>99999999}\r\n", octets)
    raise ValueError(how)
