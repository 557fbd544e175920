"""The mails of a soak, made ahead in other processes, a few at a time; and its answers, opened there."""

import random
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from functools import cache
from itertools import count, islice

from bench.mails import Batch, batches_of, mail_of, message_id_of
from mailflow.demo.installation import DeskSoftware
from mailflow.mail import cms
from mailflow.mail.audit import body_digest
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.desk import AnswerRefused, open_answer
from mailflow.wire.dispatch import NotOfTheService, read_told
from tests.hosts.soak.hostile import SHAPES, Stranger
from tests.hosts.soak.oracle import Answer, Fate

LOT = 25
LOTS_AHEAD = 6
KEPT_MAX = 300
"""Mails that may be sent again: a sample of all that were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail, ready to be sent."""

    message_id: str
    fate: Fate
    what: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Some mails, as a process is told to make them."""

    batch: Batch
    hostile: Mapping[int, str]
    """The shape of each number that is not to be a good one."""
    stranger: Stranger


def planned(
    software: Sequence[DeskSoftware],
    stranger: Stranger,
    hostile: Collection[int],
    chance: random.Random,
    *,
    mails: int,
    encrypt_to: bytes,
    recipient: str,
) -> Iterator[Lot]:
    """So many mails, of which these are hostile. Each lot is as of the moment when it is asked for."""
    at = datetime.now(UTC)
    shapes = list(SHAPES)
    for batch in batches_of(software, mails, at=at, encrypt_to=encrypt_to, recipient=recipient, size=LOT):
        numbers = range(batch.first, batch.first + batch.count)
        shaped = {number: chance.choice(shapes) for number in numbers if number in hostile}
        now = datetime.now(UTC).replace(microsecond=0)
        yield Lot(batch=replace(batch, at=now), hostile=shaped, stranger=stranger)


def made_ahead(pool: Executor, lots: Iterator[Lot]) -> Iterator[Mail]:
    """All their mails; never more than some lots are made that nobody has taken."""
    ahead = deque(pool.submit(make, lot) for lot in islice(lots, LOTS_AHEAD))
    while ahead:
        made = ahead.popleft().result()
        ahead.extend(pool.submit(make, lot) for lot in islice(lots, 1))
        yield from made


def make(lot: Lot) -> list[Mail]:
    """In a process of the pool."""
    batch = lot.batch
    return [_mail(lot, number) for number in range(batch.first, batch.first + batch.count)]


def _mail(lot: Lot, number: int) -> Mail:
    message_id = message_id_of(lot.batch, number)
    if number not in lot.hostile:
        what = f"request {number}"
        return Mail(message_id=message_id, fate=Fate.NUMBER, what=what, raw=mail_of(lot.batch, number))
    name = lot.hostile[number]
    shape = SHAPES[name]
    raw = shape.write(lot.batch, number, lot.stranger)
    return Mail(message_id=message_id, fate=shape.fate, what=f"{name} ({number})", raw=raw)


def with_repeats(mails: Iterator[Mail], repeats: Collection[int], chance: random.Random) -> Iterator[Mail]:
    """The same mails, and at these places in their course a good one of earlier, octet for octet."""
    kept: list[Mail] = []
    seen = 0
    for place in count():
        if place in repeats and kept:
            yield chance.choice(kept)
            continue
        mail = next(mails, None)
        if mail is None:
            return
        if mail.fate is Fate.NUMBER:
            seen += 1
            if len(kept) < KEPT_MAX:
                kept.append(mail)
            elif (other := chance.randrange(seen)) < KEPT_MAX:
                kept[other] = mail
        yield mail


def opened(raws: Sequence[bytes], key: bytes, certificate: bytes, service: bytes) -> list[Answer]:
    """Answers to the desk with this key, by the service with this certificate (DER); in a process of the pool."""
    return [_opened(raw, _decryption_key(key, certificate), service) for raw in raws]


@cache
def _decryption_key(key: bytes, certificate: bytes) -> DecryptionKey:
    return cms.load_decryption_key(key, certificate)


def _opened(raw: bytes, key: DecryptionKey, service: bytes) -> Answer:
    message_id = message_id_in(raw)
    try:
        answer = open_answer(raw, [key], [service], datetime.now(UTC))
        returns = [octets for name, octets in answer.files.items() if name.startswith("RET")]
        numbers = tuple(told.number for octets in returns for told in read_told(octets))
    except (AnswerRefused, NotOfTheService) as error:
        return Answer(message_id=message_id, in_reply_to="", numbers=(), unread=str(error))
    is_receipt = any(name.startswith("accuse-technique-") for name in answer.files)
    return Answer(
        message_id=message_id,
        in_reply_to=answer.in_reply_to,
        numbers=numbers,
        is_receipt=is_receipt,
        digest=body_digest(raw),
    )


def message_id_in(raw: bytes) -> str:
    """Of a mail, or of its header alone."""
    return str(BytesHeaderParser().parsebytes(raw)["Message-ID"]).strip()
