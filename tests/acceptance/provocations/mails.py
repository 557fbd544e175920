"""What can be wrong with a mail: its form, its signature, its protection. Mostly nobody is answered."""

import io
import zipfile
from collections.abc import Callable
from datetime import timedelta

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE
from mailflow.demo.pki import Fault
from mailflow.mail import cms, entities
from mailflow.mail.successor import write_successor
from tests.acceptance.provocations.stage import Script, Stage, Story, key_of
from tests.support.crafted import attributes, signed_data, signer_info
from tests.support.mail_world import ROOT

MAIL_BYTES_MAX = 300_000
"""Of the world in which these are played."""
REQUESTS_MAX = 20
NO_STRUCTURE = b"\x30\x03\x02\x01\x01"
"""DER, but neither a signature nor a certificate."""
BOUNCE = ROOT / "tests" / "data" / "bounces" / "postfix_failed.eml"


def once(write: Callable[[Stage], bytes]) -> Script:
    """A story of one mail."""

    def story(stage: Stage) -> Story:
        yield write(stage)

    return story


def good(stage: Stage) -> bytes:
    """The content of a mail with one good file."""
    return stage.parts((stage.name(), stage.file("CRE", *stage.requests(1))))


def text(stage: Stage, *headers: tuple[str, str]) -> bytes:
    """A mail that nobody signed."""
    return stage.mail(entities.text_part("Bonjour"), headers=headers)


def attached(name: str, content: bytes, content_type: str) -> Script:
    """A good file, and beside it something else."""

    def write(stage: Stage) -> bytes:
        return stage.signed(entities.mixed([good(stage), entities.file_part(name, content, content_type)], "around"))

    return once(write)


def detached(content: bytes, signature: bytes) -> bytes:
    """`multipart/signed` with whatever signature (DER)."""
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="signed"\r\n\r\n'
    part = entities.file_part("smime.p7s", signature, "application/pkcs7-signature")
    return b"".join([head, b"--signed\r\n", content, b"\r\n--signed\r\n", part, b"\r\n--signed--\r\n"])


def enrolled(sender: str) -> Script:
    """A mail in order, signed by a key that is enrolled though it proves nothing."""
    return once(lambda stage: stage.signed(good(stage), sender))


def crafted(change: Callable[[Stage, bytes, Identity], bytes]) -> Script:
    """A mail whose SignedData is made by hand."""

    def write(stage: Stage) -> bytes:
        content = good(stage)
        return stage.mail(detached(content, change(stage, content, stage.software["ville"].identity)))

    return once(write)


def altered_signature(stage: Stage, content: bytes, _who: Identity) -> bytes:
    signature = cms.sign(content, key_of(stage.software["ville"]), at=stage.at, detached=True)
    return signature[:-1] + bytes([signature[-1] ^ 1])


def five_signatures(stage: Stage, content: bytes, who: Identity) -> bytes:
    return signed_data(None, [signer_info(who, attributes(content, at=stage.at))] * 5, [who.der])


def unknown(*certificates: bytes) -> Script:
    """Signed by somebody whose certificate is neither in the mail nor enrolled."""

    def change(stage: Stage, content: bytes, _who: Identity) -> bytes:
        nobody = stage.world.installation.pki.issue("nobody", kind="rsa")
        return signed_data(None, [signer_info(nobody, attributes(content, at=stage.at))], certificates)

    return crafted(change)


def too_many(stage: Stage) -> bytes:
    files = [(stage.name(), stage.file("CRE", *stage.requests(count))) for count in (REQUESTS_MAX, 1)]
    return stage.signed(stage.parts(*files))


def zipped(name: str, content: bytes) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return octets.getvalue()


def two_certificates(stage: Stage) -> bytes:
    pem = stage.software["ville"].identity.pem
    parts = [entities.file_part(f"CERZ0001-20260115103{n}.pem", pem, "application/x-pem-file") for n in (0, 1)]
    return stage.signed(entities.mixed([good(stage), *parts], "around"))


def spoilt_base64(stage: Stage) -> bytes:
    part = b'Content-Type: application/xml; name="x.xml"\r\nContent-Transfer-Encoding: base64\r\n\r\n****\r\n'
    return stage.signed(entities.mixed([good(stage), part], "around"))


def two_names(stage: Stage) -> bytes:
    """Readers would take the part for one or for the other."""
    part = entities.file_part("carte.jpg", b"<x/>", "image/jpeg")
    other = part.replace(b'filename="carte.jpg"', b"filename=\"carte.jpg\"; filename*=utf-8''a.zip")
    return stage.signed(entities.mixed([good(stage), other], "around"))


