"""Producers that are command lines: OpenSSL, GnuPG and NSS."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.support.producers.matrix import (
    Cell,
    Form,
    Letter,
    Opens,
    Place,
    Producer,
    Signature,
    decoded,
    multipart_signed,
    opening,
    parts_of_signed,
    pkcs7_mime,
    service_key,
)


class OpenSsl(Producer):
    """Writes its own MIME. The only one that has all."""

    name = "OpenSSL"
    package = "Debian openssl"
    program = "openssl"
    opens = (Opens.RSA_MODERN, Opens.CURVE_MODERN)

    def write(self, letter: Letter, cell: Cell) -> bytes:
        place = self.place
        place.write("entity", letter.entity())
        keys = ("-signer", f"{letter.sender}.pem", "-inkey", f"{letter.sender}.key", "-certfile", "chain.pem")
        options = ("-nodetach",) * (cell.form is Form.OPAQUE)
        options += ("-keyopt", "rsa_padding_mode:pss") * (cell.signature is Signature.PSS)
        place.run("openssl", "cms", "-sign", "-in", "entity", "-out", "signed", "-md", "sha256", *keys, *options)
        if not cell.encrypted:
            return letter.mail(place.read("signed"))
        recipient = ["-recip", f"{service_key(cell)}.pem"]
        recipient += ["-keyopt", "rsa_padding_mode:oaep"] * (cell.signature is Signature.PSS)
        place.run("openssl", "cms", "-encrypt", "-aes-256-gcm", "-in", "signed", "-out", "sealed", *recipient)
        return letter.mail(place.read("sealed"))

    def read(self, key: str, raw: bytes) -> bytes:
        place = self.place
        place.write("answer", raw)
        keys = ("-recip", f"{key}.pem", "-inkey", f"{key}.key")
        place.run("openssl", "cms", "-decrypt", "-in", "answer", "-out", "signed", *keys)
        trust = ("-CAfile", "root.pem", "-certfile", "chain.pem")
        place.run("openssl", "cms", "-verify", "-in", "signed", "-out", "content", *trust)
        return decoded(place.read("content"))


class Gpgsm(Producer):
    """S/MIME of GnuPG: makes CMS, no MIME. Its keyring lies at a short path, as its sockets do."""

    name = "GnuPG gpgsm"
    package = "Debian gpgsm, gpg-agent"
    program = "gpgsm"
    cannot: ClassVar[Mapping[str, str]] = {Signature.PSS: "verifies PSS, does not sign with it"}
    opens = (Opens.RSA_LEGACY, Opens.CURVE_LEGACY)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.home = Path(tempfile.mkdtemp(prefix="gnupg-"))
        import_keyring(place, self.home)

    def close(self) -> None:
        self.place.run("gpgconf", "--kill", "all", GNUPGHOME=str(self.home))
        shutil.rmtree(self.home)

    def _gpgsm(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return self.place.run("gpgsm", "--batch", "--yes", *arguments, stdin=stdin, GNUPGHOME=str(self.home))

    def write(self, letter: Letter, cell: Cell) -> bytes:
        entity = letter.entity()
        key = ("-u", fingerprint(self.place, letter.sender))
        if cell.form is Form.OPAQUE:
            signed = pkcs7_mime(self._gpgsm(*key, "--sign", stdin=entity), "signed-data")
        else:
            signed = multipart_signed(entity, self._gpgsm(*key, "--detach-sign", stdin=entity))
        if not cell.encrypted:
            return letter.mail(signed)
        recipient = fingerprint(self.place, service_key(cell))
        return letter.mail(pkcs7_mime(self._gpgsm("-r", recipient, "--encrypt", stdin=signed), "enveloped-data"))

    def read(self, key: str, raw: bytes) -> bytes:
        content, signature = parts_of_signed(self._gpgsm("--decrypt", stdin=decoded(raw)))
        file = self.place.write("content", content)
        self._gpgsm("--verify", str(self.place.write("signature", signature)), str(file))
        return decoded(content)


def fingerprint(place: Place, name: str) -> str:
    """Of a certificate, as GnuPG wants it."""
    said = place.run("openssl", "x509", "-in", f"{name}.pem", "-noout", "-fingerprint", "-sha1").decode()
    return "0x" + said.strip().partition("=")[2].replace(":", "")


def pkcs12(place: Place, name: str) -> str:
    """A key with its certificate and no passphrase, in the form that programs import."""
    words = ("-inkey", f"{name}.key", "-in", f"{name}.pem", "-name", name, "-passout", "pass:")
    place.run("openssl", "pkcs12", "-export", *words, "-out", f"{name}.p12")
    return f"{name}.p12"


def import_keyring(place: Place, home: Path) -> None:
    """Fill a GnuPG home: the keys without passphrase, the root as trusted; revocation is not looked into."""
    (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\n")
    (home / "trustlist.txt").write_text(f"{fingerprint(place, 'root')[2:]} S relax\n")
    certificates = ("root.pem", "chain.pem", "service-rsa.pem", "service-curve.pem")
    place.run("gpgsm", "--batch", "--import", *certificates, GNUPGHOME=str(home))
    for one in place.senders:
        for name in {one.sender, opening(one)}:
            words = ("--pinentry-mode", "loopback", "--passphrase-fd", "0", "--import", pkcs12(place, name))
            place.run("gpgsm", "--batch", *words, stdin=b"\n", GNUPGHOME=str(home))


class Nss(Producer):
    """What Mozilla's programs sign with: makes CMS, no MIME."""

    name = "NSS cmsutil"
    package = "Debian libnss3-tools"
    program = "cmsutil"
    cannot: ClassVar[Mapping[str, str]] = {Signature.PSS: "its command has no such option"}
    opens = (Opens.RSA_LEGACY, Opens.CURVE_LEGACY)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        (place.folder / "nss").mkdir()
        place.run("certutil", "-N", "-d", "nss", "--empty-password")
        for one in place.senders:
            for name in {one.sender, opening(one)}:
                place.run("pk12util", "-d", "nss", "-i", pkcs12(place, name), "-W", "", "-K", "")
        certificates = {"root": "CT,C,C", "issuing-rsa": ",,", "issuing-curve": ",,"}
        certificates |= {"service-rsa": ",,", "service-curve": ",,"}
        for name, trust in certificates.items():
            place.run("certutil", "-A", "-d", "nss", "-n", name, "-t", trust, "-i", f"{name}.pem")

    def _cmsutil(self, *arguments: str, stdin: bytes) -> bytes:
        self.place.write("input", stdin)
        self.place.run("cmsutil", *arguments, "-d", "nss", "-i", "input", "-o", "output")
        return self.place.read("output")

    def write(self, letter: Letter, cell: Cell) -> bytes:
        entity = letter.entity()
        sign = ("-S", "-N", letter.sender, "-H", "SHA256", "-G")
        if cell.form is Form.OPAQUE:
            signed = pkcs7_mime(self._cmsutil(*sign, stdin=entity), "signed-data")
        else:
            signed = multipart_signed(entity, self._cmsutil(*sign, "-T", stdin=entity))
        if not cell.encrypted:
            return letter.mail(signed)
        return letter.mail(pkcs7_mime(self._cmsutil("-E", "-r", service_key(cell), stdin=signed), "enveloped-data"))

    def read(self, key: str, raw: bytes) -> bytes:
        content, signature = parts_of_signed(self._cmsutil("-D", stdin=decoded(raw)))
        self.place.write("content", content)
        self._cmsutil("-D", "-c", "content", stdin=signature)
        return decoded(content)
