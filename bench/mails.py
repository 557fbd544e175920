"""The requests: each of another person, in a file of its own, signed and encrypted as a desk's software does."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.certificates import Kind
from mailflow.demo.installation import DeskSoftware
from mailflow.demo.pki import Pki
from mailflow.mail import cms
from mailflow.mail.desk import Protection, request_mail

DESKS: tuple[tuple[str, str, str, str, Kind], ...] = (
    ("desk1", "Z0001", "059", "59350", "rsa"),
    ("desk2", "Z0002", "059", "59512", "p256"),
    ("desk3", "Z0003", "111", "75111", "rsa"),
    ("desk4", "Z0004", "111", "93066", "p256"),
)
"""Sender (and user of the mail server), desk, territory, municipality sought, kind of key."""
SYLLABLES = ("ba", "cel", "dor", "fin", "gau", "hem", "jol", "lan", "mer", "nar", "pel", "rou", "sim", "ter", "vau")
BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some of the mails, as a process is told to make them: what crosses its border is plain."""

    first: int
    count: int
    at: datetime
    sender: str
    desk: str
    municipality: str
    address: str
    key: bytes
    certificate: bytes
    encrypt_to: bytes
    recipient: str


def senders(pki: Pki, domain: str) -> tuple[DeskSoftware, ...]:
    """Who writes."""
    return tuple(
        DeskSoftware(
            sender=sender,
            desk=desk,
            territory=territory,
            address=f"{sender}@{domain}",
            identity=pki.issue(sender, kind=kind, address=f"{sender}@{domain}"),
        )
        for sender, desk, territory, _, kind in DESKS
    )


def make(
    software: Sequence[DeskSoftware],
    count: int,
    *,
    at: datetime,
    encrypt_to: bytes,
    recipient: str,
    processes: int,
    first: int = 0,
) -> list[bytes]:
    """`count` mails, the senders taking turns, numbered from `first`. No two numbers name the same person or file."""
    batches = batches_of(software, count, at=at, encrypt_to=encrypt_to, recipient=recipient, first=first)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        made = pool.map(_make, batches, chunksize=1)
    return _take_turns(made)


def batches_of(
    software: Sequence[DeskSoftware],
    count: int,
    *,
    at: datetime,
    encrypt_to: bytes,
    recipient: str,
    size: int = BATCH,
    first: int = 0,
) -> Iterator[Batch]:
    """`count` mails as batches of so many at the most."""
    municipalities = {sender: municipality for sender, _, _, municipality, _ in DESKS}
    for number, begin in enumerate(range(first, first + count, size)):
        one = software[number % len(software)]
        yield Batch(
            first=begin,
            count=min(size, first + count - begin),
            at=at,
            sender=one.sender,
            desk=one.desk,
            municipality=municipalities[one.sender],
            address=one.address,
            key=one.identity.key_pem,
            certificate=one.identity.pem,
            encrypt_to=encrypt_to,
            recipient=recipient,
        )


def _take_turns(made: Sequence[Sequence[bytes]]) -> list[bytes]:
    """One of each batch after the other, so that neighbours in the mailbox come from different senders."""
    return [mails[i] for i in range(BATCH) for mails in made if i < len(mails)]


def _make(batch: Batch) -> list[bytes]:
    return [mail_of(batch, number) for number in range(batch.first, batch.first + batch.count)]


@cache
def protection_of(key: bytes, certificate: bytes, encrypt_to: bytes | None) -> Protection:
    """Detached; loaded once in each process, since that costs more than to make a mail."""
    return Protection(
        signing_key=cms.load_signing_key(key, certificate), encrypt_to=encrypt_to, opaque=False, legacy=False
    )


def mail_of(batch: Batch, number: int) -> bytes:
    """One of them."""
    protection = protection_of(batch.key, batch.certificate, batch.encrypt_to)
    return sealed(batch, number, request_of(batch, number), protection)


def request_of(batch: Batch, number: int) -> bytes:
    """The file that this mail of the batch carries."""
    form = request_form(
        _person(number),
        desk=batch.desk,
        deposited_on=legal_day(batch.at),
        municipalities=[batch.municipality],
        co_applicant=_person(number + 1_000_000) if number % 4 == 0 else None,
    )
    return request_file([form], made_at=batch.at)


def sealed(batch: Batch, number: int, content: bytes, protection: Protection) -> bytes:
    """The mail of that number with this as its file."""
    return request_mail(
        [(file_name(batch.desk, batch.at, number), content)],
        protection,
        sender=batch.address,
        recipient=batch.recipient,
        message_id=message_id_of(batch, number),
        at=batch.at,
    )


def message_id_of(batch: Batch, number: int) -> str:
    """Of the mail of that number."""
    return f"<{number}.{batch.at:%Y%m%d%H%M%S}@{batch.address.rpartition('@')[2]}>"


def _person(number: int) -> Person:
    """The number written in syllables, so that no two persons have the same name."""
    digits: list[str] = []
    left = number
    while left or len(digits) < 4:
        left, digit = divmod(left, len(SYLLABLES))
        digits.append(SYLLABLES[digit])
    return Person(
        surname="".join(digits).capitalize(),
        first_name=SYLLABLES[number % 7].capitalize(),
        born_on=date(1950, 1, 1) + timedelta(days=number % 18_000),
    )