def with_a_copy(stage: Stage) -> bytes:
    key = key_of(stage.software["ville"])
    content = cms.multipart_signed(good(stage), key, at=stage.at, boundary="signed")
    return stage.mail(content, headers=[("Cc", "someone.else@desk.example")])


def old_certificate(stage: Stage) -> bytes:
    pem = stage.world.installation.pki.faulty(Fault.EXPIRED).pem
    part = entities.file_part("CERZ0001-202601151030.pem", pem, "application/x-pem-file")
    return stage.signed(entities.mixed([good(stage), part], "around"))


def successor(of: Callable[[Stage], Identity], service: str = SERVICE) -> Script:
    """A certificate that is offered to follow the one that signs."""

    def write(stage: Stage) -> bytes:
        new = of(stage)
        follows = stage.software["ville"].identity.fingerprint
        octets = write_successor(service, follows, cms.load_signing_key(new.key_pem, new.pem), stage.at)
        return stage.signed(entities.file_part("NCEZ0001-202601151030.pem", octets, "application/x-pem-file"))

    return once(write)


def signed_last_week(stage: Stage) -> bytes:
    key = key_of(stage.software["ville"])
    return stage.mail(cms.multipart_signed(good(stage), key, at=stage.at - timedelta(days=8), boundary="signed"))


STORIES: dict[Code, Script] = {
    Code.MAIL_TOO_LARGE: once(lambda stage: stage.mail(entities.text_part("Bonjour\n" * (MAIL_BYTES_MAX // 8)))),
    Code.MAIL_UNREADABLE: once(lambda _: b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"),
    Code.MAIL_LIMITS_EXCEEDED: once(lambda stage: text(stage, *[("X-Line", "x" * 900)] * 100)),
    Code.MAIL_IS_BOUNCE: once(lambda _: BOUNCE.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
    Code.MAIL_IS_BULK: once(lambda stage: text(stage, ("List-Id", "<demandes.example>"))),
    Code.MAIL_IS_OUR_OWN: once(
        lambda stage: entities.mail([("From", SERVICE), ("To", SERVICE)], entities.text_part("Bonjour"))
    ),
    Code.MAIL_LOOPS: once(lambda stage: text(stage, *[("Received", "from a by b")] * 31)),
    Code.MAIL_TOO_MANY_REQUESTS: once(too_many),
    Code.MAIL_SEVERAL_CERTIFICATES: once(two_certificates),
    Code.PART_UNREADABLE: once(spoilt_base64),
    Code.PART_NAME_AMBIGUOUS: once(two_names),
    Code.OTHER_RECIPIENTS: once(with_a_copy),
    Code.ZIP_REFUSED: attached("a.zip", zipped("../DEMZ0001-202601151030-000001.xml", b"<x/>"), "application/zip"),
    Code.ZIP_TOO_LARGE: attached(
        "a.zip", zipped("DEMZ0001-202601151030-000001.xml", b" " * 250_000), "application/zip"
    ),
    Code.SIGNATURE_UNREADABLE: crafted(lambda stage, content, who: NO_STRUCTURE),
    Code.SIGNATURE_WRONG: crafted(altered_signature),
    Code.SIGNING_TIME_OUT_OF_WINDOW: once(signed_last_week),
    Code.SIGNER_CERTIFICATE_MISSING: unknown(),
    Code.CONTENT_DUPLICATED: crafted(
        lambda stage, content, who: cms.sign(content, key_of(stage.software["ville"]), at=stage.at, detached=False)
    ),
    Code.CERTIFICATE_UNREADABLE: unknown(NO_STRUCTURE),
    Code.SIGNATURE_LIMITS_EXCEEDED: crafted(
        lambda stage, content, who: signed_data(
            None, [signer_info(who, attributes(content, at=stage.at))] * 5, [who.der]
        )
    ),
    Code.ANSWER_CERTIFICATE_REFUSED: once(old_certificate),
    Code.SUCCESSOR_UNPROVEN: successor(
        lambda stage: stage.world.installation.pki.issue("nouveau"), "demandes@ailleurs.example"
    ),
    Code.SUCCESSOR_REFUSED: successor(lambda stage: stage.world.installation.pki.faulty(Fault.EXPIRED)),
    Code.PATH_REFUSED: enrolled("autre-autorite"),
    Code.REVOCATION_UNKNOWN: enrolled("sans-liste"),
    Code.KEY_USAGE_REFUSED: enrolled("autre-usage"),
    Code.SENDER_SUSPENDED: enrolled("suspendu"),
}
