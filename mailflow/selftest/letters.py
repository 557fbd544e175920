"""The requests of the self-test: real mails of invented desks about people who do not exist, each known by its mark."""

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import date, datetime
from email.parser import BytesHeaderParser

from mailflow.core.calendar import legal_day
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.installation import DeskSoftware, Installation
from mailflow.demo.pki import Pki
from mailflow.mail import cms, entities
from mailflow.mail.desk import Protection, request_mail

MARK = "@selftest.mailflow.invalid>"
"""How the Message-ID of each of our requests ends, and so the In-Reply-To of each answer."""
PLACES = {"059": ("59350", "59512"), "111": ("75111",)}
NAME_LETTERS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One request mail."""

    message_id: str
    software: DeskSoftware
    files: tuple[str, ...]
    """The names of its request files, one request in each."""
    raw: bytes = field(repr=False)


def desks(pki: Pki, address: str) -> tuple[DeskSoftware, DeskSoftware]:
    """Two desks of the school, with a key of each kind; both read their answers in the audit mailbox."""
    named = (("selftest-rsa", "Z5935", "059", "rsa"), ("selftest-ec", "Z1110", "111", "p256"))
    return tuple(  # type: ignore[return-value]  # of two
        DeskSoftware(
            sender=sender,
            desk=desk,
            territory=territory,
            address=address,
            identity=pki.issue(sender, kind="rsa" if kind == "rsa" else "p256", address=address),
        )
        for sender, desk, territory, kind in named
    )


class Writer:
    """Writes new letters for each run: nobody asks twice."""

    def __init__(self, installation: Installation, software: tuple[DeskSoftware, DeskSoftware], recipient: str) -> None:
        self._installation = installation
        self.software = software
        self.recipient = recipient
        self._numbers = itertools.count(1)

    def probe(self, at: datetime) -> bytes:
        """A mail that asks for nothing."""
        address = self.software[0].address
        headers = [("From", address), ("To", address), ("Subject", "Essai"), ("Date", entities.date(at))]
        headers.append(("Message-ID", f"<{next(self._numbers)}.{at:%Y%m%d%H%M%S}{MARK}"))
        return entities.mail(headers, entities.text_part("Essai"))

    def letters(self, at: datetime) -> tuple[Letter, ...]:
        """One request, detached; one inside its signature; and two in one mail."""
        first, second = self.software
        return self._letter(first, 1, at), self._letter(second, 1, at, opaque=True), self._letter(second, 2, at)

    def _letter(self, software: DeskSoftware, count: int, at: datetime, *, opaque: bool = False) -> Letter:
        number = next(self._numbers)
        message_id = f"<{number}.{at:%Y%m%d%H%M%S}{MARK}"
        files = [self._file(software, at) for _ in range(count)]
        protection = Protection(
            signing_key=cms.load_signing_key(software.identity.key_pem, software.identity.pem),
            encrypt_to=self._installation.identity.der,
            opaque=opaque,
            legacy=False,
        )
        raw = request_mail(
            files, protection, sender=software.address, recipient=self.recipient, message_id=message_id, at=at
        )
        return Letter(message_id=message_id, software=software, files=tuple(name for name, _ in files), raw=raw)

    def _file(self, software: DeskSoftware, at: datetime) -> tuple[str, bytes]:
        number = next(self._numbers)
        form = request_form(
            _person(number, at),
            desk=software.desk,
            deposited_on=legal_day(at),
            municipalities=PLACES[software.territory],
        )
        return file_name(software.desk, at, number), request_file([form], made_at=at)


def _person(number: int, at: datetime) -> Person:
    """Another for each number, and like no other one."""
    digest = hashlib.sha256(f"{at.isoformat()} {number}".encode()).digest()
    letters = "".join(chr(ord("a") + octet % 26) for octet in digest[:NAME_LETTERS])
    born_on = date(1950 + digest[-1] % 50, 1 + digest[-2] % 12, 1 + digest[-3] % 28)
    return Person(surname=letters.capitalize(), first_name="Essai", born_on=born_on)


def message_id(raw: bytes) -> str:
    """Of a mail; empty when it has none."""
    return _field(raw, "Message-ID")


def answers_to(raw: bytes) -> str:
    """The Message-ID that a mail answers; empty when it answers none."""
    return _field(raw, "In-Reply-To")


def is_ours(raw: bytes) -> bool:
    """Whether it is a request of a self-test, or the answer to one."""
    return message_id(raw).endswith(MARK) or answers_to(raw).endswith(MARK)


def _field(raw: bytes, name: str) -> str:
    return str(BytesHeaderParser().parsebytes(raw).get(name, "")).strip()
