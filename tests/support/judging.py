"""A judge with two enrolled senders, and the mails of their software, right in all but what a test changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

from mailflow.core.model import CertificateUse, EnrolledSender, Mandate, Right
from mailflow.core.numbers import DeskCode, Territory
from mailflow.demo.applications import Person, file_name, request_file, request_form
from mailflow.demo.certificates import Identity
from mailflow.mail import cms, entities
from mailflow.mail.attachments import ContentLimits
from mailflow.mail.cms import DecryptionKey, SigningKey
from mailflow.mail.judge import Judge, JudgeLimits, Unjudged
from mailflow.mail.mime import MimeLimits
from mailflow.mail.model import Accepted, Rejected, Step, Undetermined, Verdict
from mailflow.mail.trust import Trust
from mailflow.wire.management import QuestionElement
from mailflow.wire.questions import write_questions
from mailflow.wire.reader import FileLimits
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled

SERVICE = "demandes@service.example"
MAIRIE = "guichet@mairie.example"
CONSEIL = "guichet@conseil.example"
RECEIVED_AT = AT + timedelta(minutes=2)
JUDGED_AT = AT + timedelta(minutes=3)
MIME = MimeLimits(header_bytes_max=65_536, depth_max=8, parts_max=100)
LIMITS = JudgeLimits(
    mime=MIME,
    contents=ContentLimits(
        mime=MIME, files_max=20, zip_bytes_max=1 << 20, zip_file_bytes_max=1 << 20, zip_ratio_max=200
    ),
    file=FileLimits(file_bytes_max=1 << 20, request_bytes_max=1 << 18, requests_max=20, nodes_max=100_000),
    requests_max=20,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A desk's program with its keys."""

    identity: Identity
    address: str
    code: str

    @property
    def signing_key(self) -> SigningKey:
        return cms.load_signing_key(self.identity.key_pem, self.identity.pem)

    @property
    def decryption_key(self) -> DecryptionKey:
        return cms.load_decryption_key(self.identity.key_pem, self.identity.pem)

    def enrolment(self) -> EnrolledSender:
        """One certificate for both uses, and the desk 59123."""
        certificates = [enrolled(self.identity, use) for use in CertificateUse]
        mandate = Mandate(
            desk=DeskCode("59123"),
            territory=Territory("059"),
            rights=frozenset({Right.CREATION}),
            starts_on=date(2025, 1, 1),
            ends_on=None,
        )
        sender = a_sender(*certificates, code=self.code, address=self.address)
        return replace(sender, mandates=(mandate,))


@cache
def mairie() -> Software:
    return Software(identity=shared_pki().issue("judged-mairie"), address=MAIRIE, code="mairie")


@cache
def conseil() -> Software:
    return Software(identity=shared_pki().issue("judged-conseil"), address=CONSEIL, code="conseil")


@cache
def stranger() -> Software:
    """Has a certificate of the same authority, and is not enrolled."""
    return Software(identity=shared_pki().issue("judged-stranger"), address=MAIRIE, code="stranger")


@cache
def service_key() -> DecryptionKey:
    return cms.load_decryption_key(shared_pki().service_ec.key_pem, shared_pki().service_ec.pem)


@cache
def everybody() -> Trust:
    return a_trust(mairie().enrolment(), conseil().enrolment())


def a_judge(trust: Trust | None = None, limits: JudgeLimits = LIMITS) -> Judge:
    return Judge(
        trust=trust or everybody(),
        keys=(service_key(),),
        limits=limits,
        own_addresses=frozenset({SERVICE, "audit@service.example"}),
        own_domain="service.example",
    )


def explain(raw: bytes, judge: Judge | None = None) -> tuple[Verdict, tuple[Step, ...]]:
    return (judge or a_judge()).explain(Unjudged(intake=7, raw=raw, received_at=RECEIVED_AT), JUDGED_AT)


def accepted(raw: bytes, judge: Judge | None = None) -> Accepted:
    """The verdict, which must be that; every step was passed."""
    verdict, steps = explain(raw, judge)
    assert isinstance(verdict, Accepted), verdict
    assert all(step.passed for step in steps)
    return verdict


def refused(raw: bytes, judge: Judge | None = None, *, answered: bool) -> tuple[str, str]:
    """At which step the mail was refused, and why. Only the last step failed."""
    verdict, steps = explain(raw, judge)
    assert isinstance(verdict, Rejected), verdict
    assert (verdict.reply is not None) is answered
    *passed, last = steps
    failed = [step for step in passed if not step.passed]
    assert all(step.name in TRUST_STEPS for step in failed), "the steps of trust are told before their sum"
    assert not last.passed
    assert last.detail.startswith(verdict.anomalies[0].code)
    return last.name, verdict.anomalies[0].code.name


TRUST_STEPS = (
    "every signer's certificate is enrolled",
    "all signers are one sender",
    "the sender is active",
    "From is enrolled for the sender",
    "signed near the time of reception",
    "the certificates are fit for signing mail",
    "the paths lead to a configured anchor",
    "nothing on the paths is revoked",
)


def undetermined(raw: bytes, judge: Judge) -> Undetermined:
    verdict, _ = explain(raw, judge)
    assert isinstance(verdict, Undetermined), verdict
    return verdict


# Mails


def a_dem(surname: str = "Durand", count: int = 1) -> bytes:
    """The octets of a file with `count` good requests of the desk 59123."""
    names = [surname + chr(97 + number) for number in range(count)]
    people = [Person(surname=name, first_name="Zoé", born_on=date(1990, 1, 1)) for name in names]
    forms = [
        request_form(who, desk="59123", deposited_on=date(2026, 2, 10), municipalities=["59350"]) for who in people
    ]
    return request_file(forms, made_at=AT)


def dem_name(sequence: int = 1) -> str:
    return file_name("59123", AT, sequence)


def dem_part(sequence: int = 1, *, surname: str = "Durand", count: int = 1) -> bytes:
    return entities.file_part(dem_name(sequence), a_dem(surname, count), "application/xml")


def a_ges(*questions: QuestionElement) -> bytes:
    """The octets of a file that asks these, or after the first `DEM` file."""
    return write_questions(questions or (QuestionElement(file_name=dem_name()),), AT)


def ges_part(*questions: QuestionElement, sequence: int = 1) -> bytes:
    return entities.file_part(dem_name(sequence).replace("DEM", "GES"), a_ges(*questions), "application/xml")


def multipart(*parts: bytes, boundary: str = "inner") -> bytes:
    return entities.mixed(parts, boundary)


def signed(content: bytes, by: Software | None = None, *, opaque: bool = False, boundary: str = "outer") -> bytes:
    """An entity with this content, signed at `AT`."""
    key = (by or mairie()).signing_key
    if opaque:
        return cms.opaque_signed(content, key, at=AT)
    return cms.multipart_signed(content, key, at=AT, boundary=boundary)


def encrypted(entity: bytes, *, legacy: bool = False) -> bytes:
    return cms.enveloped_entity(cms.encrypt(entity, [shared_pki().service_ec.der], legacy=legacy))


def mailed(entity: bytes, sender: str | None = MAIRIE, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The complete mail; without `sender` it has no From."""
    given = [*headers] if sender is None else [("From", sender), *headers]
    return entities.mail([*given, ("To", SERVICE), ("Message-ID", "<1@mairie.example>")], entity)


def a_mail(content: bytes | None = None, *, opaque: bool = False) -> bytes:
    """A mail that is right in everything."""
    return mailed(signed(content or dem_part(), opaque=opaque))
