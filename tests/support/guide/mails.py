"""The mails of the sample exchanges: signed with a published key, not encrypted, so that a person can read them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mailflow.mail import cms
from mailflow.mail.desk import Protection, request_mail
from mailflow.wire.samples import EXCHANGES, Exchange
from mailflow.wire.samples.files import sent

SAMPLES = Path(__file__).parents[3] / "schemas" / "exemples"
KEYS = SAMPLES / "cles"
SERVICE = "demandes@service.example"
DESK = "logiciel@desk.example"


def mails() -> dict[Path, Callable[[], bytes]]:
    """Where each mail is published, and what makes it."""
    return {path_of(exchange): partial(mail_of, exchange) for exchange in EXCHANGES}


def path_of(exchange: Exchange) -> Path:
    """Where the mail of an exchange is published."""
    return SAMPLES / exchange.folder / "message.eml"


def message_id(exchange: Exchange) -> str:
    """Of the mail of an exchange."""
    return f"<{exchange.folder}@desk.example>"


def mail_of(exchange: Exchange) -> bytes:
    """Signed when its files were made. RSA by PKCS#1 v1.5 gives the same octets each time."""
    key = cms.load_signing_key((KEYS / "desk.key").read_bytes(), (KEYS / "desk.pem").read_bytes())
    return request_mail(
        list(sent(exchange).items()),
        Protection(signing_key=key, encrypt_to=None, opaque=False, legacy=False),
        sender=DESK,
        recipient=SERVICE,
        message_id=message_id(exchange),
        at=exchange.made_at,
    )
