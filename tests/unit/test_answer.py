"""Answers: opened as a desk opens them, the same each time, with nothing told on the outside."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.model import (
    Environment,
    FileReceipt,
    Refused,
    RequestFile,
    SenderCode,
)
from mailflow.core.numbers import UniqueNumber
from mailflow.demo.certificates import Identity
from mailflow.mail import cms
from mailflow.mail.cms import DecryptionKey
from mailflow.mail.composer import Composer
from mailflow.mail.desk import AnswerRefused, OpenedAnswer, open_answer
from mailflow.mail.kinds import ANSWER, KINDS
from mailflow.mail.letter import Composed, Composition, Letterhead
from mailflow.mail.model import Reply, ReplyContext
from mailflow.wire.reader import read_file
from mailflow.wire.writer import write_return
from tests.support.judging import JUDGED_AT, LIMITS, MAIRIE, RECEIVED_AT, SERVICE, a_dem, dem_name, mairie
from tests.support.outcomes import done
from tests.support.pki import shared_pki
from tests.support.trust import a_trust

NUMBER = UniqueNumber("059022600000159123")
MESSAGE_ID = "<0123456789abcdef@service.example>"
SECRETS = ("Durand", "Zoé", "59123", NUMBER, "mairie.example", "1990")


def a_composer(
    environment: Environment = Environment.PRODUCTION,
    archive: bytes | None = None,
    encryption: bool = True,
    mail_bytes_max: int = 1 << 23,
) -> Composer:
    pki = shared_pki()
    enrolments = [mairie().enrolment()] if encryption else []
    return Composer(
        trust=a_trust(*enrolments),
        signing_key=cms.load_signing_key(pki.service_ec.key_pem, pki.service_ec.pem),
        archive=archive,
        letterhead=Letterhead(
            name="Enregistrement des demandes",
            address=SERVICE,
            contact="assistance@service.example",
            environment=environment,
        ),
        mail_bytes_max=mail_bytes_max,
    )


def request_file(name: str | None = None, surname: str = "Durand") -> RequestFile:
    octets = a_dem(surname)
    return read_file(name or dem_name(), octets, limits=LIMITS.file, received_at=RECEIVED_AT)


def a_receipt(file: RequestFile | None = None, record: str | None = "r1", refusal: Code | None = None) -> FileReceipt:
    outcome = Refused(anomalies=(Anomaly(code=refusal),)) if refusal else done(NUMBER)
    return FileReceipt(file=file or request_file(), record=record, decided_at=JUDGED_AT, outcomes=(outcome,))


def a_reply(*files: FileReceipt, anomalies: Sequence[Code] = (), encrypt_to: Identity | None = None) -> Reply:
    to = encrypt_to or mairie().identity
    return Reply(
        context=ReplyContext(
            sender=SenderCode("mairie"),
            recipient=MAIRIE,
            message_id="<1@mairie.example>",
            content_digest="d" * 64,
            signer="e" * 64,
            encrypt_to=to.der,
            legacy_encryption=False,
        ),
        intake=812,
        received_at=RECEIVED_AT,
        decided_at=JUDGED_AT,
        files=files,
        anomalies=tuple(Anomaly(code=code) for code in anomalies),
    )


def legacy(reply: Reply) -> Reply:
    return replace(reply, context=replace(reply.context, legacy_encryption=True))


def nobody(reply: Reply) -> Reply:
    return replace(reply, context=replace(reply.context, encrypt_to=None))


def order(reply: Reply, returned: dict[str, bytes] | None = None) -> Composition:
    return Composition(
        kind=ANSWER,
        order=KINDS[ANSWER].order.dump_json(reply),
        recipient=MAIRIE,
        message_id=MESSAGE_ID,
        further="a secret",
        dated_at=JUDGED_AT + timedelta(seconds=1),
        returned=returned or {},
    )


def composed(reply: Reply, composer: Composer | None = None, returned: dict[str, bytes] | None = None) -> Composed:
    return (composer or a_composer()).compose(order(reply, returned), JUDGED_AT)


def raw_of(answer: Composed) -> bytes:
    (mail,) = answer.mails
    return mail.raw


def opened(answer: Composed, key: DecryptionKey | None = None) -> OpenedAnswer:
    return open_answer(raw_of(answer), [key or mairie().decryption_key], [shared_pki().service_ec.der], JUDGED_AT)


@pytest.mark.parametrize("old_client", [False, True])
def test_a_desk_opens_its_answer(old_client: bool) -> None:
    reply = a_reply(a_receipt())
    answer = composed(legacy(reply) if old_client else reply)
    found = opened(answer)
    assert sorted(found.files) == ["RET59123-202603021000-000001.xml", "accuse-812.xml"]
    assert found.files["RET59123-202603021000-000001.xml"] == write_return(
        a_receipt(), environment=Environment.PRODUCTION
    )
    assert NUMBER in found.text
    assert found.in_reply_to == "<1@mairie.example>"


def test_the_two_ways_of_encryption_differ_as_enrolled() -> None:
    rsa = shared_pki().issue("answered-rsa", kind="rsa")
    structures = []
    for reply in (a_reply(a_receipt(), encrypt_to=rsa), legacy(a_reply(a_receipt(), encrypt_to=rsa))):
        raw = raw_of(composed(reply))
        structures.append(message_from_bytes(raw).get_param("smime-type"))
    assert structures == ["authEnveloped-data", "enveloped-data"]


def test_nobody_else_opens_it_but_the_archive() -> None:
    pki = shared_pki()
    stranger = cms.load_decryption_key(pki.service_ec.key_pem, pki.service_ec.pem)
    archive = cms.load_decryption_key(pki.archive.key_pem, pki.archive.pem)
    answer = composed(a_reply(a_receipt()))
    for key in (stranger, archive):
        with pytest.raises(AnswerRefused):
            opened(answer, key)
    kept = composed(a_reply(a_receipt()), a_composer(archive=pki.archive.der))
    assert opened(kept, archive).files == opened(kept).files
    with pytest.raises(AnswerRefused):
        opened(kept, stranger)


def test_an_answer_that_somebody_else_signed_is_refused() -> None:
    answer = composed(a_reply(a_receipt()))
    with pytest.raises(AnswerRefused):
        open_answer(raw_of(answer), [mairie().decryption_key], [mairie().identity.der], JUDGED_AT)


# On the outside


def test_headers_tell_nothing_but_intake_and_environment() -> None:
    answer = composed(a_reply(a_receipt(refusal=Code.REQUEST_EXISTS), anomalies=[Code.PART_UNREADABLE]))
    mail = message_from_bytes(raw_of(answer), policy=default)
    assert {name: str(value) for name, value in mail.items() if not name.lower().startswith("content-")} == {
        "From": f"Enregistrement des demandes <{SERVICE}>",
        "To": MAIRIE,
        "Subject": "Réponse à votre envoi 812",
        "Date": "Mon, 02 Mar 2026 09:03:01 +0000",
        "Message-ID": MESSAGE_ID,
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
        "X-Mailflow-Environment": "production",
        "In-Reply-To": "<1@mairie.example>",
        "References": "<1@mairie.example>",
        "MIME-Version": "1.0",
    }
    assert answer.mails[0].message_id == MESSAGE_ID


def test_a_mail_without_message_id_is_answered_without_reference() -> None:
    reply = a_reply(a_receipt())
    mail = message_from_bytes(raw_of(composed(replace(reply, context=replace(reply.context, message_id="")))))
    assert mail["In-Reply-To"] is None
    assert mail["References"] is None


def test_the_body_is_ciphertext() -> None:
    answer = composed(a_reply(a_receipt()))
    decoded = message_from_bytes(raw_of(answer)).get_payload(decode=True)
    assert isinstance(decoded, bytes)
    assert not [secret for secret in SECRETS if secret.encode() in decoded]


def test_the_school_says_so_everywhere() -> None:
    answer = composed(a_reply(a_receipt()), a_composer(Environment.SCHOOL))
    mail = message_from_bytes(raw_of(answer), policy=default)
    assert str(mail["Subject"]) == "[ÉCOLE] Réponse à votre envoi 812"
    assert mail["X-Mailflow-Environment"] == "ecole"
    found = opened(answer)
    assert found.text.startswith("ÉCOLE : ceci est un essai.")
    assert all(b"ecole" in content for content in found.files.values())
    assert "ÉCOLE" not in opened(composed(a_reply(a_receipt()))).text


# The same each time


def test_the_same_order_gives_the_same_content() -> None:
    first, again = (composed(a_reply(a_receipt(), anomalies=[Code.ZIP_REFUSED])) for _ in range(2))
    assert raw_of(first) != raw_of(again), "keys and nonces are new each time"
    key = mairie().decryption_key

    def inside(answer: Composed) -> bytes:
        octets = message_from_bytes(raw_of(answer)).get_payload(decode=True)
        assert isinstance(octets, bytes)
        signed = cms.decrypt(octets, [key], at=JUDGED_AT)
        # An ECDSA signature has a random part; what it covers has none.
        return signed.partition(b"Content-Type: application/pkcs7-signature")[0]

    assert inside(first) == inside(again)
    assert first.returns == again.returns


def test_a_file_is_returned_in_the_octets_that_were_frozen() -> None:
    frozen = b"<as it was told first/>\n"
    answer = composed(a_reply(replace(a_receipt(), repeated=True)), returned={"r1": frozen})
    assert opened(answer).files["RET59123-202603021000-000001.xml"] == frozen
    assert answer.returns == ()


def test_what_was_written_for_the_first_time_is_handed_over_to_be_frozen() -> None:
    taken = a_receipt(request_file(surname="Petit"), record=None, refusal=Code.REQUEST_EXISTS)
    answer = composed(a_reply(a_receipt(), taken))
    assert answer.returns == (("r1", write_return(a_receipt(), environment=Environment.PRODUCTION)),)


def test_two_answers_of_one_name_do_not_hide_each_other() -> None:
    """The second content under a name is refused; a desk that saves by name must not lose the number."""
    repeated = a_receipt(request_file(surname="Petit"), record=None, refusal=Code.FILE_NAME_REPEATED)
    files = opened(composed(a_reply(a_receipt(), a_receipt(), repeated))).files
    name = "RET59123-202603021000-000001"
    assert sorted(files) == [f"{name}-2.xml", f"{name}.xml", "accuse-812.xml"]
    assert NUMBER.encode() in files[f"{name}.xml"]
    assert NUMBER.encode() not in files[f"{name}-2.xml"]


def test_a_file_with_a_wild_name_is_returned_under_a_tame_one() -> None:
    wild = a_receipt(request_file("../\r\nBcc: x.xml"), record=None, refusal=Code.FILE_NAME_WRONG)
    found = opened(composed(a_reply(wild)))
    (name,) = set(found.files) - {"accuse-812.xml"}
    assert (
        name
        == f"RET-{hashlib.sha256(b'../' + chr(13).encode() + chr(10).encode() + b'Bcc: x.xml').hexdigest()[:16]}.xml"
    )
    assert "Fichier ../??Bcc: x.xml" in found.text


# To whom


def test_without_anybody_to_encrypt_to_there_is_no_answer() -> None:
    held = composed(nobody(a_reply(a_receipt())), a_composer(encryption=False))
    assert (held.mails, held.reason) == ((), "no valid encryption certificate")
    long_after = JUDGED_AT + timedelta(days=9999)
    assert not a_composer().compose(order(nobody(a_reply())), long_after).mails, "no expired certificate serves"


def test_a_certificate_that_was_enrolled_since_serves() -> None:
    assert opened(composed(nobody(a_reply(a_receipt())))).files


def test_an_order_does_not_show_what_it_returns() -> None:
    assert "Durand" not in repr(order(a_reply(), returned={"r1": b"<nom>Durand</nom>"}))


# In several mails

MAIL_BYTES_MAX = 1 << 20


def an_opened_part(raw: bytes) -> OpenedAnswer:
    assert len(raw) <= MAIL_BYTES_MAX
    return open_answer(raw, [mairie().decryption_key], [shared_pki().service_ec.der], JUDGED_AT)


def test_an_answer_that_is_too_large_comes_in_parts() -> None:
    """Each below the limit, each saying which it is; together they hold every file once."""
    chance = random.Random(7)
    frozen = {f"r{n}": chance.randbytes(200_000) for n in range(8)}
    receipts = [a_receipt(request_file(f"DEM59123-202603021000-{n:06}.xml"), f"r{n}") for n in range(8)]
    composer = a_composer(mail_bytes_max=MAIL_BYTES_MAX)
    answer = composed(a_reply(*receipts), composer, frozen)
    parts = [an_opened_part(mail.raw) for mail in answer.mails]
    assert len(parts) == 4
    assert [name for part in parts for name in part.files] == [
        *(f"RET59123-202603021000-{n:06}.xml" for n in range(8)),
        "accuse-812.xml",
    ]
    mails = [message_from_bytes(mail.raw, policy=default) for mail in answer.mails]
    assert [str(mail["Subject"]) for mail in mails] == [
        f"Réponse à votre envoi 812 (partie {n} sur 4)" for n in (1, 2, 3, 4)
    ]
    assert [NUMBER in part.text for part in parts] == [True, False, False, False]
    assert all(f"partie {n} sur 4" in part.text for n, part in enumerate(parts, 1))
    names = [str(mail["Message-ID"]) for mail in mails]
    assert names == [mail.message_id for mail in answer.mails]
    assert names[0] == MESSAGE_ID
    assert len(set(names)) == 4
    assert {str(mail["In-Reply-To"]) for mail in mails} == {"<1@mairie.example>"}
    assert [mail["References"].split() for mail in mails[1:]] == [["<1@mairie.example>", MESSAGE_ID]] * 3
    again = composed(a_reply(*receipts), composer, frozen)
    assert [mail.message_id for mail in again.mails] == names
    other = composer.compose(replace(order(a_reply(*receipts), frozen), further="another"), JUDGED_AT)
    assert {mail.message_id for mail in other.mails} & set(names) == {MESSAGE_ID}


def test_a_file_that_is_larger_than_a_mail_goes_zipped() -> None:
    frozen = b"<?xml version='1.0'?>" + b"<nom>Durand</nom>" * 200_000
    answer = composed(a_reply(a_receipt()), a_composer(mail_bytes_max=MAIL_BYTES_MAX), {"r1": frozen})
    (mail,) = answer.mails
    assert an_opened_part(mail.raw).files["RET59123-202603021000-000001.xml"] == frozen
