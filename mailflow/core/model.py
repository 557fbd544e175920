"""The words that every door shares. All frozen: a stage is passed on, never edited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NewType

from mailflow.core.anomalies import Anomaly
from mailflow.core.attested import Attested
from mailflow.core.form import HousingRequest
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.order import Deregistration, Holder
from mailflow.core.rates import Rates
from mailflow.core.service_keys import ServiceKey

SenderCode = NewType("SenderCode", str)
"""The operator's short name for a sender: whoever holds certificates and acts for desks."""


class Environment(StrEnum):
    """Which register this is. The school (`ecole`) is where vendors try their software."""

    PRODUCTION = "production"
    SCHOOL = "ecole"


class Door(StrEnum):
    """The way by which a submission came in."""

    MAIL = "mail"
    OPERATOR = "operator"


class Operation(StrEnum):
    """`entete/typeFichier`: what a file asks for, or is."""

    CREATION = "CRE"
    CREATION_AFTER_SEPARATION = "CRS"
    AMENDMENT = "MOD"
    RENEWAL = "REN"
    DEREGISTRATION = "RAD"
    REMOVAL = "SUP"
    RETURN = "RET"
    DISPATCH = "DIS"
    COPY = "COP"


CREATIONS = frozenset({Operation.CREATION, Operation.CREATION_AFTER_SEPARATION})
"""Those that make a number."""


class RequestState(StrEnum):
    """Where a request stands in its life."""

    ACTIVE = "active"
    DEREGISTERED = "deregistered"
    REMOVED = "removed"


class Right(StrEnum):
    """What a mandate allows. The operations by their file type; `consulter`: to learn of others' requests.

    `gerer`: to act as the manager of the territory, in those operations that the mandate allows.
    """

    CREATION = "CRE"
    CREATION_AFTER_SEPARATION = "CRS"
    AMENDMENT = "MOD"
    RENEWAL = "REN"
    DEREGISTRATION = "RAD"
    REMOVAL = "SUP"
    CONSULT = "consulter"
    MANAGE = "gerer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """That a sender may act for a desk in a territory. Both days are inclusive, legal days in Paris."""

    desk: DeskCode
    territory: Territory
    rights: frozenset[Right]
    starts_on: date
    ends_on: date | None

    def holds_on(self, day: date) -> bool:
        """Whether `day` lies within the mandate."""
        return self.starts_on <= day and (self.ends_on is None or day <= self.ends_on)


class Standing(StrEnum):
    """Whether a sender, a desk or a certificate may act. Suspension is never deletion."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class CertificateUse(StrEnum):
    """What a certificate is enrolled for."""

    SIGN = "sign"
    ENCRYPT = "encrypt"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledCertificate:
    """A certificate that the operator has recorded for a sender."""

    fingerprint: str
    """SHA-256 (hex) of `der`."""
    der: bytes
    use: CertificateUse
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledSender:
    """All that is recorded of a sender."""

    code: SenderCode
    name: str
    standing: Standing
    addresses: frozenset[str]
    """From addresses, bare addr-specs in lower case."""
    answer_address: str
    certificates: tuple[EnrolledCertificate, ...]
    mandates: tuple[Mandate, ...]
    legacy_encryption: bool
    """Answers by AES-CBC with RSA v1.5, for clients that know no better; else AES-GCM with OAEP or ECDH."""
    rates: Rates = field(default_factory=dict)
    """Its own; a budget that is not here is that of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledDesk:
    """A desk on record."""

    code: DeskCode
    name: str
    address: str
    """Postal, on one line; attestations state it. Empty when nobody has told it yet."""
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Who may act for whom, as it stood at one generation. Every change of an enrolment makes a new one."""

    generation: int
    senders: tuple[EnrolledSender, ...]
    desks: Mapping[DeskCode, EnrolledDesk]
    """Every desk on record, by code."""
    service_keys: tuple[ServiceKey, ...] = ()
    """When each key of the service serves, where commands said so; a file of enrolments has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Who stands behind a submission, however the door came to know it."""

    sender: SenderCode
    certificate: str
    """SHA-256 fingerprint (hex) of the certificate that proved the sender."""
    trust_generation: int
    """The state of the enrolments that this proof was judged against; an older one is judged again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a file, as far as it could be read. Facts of the register have not been applied yet."""

    form: HousingRequest | None
    """None when it could not be read, `anomalies` then says why, or when the operation goes without."""
    number: str | None = None
    """`numUnique` as it was given: of the request that the operation is about. None in a `CRE`."""
    holder: Holder | None = None
    """Who holds that request according to the sender."""
    deregistration: Deregistration | None = None
    """In a `RAD`."""
    anomalies: tuple[Anomaly, ...] = ()
    """All that reading and the pure rules found; a blocking one refuses the request."""
    reference: str | None = None
    """The desk's own reference, when it gave one: an idempotency key for creations."""
    digest: str = ""
    """SHA-256 (hex) of the canonical form: two requests with one digest ask for the same thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFile:
    """One `DEM` file, from signed bytes."""

    name: str
    desk: DeskCode
    """The desk named in the file name."""
    digest: str
    """SHA-256 (hex) of the file's bytes."""
    version: str = ""
    operation: Operation | None = None
    dated_at: datetime | None = None
    """`entete/dateFichier`."""
    requests: tuple[Request, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    """Faults of the file as a whole; a blocking one refuses every request in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The waist of the system: doors produce it, the registrar consumes it."""

    submitter: Submitter
    door: Door
    intake: int
    """The row of the intake that holds what was sent, to the octet, whichever door took it in."""
    received_at: datetime
    files: tuple[RequestFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The operation was done, or nothing was left to do: the request of `number` stands as is said here."""

    number: UniqueNumber
    state: RequestState
    expires_on: date
    """The last day on which it is active, inclusive; without meaning in another state."""
    revision: int
    """How many changes it has had, its creation included: of two reports on a request the higher is the newer."""
    attestation: Attested | None = None
    """Of a creation (`CRE`, `CRS`) or renewal: what the applicant receives."""
    anomalies: tuple[Anomaly, ...] = ()
    """Warnings only."""
    replayed: bool = False
    """True when an earlier submission had already received this very outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was registered. At least one of `anomalies` blocks, unless the file as a whole is refused."""

    anomalies: tuple[Anomaly, ...]


Outcome = Registered | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReceipt:
    """What became of one file. `outcomes` matches `file.requests` one to one, in order."""

    file: RequestFile
    record: str | None
    """The register's identifier of the file; None when it bound no name: taken, malformed, or of no mandated desk."""
    decided_at: datetime
    """When this very file was decided first; a repeat keeps it."""
    anomalies: tuple[Anomaly, ...] = ()
    """Of the file as a whole: those it was read with, and those the register added."""
    outcomes: tuple[Outcome, ...] = ()
    repeated: bool = False
    """True when this very file had been decided before: the same `RET` is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One file receipt per submitted file, in order. Doors render it; none edits it."""

    decided_at: datetime
    files: tuple[FileReceipt, ...]
