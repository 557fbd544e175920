"""What a coverage-guided fuzzer calls: for each parser of what others send, a function of any octets.

Each may end only as the parser says that it ends; anything else that is raised is a finding.
"""

import contextlib
from collections.abc import Callable

from mailflow.core.model import Environment
from mailflow.enrolment import reader as enrolment
from mailflow.enrolment.reader import EnrolmentFault
from mailflow.mail import attachments, bounces, imap_syntax, mime, pem
from mailflow.mail.cms import CmsError, decrypt
from mailflow.mail.cms.certificates import identity, public_key
from mailflow.mail.fields import MimeError
from mailflow.mail.imap_syntax import UnreadableResponseError
from mailflow.mail.pem import PemError
from mailflow.mail.trust.revocation_list import RevocationList, UnusableList
from mailflow.wire.acknowledgement import read_codes
from mailflow.wire.dispatch import NotOfTheService, read_creations, read_told
from mailflow.wire.names import FileNameError, parse_name
from mailflow.wire.questions import NotAnAnswer, read_questions, read_told_numbers
from mailflow.wire.reader import read_file
from tests.fuzz import corpus
from tests.fuzz.reading import read
from tests.support.judging import LIMITS, MIME
from tests.support.keys import decryption_key
from tests.support.pki import AT


def mail(octets: bytes) -> None:
    """MIME, and the signature where there is one: what is accepted was signed."""
    reading = read(octets)
    if reading.verified is not None and mime.canonical(reading.verified.content).strip() != corpus.ENTITY.strip():
        raise AssertionError("accepted what nobody signed")


def parts(octets: bytes) -> None:
    """Every part of a mail, decoded."""
    try:
        for part in mime.walk(mime.read(octets, MIME)):
            part.decoded(1 << 20)
    except MimeError:
        pass


def automatic(octets: bytes) -> None:
    """Delivery reports and other mails of machines."""
    try:
        entity = mime.read(octets, MIME)
    except MimeError:
        return
    bounces.classify(entity, own_addresses=["service@example.test"], own_message_id=lambda _: False)


def contents(octets: bytes) -> None:
    """What a signed content holds, zips included."""
    attachments.read_contents(octets, LIMITS.contents)


def envelope(octets: bytes) -> None:
    """Decryption."""
    with contextlib.suppress(CmsError):
        decrypt(octets, [decryption_key("rsa"), decryption_key("p256")], at=AT)


def certificate(octets: bytes) -> None:
    """What we read of a certificate."""
    for reader in (identity, public_key):
        with contextlib.suppress(CmsError):
            reader(octets)


def revocation_list(octets: bytes) -> None:
    """A list of revoked certificates."""
    with contextlib.suppress(UnusableList):
        RevocationList(octets)


def armour(octets: bytes) -> None:
    """PEM."""
    with contextlib.suppress(PemError):
        pem.read_der(octets, "CERTIFICATE")


def request_file(octets: bytes) -> None:
    """A `DEM` file: every fault is an anomaly."""
    read_file("DEMZ0001-202611250900-000001.xml", octets, limits=LIMITS.file, received_at=AT)


def question_file(octets: bytes) -> None:
    """A `GES` file: every fault is an anomaly."""
    read_questions("GESZ0001-202611250900-000001.xml", octets, limits=LIMITS.file, now=AT)


def answers(octets: bytes) -> None:
    """What a desk reads of the service, and we after a loss: `RET`, `DIS` and `RGE` files, acknowledgements."""
    for reader in (read_told, read_creations):
        with contextlib.suppress(NotOfTheService):
            reader(octets)
    with contextlib.suppress(NotAnAnswer):
        read_told_numbers(octets)
    read_codes(octets)


def file_name(octets: bytes) -> None:
    """The name of a file."""
    with contextlib.suppress(FileNameError):
        parse_name(octets.decode("utf-8", "surrogateescape"))


def imap_response(octets: bytes) -> None:
    """Lines of an IMAP server; each second one is a literal where the first announces one."""
    lines = octets.split(b"\r\n")
    for reader in (imap_syntax.uidvalidity, imap_syntax.search_uids, imap_syntax.capabilities):
        with contextlib.suppress(UnreadableResponseError):
            reader(lines)
    with contextlib.suppress(UnreadableResponseError):
        list(imap_syntax.fetched(lines))
    list(imap_syntax.quotas(lines))


def enrolment_file(octets: bytes) -> None:
    """An operator's file of enrolments."""
    with contextlib.suppress(EnrolmentFault):
        enrolment.read(octets, Environment.SCHOOL)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__.replace("_", "-"): target
    for target in (
        *(mail, parts, automatic, contents, envelope, certificate, revocation_list, armour),
        *(request_file, question_file, answers, file_name, imap_response, enrolment_file),
    )
}
