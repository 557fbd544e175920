"""Octets changed, cut out, repeated, swapped, or taken from another message; reproducible by the seed."""

import random
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence

ROUNDS = 400
TELLING_OCTETS = (0, 0x80, 0xFF, 0x30, 0x24, 0x1F)
"""Zero, an indefinite length, the largest octet, a sequence, a string in pieces, a tag of many octets."""


def mutants(original: bytes, seed: int, rounds: int = ROUNDS) -> Iterator[bytes]:
    """That many mutants of one message."""
    chance = random.Random(seed)
    for _ in range(rounds):
        yield mutant(original, chance)


def mutant(original: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes, most often one. Of `others` a piece may come in."""
    data = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        at = chance.randrange(len(data))
        until = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(7 if others else 6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice((*TELLING_OCTETS, chance.randrange(256)))
            case 2:
                del data[at:until]
            case 3:
                data[at:at] = data[at:until]
            case 4:
                data[at:until] = chance.randbytes(until - at)
            case 5:
                other = chance.randrange(len(data))
                data[at:until] = data[other : other + until - at]
            case _:
                donor = chance.choice(others)
                other = chance.randrange(len(donor))
                data[at:until] = donor[other : other + chance.choice((4, 16, 64, 256))]
    return bytes(data)


def mutant_inside(mail: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """The mail with its last base64 body, which is its CMS, mutated before it is encoded; the rest as it was."""
    head, text, tail = parted(mail)
    return head + b64encode(mutant(b64decode(text), chance, others)) + tail


def parted(mail: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the last base64 body, that body, and what stands behind it."""
    start = mail.index(b"\r\n\r\n", mail.rindex(b"base64")) + 4
    end = mail.find(b"\r\n--", start)
    end = len(mail) if end < 0 else end
    return mail[:start], mail[start:end], mail[end:]
