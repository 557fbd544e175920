"""Notices and dispatches as a desk reads them: everything inside, nothing in the subject."""

import hashlib
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from mailflow.core.model import CertificateUse, Environment, SenderCode
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.jobs.orders import CERTIFICATE_ENDINGS, DISPATCHES, NOTICES, CertificateEnding, Dispatch, Notice
from mailflow.mail.desk import AnswerRefused, open_answer
from mailflow.mail.kinds import KINDS
from mailflow.mail.letter import Composition, Letter, Letterhead
from tests.support.judging import mairie
from tests.support.pki import AT, shared_pki
from tests.unit.test_answer import a_composer

LETTERHEAD = Letterhead(
    name="Service", address="demandes@service.test", contact="01", environment=Environment.PRODUCTION
)
MAIRIE = SenderCode("mairie")
NOTICE = Notice(
    sender=MAIRIE,
    desk=DeskCode("59123"),
    requests=((UniqueNumber("059012600000159123"), date(2027, 1, 12)),),
)
DISPATCH = Dispatch(
    sender=MAIRIE,
    desk=DeskCode("59123"),
    territory="059",
    number=12,
    name="DIS59123-202601160400-000012.xml",
    requests=3,
    content=zlib.compress(b"<file/>"),
)


def letter(kind: str, order: object, environment: Environment = Environment.PRODUCTION) -> Letter:
    adapter = KINDS[kind].order
    return KINDS[kind].write(
        adapter.validate_json(adapter.dump_json(order)), replace(LETTERHEAD, environment=environment), {}
    )


def test_orders_are_kept_whole() -> None:
    assert NOTICES.validate_json(NOTICES.dump_json(NOTICE)) == NOTICE
    assert DISPATCHES.validate_json(DISPATCHES.dump_json(DISPATCH)) == DISPATCH


def test_a_notice_lists_numbers_with_their_last_day_for_people_and_programs() -> None:
    written = letter("notice", NOTICE)
    (attached,) = written.attachments
    assert "  059012600000159123 : dernier jour 12/01/2027" in written.text
    assert attached.name == "preavis-59123-059012600000159123.csv"
    assert attached.content == b"numUnique;echeance;environnement\r\n059012600000159123;2027-01-12;production\r\n"
    assert (written.subject, written.to.sender, written.to.certificate) == ("Préavis d'échéance", "mairie", None)


def test_a_dispatch_carries_its_file_under_its_name() -> None:
    written = letter("dispatch", DISPATCH)
    (attached,) = written.attachments
    assert (attached.name, attached.content) == (DISPATCH.name, b"<file/>")
    assert "dispatching n° 12" in written.text
    assert (written.subject, written.automatic) == ("Dispatching 12", "auto-generated")


def a_certificate_ending() -> CertificateEnding:
    ends = datetime(2026, 7, 14, 21, 59, 59, tzinfo=UTC) - AT
    identity = shared_pki().issue("ville", ends=ends, serial=0xABC123)
    return CertificateEnding(sender=MAIRIE, certificate=identity.der, uses=tuple(CertificateUse))


def test_a_certificate_that_ends_is_named_with_its_end_in_paris_and_what_to_do() -> None:
    order = a_certificate_ending()
    written = letter("certificate-ending", order)
    assert "prend fin le 14/07/2026 à 23:59:59" in written.text
    for fact in ("CN=ville", "Numéro de série : abc123", hashlib.sha256(order.certificate).hexdigest()):
        assert fact in written.text
    assert "  Usage : signature de vos messages ; chiffrement des réponses\n" in written.text
    assert "(use: signing your mails ; encrypting answers) ends on 2026-07-14" in written.text
    assert (written.to.sender, written.attachments, written.confidential) == (MAIRIE, (), False)
    assert "ville" not in written.subject


def test_it_is_encrypted_as_long_as_that_is_possible_and_signed_always() -> None:
    composition = Composition(
        kind="certificate-ending",
        order=CERTIFICATE_ENDINGS.dump_json(replace(a_certificate_ending(), sender=mairie().enrolment().code)),
        recipient="in@mairie.example",
        message_id="<token@service.example>",
        further="",
        dated_at=AT,
    )
    (encrypted,) = a_composer().compose(composition, AT).mails
    (signed,) = a_composer(encryption=False).compose(composition, AT).mails
    assert (b"multipart/signed" in encrypted.raw, b"application/pkcs7-mime" in encrypted.raw) == (False, True)
    assert (b"multipart/signed" in signed.raw, b"application/pkcs7-mime" in signed.raw) == (True, False)
    for mail, is_encrypted in ((encrypted, True), (signed, False)):
        opened = open_answer(mail.raw, [mairie().decryption_key], [shared_pki().service_ec.der], AT)
        assert ("prend fin le" in opened.text, opened.encrypted) == (True, is_encrypted)
    with pytest.raises(AnswerRefused):
        open_answer(signed.raw, [mairie().decryption_key], [mairie().identity.der], AT)
