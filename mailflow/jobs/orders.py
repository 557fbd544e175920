"""Orders for mails that time brings: what `mail.kinds` writes letters from. They import nothing of the register."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from mailflow.core.model import CertificateUse, SenderCode
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.core.service_keys import KeyUse

NOTICE = "notice"
"""That requests of a desk end soon. Its key: the first number and its last day."""
CERTIFICATE_ENDING = "certificate-ending"
"""That a certificate of a sender ends. Its key: the fingerprint, and how many days ahead."""
SERVICE_CERTIFICATE = "service-certificate"
"""That the service has a new certificate. Its key: fingerprint, use, and sender."""
DISPATCH = "dispatch"
"""What others did in the territories of a desk. Its key: sender, desk, number of the dispatch, and how often again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a desk is told of requests that end soon."""

    sender: SenderCode
    desk: DeskCode
    requests: tuple[tuple[UniqueNumber, date], ...]
    """Each with its last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A `DIS` file on its way."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sender: SenderCode
    desk: DeskCode
    territory: str
    number: int
    name: str
    requests: int
    """How many it tells of."""
    content: bytes = field(repr=False)
    """The file, deflated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEnding:
    """What a sender is told of a certificate that ends, with none enrolled to follow it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sender: SenderCode
    certificate: bytes
    """DER."""
    uses: tuple[CertificateUse, ...]
    """What it is enrolled for and nothing else is afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCertificate:
    """What a sender is told of a certificate of the service that follows another one."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sender: SenderCode
    certificate: bytes
    """DER."""
    use: KeyUse
    active_from: datetime
    former_until: datetime | None
    """How long at least the former one can be encrypted to; None where that says nothing."""


NOTICES = TypeAdapter(Notice)
CERTIFICATE_ENDINGS = TypeAdapter(CertificateEnding)
SERVICE_CERTIFICATES = TypeAdapter(ServiceCertificate)
DISPATCHES = TypeAdapter(Dispatch)
