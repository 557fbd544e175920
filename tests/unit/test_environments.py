"""Nothing that leaves the school can be taken for real, nor the other way round: whatever leaves, of every kind."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from email import message_from_bytes
from email.policy import default

import pytest

from mailflow.attestation import typeset
from mailflow.core.inquiry import Question, QuestionFile, QuestionReceipt, Situation, StatusAnswer
from mailflow.core.model import CertificateUse, Environment, SenderCode
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber, compose
from mailflow.core.service_keys import KeyUse
from mailflow.core.succession import Succession, Successor, SuccessorReceipt
from mailflow.jobs.orders import (
    CERTIFICATE_ENDING,
    DISPATCH,
    NOTICE,
    SERVICE_CERTIFICATE,
    CertificateEnding,
    Dispatch,
    Notice,
    ServiceCertificate,
)
from mailflow.mail.desk import OpenedAnswer, open_answer
from mailflow.mail.kinds import ANSWER, KINDS, RECEIPT, SUCCESSION
from mailflow.mail.letter import Attachment, Composition
from mailflow.mail.model import Recognised, RecognisedFile, SuccessionNotice, TechnicalReceipt
from mailflow.mail.wording import SCHOOL_NOTICE
from mailflow.wire.dispatch import dispatch_name, write_dispatch
from tests.support.attestations import an_attestation, text
from tests.support.judging import JUDGED_AT, MAIRIE, mairie
from tests.support.outcomes import done
from tests.support.pki import shared_pki
from tests.unit.test_answer import MESSAGE_ID, a_composer, a_receipt, a_reply, request_file

DESKS = {Environment.PRODUCTION: DeskCode("59123"), Environment.SCHOOL: DeskCode("Z0001")}
MARKS = re.compile("[ée]cole", re.IGNORECASE)


def number_of(environment: Environment) -> UniqueNumber:
    return compose(Territory("059"), date(2026, 2, 10), 1, DESKS[environment])


def an_answer(environment: Environment) -> object:
    desk = DESKS[environment]
    receipt = replace(
        a_receipt(request_file(f"DEM{desk}-202603021000-000001.xml")), outcomes=(done(number_of(environment)),)
    )
    asked = QuestionReceipt(
        file=QuestionFile(
            name=f"GES{desk}-202603021000-000001.xml",
            desk=desk,
            digest="d" * 64,
            questions=(Question(file_name=f"DEM{desk}-202603021000-000001.xml"),),
        ),
        answered_at=JUDGED_AT,
        answers=(StatusAnswer(situation=Situation.UNKNOWN),),
    )
    return replace(a_reply(receipt), questions=(asked,))


def a_technical_receipt(environment: Environment) -> object:
    file = RecognisedFile(name=f"DEM{DESKS[environment]}-202603021000-000001.xml", digest="d" * 64)
    mail = Recognised(intake=812, reply=a_reply().context, size_bytes=7_000, files=(file,))
    return TechnicalReceipt(recognised=mail, received_at=JUDGED_AT, deadline_at=JUDGED_AT)


def a_notice(environment: Environment) -> object:
    ends = ((number_of(environment), date(2027, 2, 10)),)
    return Notice(sender=SenderCode("mairie"), desk=DESKS[environment], requests=ends)


def a_dispatch(environment: Environment) -> object:
    desk = DESKS[environment]
    return Dispatch(
        sender=SenderCode("mairie"),
        desk=desk,
        territory="059",
        number=12,
        name=dispatch_name(desk, 12, JUDGED_AT),
        requests=0,
        content=zlib.compress(write_dispatch([], environment=environment, at=JUDGED_AT)),
    )


def a_certificate_ending(_: Environment) -> object:
    return CertificateEnding(
        sender=SenderCode("mairie"), certificate=mairie().identity.der, uses=(CertificateUse.SIGN,)
    )


def a_service_certificate(_: Environment) -> object:
    return ServiceCertificate(
        sender=SenderCode("mairie"),
        certificate=mairie().identity.der,
        use=KeyUse.DECRYPTION,
        active_from=JUDGED_AT,
        former_until=JUDGED_AT,
    )


def a_succession(_: Environment) -> object:
    one = mairie().identity
    successor = Successor(
        certificate=one.der, fingerprint=one.fingerprint, follows="ab" * 32, uses=(CertificateUse.SIGN,)
    )
    receipt = SuccessorReceipt(successor=successor, became=Succession.WAITING)
    return SuccessionNotice(sender=SenderCode("mairie"), receipt=receipt, encrypt_to=one.der)


ORDERS: Mapping[str, Callable[[Environment], object]] = {
    ANSWER: an_answer,
    RECEIPT: a_technical_receipt,
    NOTICE: a_notice,
    CERTIFICATE_ENDING: a_certificate_ending,
    SERVICE_CERTIFICATE: a_service_certificate,
    SUCCESSION: a_succession,
    DISPATCH: a_dispatch,
}


def test_every_kind_of_outgoing_mail_is_looked_at_here() -> None:
    assert ORDERS.keys() == KINDS.keys()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One mail, outside and inside."""

    subject: str
    sender: str
    header: str
    opened: OpenedAnswer
    files: Mapping[str, str]
    """What each file says, PDF included."""


