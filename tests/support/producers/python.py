"""Producers that are Python libraries: M2Crypto (of Debian, so in Debian's Python), cryptography and pyHanko."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import asn1crypto.tsp  # noqa: F401  names attributes that pyHanko writes, before anybody here has written any
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.support.producers.matrix import (
    Cell,
    Form,
    Letter,
    Opens,
    Producer,
    Signature,
    decoded,
    multipart_signed,
    parts_of_signed,
    pkcs7_mime,
)

SYSTEM_PYTHON = "/usr/bin/python3"
M2CRYPTO = Path(__file__).with_name("m2crypto.txt")


class M2Crypto(Producer):
    """OpenSSL's older PKCS #7 by way of Python; writes its own MIME."""

    name = "M2Crypto"
    package = "Debian python3-m2crypto"
    program = "m2crypto"
    cannot: ClassVar[Mapping[str, str]] = {Signature.PSS: "PKCS #7 in OpenSSL does not know it"}
    opens = (Opens.RSA_LEGACY,)

    def write(self, letter: Letter, cell: Cell) -> bytes:
        recipient = ["service-rsa.pem"] if cell.encrypted else []
        words = ("write", letter.sender, cell.form, *recipient)
        return letter.mail(self.place.run(SYSTEM_PYTHON, str(M2CRYPTO), *words, stdin=letter.entity()))

    def read(self, key: str, raw: bytes) -> bytes:
        return decoded(self.place.run(SYSTEM_PYTHON, str(M2CRYPTO), "read", key, stdin=raw))


class Cryptography(Producer):
    """Its PKCS #7 in Rust, which nothing of ours uses; writes its own MIME. It decrypts, and verifies nothing."""

    name = "cryptography pkcs7"
    package = "PyPI cryptography"
    program = "openssl"
    opens = (Opens.RSA_LEGACY,)

    def write(self, letter: Letter, cell: Cell) -> bytes:
        key = serialization.load_pem_private_key((self.place.folder / f"{letter.sender}.key").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        salted = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        builder = pkcs7.PKCS7SignatureBuilder().set_data(letter.entity())
        builder = builder.add_signer(
            self._certificate(letter.sender),
            key,
            hashes.SHA256(),
            rsa_padding=salted if cell.signature is Signature.PSS else None,
        )
        if cell.form is Form.DETACHED:
            options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.DetachedSignature]
            signed = builder.sign(serialization.Encoding.SMIME, options)
        else:
            # As S/MIME it would put the content inside the signature and beside it, which is refused.
            der = builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
            signed = pkcs7_mime(der, "signed-data")
        if not cell.encrypted:
            return letter.mail(signed)
        envelope = pkcs7.PKCS7EnvelopeBuilder().set_data(signed).add_recipient(self._certificate("service-rsa"))
        return letter.mail(envelope.encrypt(serialization.Encoding.SMIME, [pkcs7.PKCS7Options.Binary]))

    def read(self, key: str, raw: bytes) -> bytes:
        private = serialization.load_pem_private_key((self.place.folder / f"{key}.key").read_bytes(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        opened = pkcs7.pkcs7_decrypt_smime(raw, self._certificate(key), private, [])
        return decoded(parts_of_signed(opened)[0])

    def _certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.place.folder / f"{name}.pem").read_bytes())


class PyHanko(Producer):
    """Signs PDF files with CMS by asn1crypto; makes no MIME. Has to be asked for the signing time."""

    name = "pyHanko"
    package = "PyPI pyhanko"
    program = "openssl"
    cannot: ClassVar[Mapping[str, str]] = {
        "encrypted": "has no encryption of mails",
        "answer": "has no decryption of mails",
    }

    def write(self, letter: Letter, cell: Cell) -> bytes:
        from pyhanko.sign.signers import SimpleSigner
        from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes

        folder = self.place.folder
        signer = SimpleSigner.load(  # type: ignore[no-untyped-call]  # pyHanko has no types there
            key_file=str(folder / f"{letter.sender}.key"),
            cert_file=str(folder / f"{letter.sender}.pem"),
            prefer_pss=cell.signature is Signature.PSS,
        )
        entity, detached = letter.entity(), cell.form is Form.DETACHED
        attributes = PdfCMSSignedAttributes(signing_time=datetime.now(UTC))
        signing = signer.async_sign_general_data(entity, "sha256", detached, signed_attr_settings=attributes)
        der: bytes = asyncio.run(signing).dump()
        return letter.mail(multipart_signed(entity, der) if detached else pkcs7_mime(der, "signed-data"))
