"""What is asked of a foreign producer of signed mail, and what each can do: form, signature and encryption combined."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from mailflow.demo.certificates import Identity
from mailflow.demo.installation import SERVICE, DeskSoftware

TOOL_SECONDS_MAX = 120


class Form(StrEnum):
    """Whether the signed content stands beside its signature or inside."""

    DETACHED = "detached"
    OPAQUE = "opaque"


class Signature(StrEnum):
    """How is signed."""

    RSA = "RSA"
    PSS = "RSA-PSS"
    ECDSA = "ECDSA"


class Opens(StrEnum):
    """What a producer can decrypt with, as the answers are written for it."""

    RSA_MODERN = "AES-GCM, RSA-OAEP"
    RSA_LEGACY = "AES-CBC, RSA v1.5"
    CURVE_MODERN = "AES-GCM, ECDH"
    CURVE_LEGACY = "AES-CBC, ECDH"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination."""

    form: Form
    signature: Signature
    encrypted: bool

    def __str__(self) -> str:
        return f"{self.form} {self.signature}{' encrypted' * self.encrypted}"


CELLS = tuple(
    Cell(form=form, signature=signature, encrypted=encrypted)
    for signature in Signature
    for form in Form
    for encrypted in (False, True)
)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What a desk wants to send."""

    sender: str
    """The code of the sender; its keys are `<sender>.{pem,key}`."""
    address: str
    message_id: str
    file_name: str
    octets: bytes = field(repr=False)

    def entity(self) -> bytes:
        """The content in MIME, by the standard library, for producers that only make CMS."""
        message = EmailMessage(policy=SMTP)
        message.set_content("Bonjour, voici une demande réelle.\n")
        message.add_attachment(self.octets, maintype="application", subtype="xml", filename=self.file_name)
        del message["MIME-Version"]
        return message.as_bytes()

    def mail(self, entity: bytes) -> bytes:
        """The transport headers, for producers that do not write them."""
        headers = (("From", self.address), ("To", SERVICE), ("Subject", "Demandes"), ("Message-ID", self.message_id))
        return "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + entity


class Place:
    """A folder with every desk's keys, the service's certificates and the authorities; tools run in it."""

    def __init__(self, folder: Path, senders: Sequence[DeskSoftware], service: Mapping[str, Identity]) -> None:
        self.folder = folder
        self.senders = senders
        self._environment = {"HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "xterm", "PATH": os.environ["PATH"]}
        for one in senders:
            for name, identity in {one.sender: one.identity, opening(one): one.decrypts or one.identity}.items():
                self.write(f"{name}.pem", identity.pem)
                self.write(f"{name}.key", identity.key_pem)
                self.write(f"{name}.both", identity.key_pem + identity.pem)
        for kind, identity in service.items():
            self.write(f"service-{kind}.pem", identity.pem)

    def write(self, name: str, octets: bytes) -> Path:
        """A file of that name."""
        (self.folder / name).touch(mode=0o600)
        (self.folder / name).write_bytes(octets)
        return self.folder / name

    def read(self, name: str) -> bytes:
        """What a tool wrote; the file is gone, so that nobody reads it twice."""
        octets = (self.folder / name).read_bytes()
        (self.folder / name).unlink()
        return octets

    def run(self, *command: str, stdin: bytes = b"", **environment: str) -> bytes:
        """What the tool said on standard output; it ended well. What it says on standard error is told otherwise."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**environment),
            input=stdin,
            capture_output=True,
            timeout=TOOL_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-1000:])
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of the user's own is found."""
        return {**self._environment, **more}


def opening(software: DeskSoftware) -> str:
    """The name of the key that answers are encrypted to."""
    return f"{software.sender}-opens" if software.decrypts else software.sender


class Producer:
    """A tool that makes signed mail. What it `cannot` is told by form, signature, "encrypted" or "answer"."""

    name = ""
    package = ""
    """Where it comes from."""
    program = ""
    """What must be on the path."""
    cannot: ClassVar[Mapping[str, str]] = {}
    opens: tuple[Opens, ...] = ()
    """What it can decrypt with, the best for each kind of key."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def write(self, letter: Letter, cell: Cell) -> bytes:
        """The complete mail."""
        raise NotImplementedError

    def read(self, key: str, raw: bytes) -> bytes:
        """What the answer says after the tool has decrypted it with that key and verified its signature."""
        raise NotImplementedError

    def close(self) -> None:
        """End what runs in the background."""

    @classmethod
    def legal(cls) -> Iterator[Cell]:
        """The combinations that the tool can make."""
        for cell in CELLS:
            if not {cell.form, cell.signature, "encrypted" if cell.encrypted else ""} & cls.cannot.keys():
                yield cell

    @classmethod
    def opens_after(cls, signature: Signature) -> Opens | None:
        """How a desk that signs so has its answers encrypted: to a key of the same kind, where the tool can."""
        curve = [one for one in cls.opens if one.endswith("ECDH")]
        others = [one for one in cls.opens if one not in curve]
        wanted = [*curve, *others] if signature is Signature.ECDSA else others
        return wanted[0] if wanted else None


def service_key(cell: Cell, *, curves: bool = True) -> str:
    """The certificate of the service that a mail is encrypted to: of the signer's kind, if the tool takes curves."""
    return "service-curve" if curves and cell.signature is Signature.ECDSA else "service-rsa"


# MIME for tools that have none


def multipart_signed(entity: bytes, der: bytes) -> bytes:
    """The content beside its signature (RFC 8551 section 3.5.3)."""
    signature = EmailMessage(policy=SMTP)
    signature.set_content(der, maintype="application", subtype="pkcs7-signature", filename="smime.p7s")
    del signature["MIME-Version"]
    return (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
        b' micalg="sha-256"; boundary="zone"\r\n\r\n--zone\r\n'
        + entity
        + b"\r\n--zone\r\n"
        + signature.as_bytes()
        + b"\r\n--zone--\r\n"
    )


def pkcs7_mime(der: bytes, smime_type: str) -> bytes:
    """A CMS structure as a body (RFC 8551 section 3.2)."""
    message = EmailMessage(policy=SMTP)
    message.set_content(
        der,
        maintype="application",
        subtype="pkcs7-mime",
        filename="smime.p7m",
        params={"smime-type": smime_type, "name": "smime.p7m"},
    )
    return message.as_bytes()


def parts_of_signed(entity: bytes) -> tuple[bytes, bytes]:
    """Content, octet for octet, and signature (DER) of a multipart/signed."""
    message = message_from_bytes(entity, policy=SMTP)
    mark = b"--" + str(message.get_boundary()).encode()
    _, content, _ = entity.split(mark, 2)
    signature = list(message.walk())[-1].get_payload(decode=True)
    assert isinstance(signature, bytes)
    return content.removeprefix(b"\r\n").removesuffix(b"\r\n"), signature


def decoded(entity: bytes) -> bytes:
    """All leaves of an entity, decoded."""
    leaves = (part.get_payload(decode=True) for part in message_from_bytes(entity).walk() if not part.is_multipart())
    return b"\n".join(leaf for leaf in leaves if isinstance(leaf, bytes))