def sent(kind: str, environment: Environment, mail_bytes_max: int = 1 << 23) -> list[Sent]:
    """The mails of an order of that kind; with an attestation, where those go along."""
    pdf = typeset(replace(an_attestation(), environment=environment)) if kind == ANSWER else b""
    name = f"ATT{DESKS[environment]}-202603021000-000001.pdf"
    composition = Composition(
        kind=kind,
        order=KINDS[kind].order.dump_json(ORDERS[kind](environment)),
        recipient=MAIRIE,
        message_id=MESSAGE_ID,
        further="a secret",
        dated_at=JUDGED_AT,
        enclosures=(Attachment(name=name, content=pdf, content_type="application/pdf"),) if pdf else (),
    )
    composed = a_composer(environment, mail_bytes_max=mail_bytes_max).compose(composition, JUDGED_AT)
    return [looked_at(mail.raw) for mail in composed.mails]


def looked_at(raw: bytes) -> Sent:
    outside = message_from_bytes(raw, policy=default)
    opened = open_answer(raw, [mairie().decryption_key], [shared_pki().service_ec.der], JUDGED_AT)
    return Sent(
        subject=str(outside["Subject"]),
        sender=outside["From"].addresses[0].display_name,
        header=str(outside["X-Mailflow-Environment"]),
        opened=opened,
        files={
            name: text(content) if name.endswith(".pdf") else content.decode() for name, content in opened.files.items()
        },
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mail_bytes_max", [1 << 23, 90_000], ids=["one mail", "several mails"])
def test_the_school_says_so_in_each_place_that_somebody_may_look_at_or_forward(kind: str, mail_bytes_max: int) -> None:
    mails = sent(kind, Environment.SCHOOL, mail_bytes_max)
    assert (len(mails) > 1) == (mail_bytes_max == 90_000 and kind == ANSWER)
    for mail in mails:
        assert mail.subject.startswith("[ÉCOLE] ")
        assert mail.sender.startswith("[ÉCOLE] ")
        assert (mail.header, mail.opened.environment) == ("ecole", "ecole")
        assert mail.opened.text.splitlines()[0] == SCHOOL_NOTICE
        assert mail.files or kind in (CERTIFICATE_ENDING, SUCCESSION)
        for name, content in mail.files.items():
            assert MARKS.search(content), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_real_says_nothing_of_a_school(kind: str) -> None:
    (mail,) = sent(kind, Environment.PRODUCTION)
    assert (mail.header, mail.opened.environment) == ("production", "production")
    for said in (mail.subject, mail.sender, mail.opened.text, *mail.files.values()):
        assert not MARKS.search(said)


@pytest.mark.parametrize("kind", KINDS)
def test_every_desk_and_number_in_a_mail_of_the_school_is_one_of_the_school(kind: str) -> None:
    for mail in sent(kind, Environment.SCHOOL):
        said = "\n".join((mail.opened.text, *mail.files, *(c for n, c in mail.files.items() if not n.endswith(".pdf"))))
        found = re.findall(r"\b(?:DEM|RET|GES|RGE|DIS|ATT)([0-9A-Z]{5})-|\b[0-9]{13}([0-9A-Z]{5})\b", said)
        assert kind in (RECEIPT, CERTIFICATE_ENDING, SERVICE_CERTIFICATE, SUCCESSION) or found
        assert {first or second for first, second in found} <= {DESKS[Environment.SCHOOL]}
