"""Reads a file of enrolments, and says everything that is wrong with it at once, each with its place and right form."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence, Set
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mailflow.core.canary import CANARY_APART, keeps_canary_apart
from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledCertificate,
    EnrolledDesk,
    EnrolledSender,
    Environment,
    Mandate,
    Right,
    SenderCode,
    Standing,
)
from mailflow.core.numbers import TERRITORIES, DeskCode, Territory, is_desk_code, is_school_desk
from mailflow.core.rates import LIMIT_MAX, Budget
from mailflow.enrolment.writer import FORM
from mailflow.errors import MailflowError
from mailflow.mail import pem
from mailflow.mail.smtp import is_addr_spec
from mailflow.mail.trust import TrustError
from mailflow.mail.trust.certificate import read as read_certificate

TABLES = ("desk", "sender", "certificate", "mandate")
Location = tuple[int | str, ...]


class EnrolmentFault(MailflowError):
    """The file cannot be carried out. Its text has one line for each fault."""


def read(octets: bytes, environment: Environment) -> Directory:
    """The enrolments that the file tells, of generation 0. Raises EnrolmentFault."""
    try:
        text = octets.decode()
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib lets through what int() says of a number too long
        raise EnrolmentFault(f"is not a TOML file: {error}") from None
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        faults = [_fault(text, document, wrong["loc"], _said(wrong)) for wrong in error.errors(include_url=False)]
        raise EnrolmentFault("\n  ".join(faults)) from None
    faults = [_fault(text, document, where, what) for where, what in _contradictions(file, environment)]
    if faults:
        raise EnrolmentFault("\n  ".join(faults))
    return Directory(
        generation=0,
        senders=tuple(one.enrolled() for one in sorted(file.sender, key=lambda one: one.code)),
        desks={one.code: one for one in (each.enrolled() for each in sorted(file.desk, key=lambda one: one.code))},
    )


def desk_fault(code: str, environment: Environment) -> str | None:
    """What is wrong with the code of a desk: those of the school begin with Z, and only theirs."""
    if not is_desk_code(code):
        return f"{code} should have five characters, digits or capital letters"
    if is_school_desk(DeskCode(code)) != (environment is Environment.SCHOOL):
        return "codes that begin with Z are those of the school, and the school has no others"
    return None


# The tables of the file


def _address(value: str) -> str:
    if not is_addr_spec(value):
        raise ValueError("should be a bare address, name@example.org")
    return value.lower()


def _territory(value: str) -> str:
    if value not in TERRITORIES:
        raise ValueError("is no territory: three characters, such as 059, 02A, or 111 for Île-de-France")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("should be one line of printable characters")
    return value


def _der(value: object) -> bytes:
    try:
        (der,) = pem.read_der(str(value).encode(), pem.CERTIFICATE)
        read_certificate(der)
    except (ValueError, TrustError):
        raise ValueError("should be one certificate, from BEGIN CERTIFICATE to END CERTIFICATE") from None
    return der


_Address = Annotated[str, AfterValidator(_address)]
_Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
_Name = Annotated[_Line, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Desk(_Table):
    code: str
    name: _Name
    address: _Line
    standing: Standing

    def enrolled(self) -> EnrolledDesk:
        return EnrolledDesk(code=DeskCode(self.code), name=self.name, address=self.address, standing=self.standing)


class _Certificate(_Table):
    fingerprint: str | None = None
    sign: Standing | None = None
    encrypt: Standing | None = None
    der: Annotated[bytes, BeforeValidator(_der)] = Field(alias="pem")

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def enrolled(self) -> Iterator[EnrolledCertificate]:
        for use, standing in ((CertificateUse.ENCRYPT, self.encrypt), (CertificateUse.SIGN, self.sign)):
            if standing is not None:
                yield EnrolledCertificate(fingerprint=self.digest, der=self.der, use=use, standing=standing)


class _Mandate(_Table):
    desk: str
    territory: Annotated[str, AfterValidator(_territory)]
    rights: Annotated[list[Right], Field(min_length=1)]
    starts_on: date = Field(alias="from")
    until: date | None = None

    def enrolled(self) -> Mandate:
        return Mandate(
            desk=DeskCode(self.desk),
            territory=Territory(self.territory),
            rights=frozenset(self.rights),
            starts_on=self.starts_on,
            ends_on=self.until,
        )


class _Sender(_Table):
    code: _Name
    name: _Name
    standing: Standing
    addresses: list[_Address]
    answers_to: _Address
    legacy_encryption: bool
    rates: dict[Budget, Annotated[int, Field(strict=True, ge=1, le=LIMIT_MAX)]] = {}
    certificate: list[_Certificate] = []
    mandate: list[_Mandate] = []

    def enrolled(self) -> EnrolledSender:
        certificates = [use for one in self.certificate for use in one.enrolled()]
        return EnrolledSender(
            code=SenderCode(self.code),
            name=self.name,
            standing=self.standing,
            addresses=frozenset(self.addresses),
            answer_address=self.answers_to,
            certificates=tuple(sorted(certificates, key=lambda one: (one.fingerprint, one.use))),
            mandates=tuple(one.enrolled() for one in self.mandate),
            legacy_encryption=self.legacy_encryption,
            rates=self.rates,
        )


class _File(_Table):
    form: Annotated[int, Field(ge=FORM, le=FORM)]
    environment: Environment
    desk: list[_Desk] = []
    sender: list[_Sender] = []


# What single fields do not show


def _contradictions(file: _File, environment: Environment) -> Iterator[tuple[Location, str]]:
    if file.environment is not environment:
        yield ("environment",), f"this register is that of {environment.value}"
        return
    for n, desk in enumerate(file.desk):
        if fault := desk_fault(desk.code, environment):
            yield ("desk", n, "code"), fault
    yield from _repeated([(("desk", n, "code"), one.code) for n, one in enumerate(file.desk)])
    yield from _repeated([(("sender", n, "code"), one.code) for n, one in enumerate(file.sender)])
    yield from _repeated(
        [
            (("sender", n, "certificate", m, "pem"), f"certificate {one.digest}")
            for n, sender in enumerate(file.sender)
            for m, one in enumerate(sender.certificate)
        ]
    )
    desks = {desk.code for desk in file.desk}
    for n, sender in enumerate(file.sender):
        for m, certificate in enumerate(sender.certificate):
            for field, fault in _of_certificate(certificate):
                yield ("sender", n, "certificate", m, *field), fault
        for m, mandate in enumerate(sender.mandate):
            for field, fault in _of_mandate(sender, mandate, desks):
                yield ("sender", n, "mandate", m, *field), fault
        keys = [f"a mandate for {one.desk} in {one.territory} from {one.starts_on}" for one in sender.mandate]
        yield from _repeated([(("sender", n, "mandate", m), key) for m, key in enumerate(keys)])


def _of_certificate(certificate: _Certificate) -> Iterator[tuple[Location, str]]:
    if certificate.fingerprint is not None and certificate.fingerprint.lower() != certificate.digest:
        yield ("fingerprint",), f"is not that of the certificate, which is {certificate.digest}"
    if certificate.sign is None and certificate.encrypt is None:
        yield (), 'should say what it is for: sign = "active", encrypt = "active", or both'


def _of_mandate(sender: _Sender, mandate: _Mandate, desks: Set[str]) -> Iterator[tuple[Location, str]]:
    if mandate.desk not in desks:
        yield ("desk",), f"there is no desk {mandate.desk} in the file"
    elif not keeps_canary_apart(sender.code, mandate.enrolled()):
        yield (), CANARY_APART


def _repeated(places: Sequence[tuple[Location, str]]) -> Iterator[tuple[Location, str]]:
    seen: set[str] = set()
    for where, value in places:
        if value in seen:
            yield where, f"{value} is there twice"
        seen.add(value)


# Where a fault stands, for a person


_KNOWN = {"missing": "is missing", "extra_forbidden": "there is no such field", "bool_type": "should be true or false"}


def _said(wrong: Any) -> str:
    known = _KNOWN.get(wrong["type"])
    return known or str(wrong["msg"]).removeprefix("Value error, ").replace("Input should", "should", 1)


def _fault(text: str, document: Any, location: Location, what: str) -> str:
    """One line: where it stands, whose it is, what is wrong."""
    name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    line = _line(text, location)
    try:
        code = document[location[0]][location[1]]["code"]
    except (LookupError, TypeError):
        code = None
    of = f" ({code})" if isinstance(code, str) else ""
    return f"{f'line {line}: ' if line else ''}{name or 'the file'}{of}: {what}"


def _line(text: str, location: Location) -> int | None:
    """Where the field begins, else its table; None where tables are written inline."""
    lines = text.splitlines()
    position, table, fields = 0, "", list(location)
    while len(fields) > 1 and fields[0] in TABLES and isinstance(fields[1], int):
        table = f"{table}.{fields[0]}".removeprefix(".")
        for _ in range(fields[1] + 1):
            at = _next(lines, position, rf"\[\[\s*{re.escape(table)}\s*\]\]")
            if at is None:
                return None
            position = at
        fields = fields[2:]
    if not fields:
        return position or None
    field = _next(lines, position, rf"{re.escape(str(fields[0]))}\s*=")
    header = _next(lines, position, r"\[\[")
    return field if field and (header is None or field < header) else position or None


def _next(lines: Sequence[str], after: int, pattern: str) -> int | None:
    """The number of the first line after that one that begins so."""
    return next((n for n, line in enumerate(lines[after:], after + 1) if re.match(rf"\s*{pattern}", line)), None)
