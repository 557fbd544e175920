"""Producers that are mail programs for people: Mutt and S-nail. They write the whole mail."""

import os
import re
import select
import shutil
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mailflow.demo.installation import SERVICE
from tests.support.producers.matrix import (
    TOOL_SECONDS_MAX,
    Cell,
    Form,
    Letter,
    Opens,
    Place,
    Producer,
    Signature,
    decoded,
    service_key,
)
from tests.support.producers.tools import fingerprint, import_keyring


def as_smtp_sends(raw: bytes) -> bytes:
    """With the line ends of SMTP, as a submitting program makes them of the system's own."""
    return re.sub(rb"\r?\n", b"\r\n", raw)


def as_mailbox(raw: bytes) -> bytes:
    """A mailbox file with one mail."""
    return b"From somebody Thu Jan  1 00:00:00 2026\n" + raw.replace(b"\r\n", b"\n") + b"\n"


def script(place: Place, name: str, line: str) -> str:
    """A shell script of one line."""
    path = place.write(name, f"#!/bin/sh\n{line}\n".encode())
    path.chmod(0o700)
    return str(path)


class Mutt(Producer):
    """Signs by GPGME, which calls gpgsm. Has no mode without a screen that signs, so it gets a terminal."""

    name = "Mutt"
    package = "Debian mutt"
    program = "mutt"
    cannot: ClassVar[Mapping[str, str]] = {
        Signature.PSS: "gpgsm does not sign with it",
        Form.OPAQUE: "signs detached only",
    }
    opens = (Opens.RSA_LEGACY, Opens.CURVE_LEGACY)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.home = Path(tempfile.mkdtemp(prefix="gnupg-"))
        import_keyring(place, self.home)
        place.write("mailcap", b"application/xml; cat %s; copiousoutput\n")
        sendmail, pager = script(place, "sendmail", "cat >sent"), script(place, "pager", 'cat "$1" >shown')
        self.settings = [
            "set crypt_use_gpgme=yes smime_is_default=yes crypt_autosmime=yes crypt_autosign=yes",
            "set crypt_confirmhook=no crypt_protected_headers_write=no",
            f'set sendmail="{sendmail}" sendmail_wait=0 use_envelope_from=no copy=no sleep_time=0',
            "set autoedit=yes edit_headers=yes editor=true abort_unmodified=no abort_noattach=no",
            f'set pager="{pager}" prompt_after=no mailcap_path={place.folder}/mailcap use_from=yes realname=""',
            f"set folder={place.folder} spoolfile={place.folder}/mailbox",
            "auto_view application/xml",
        ]

    def close(self) -> None:
        self.place.run("gpgconf", "--kill", "all", GNUPGHOME=str(self.home))
        shutil.rmtree(self.home)

    def write(self, letter: Letter, cell: Cell) -> bytes:
        place, key = self.place, fingerprint(self.place, letter.sender)
        settings = [
            *self.settings,
            f'set from="{letter.address}" smime_sign_as="{key}" smime_default_key="{key}"',
            f"set crypt_autoencrypt={'yes' if cell.encrypted else 'no'}",
            f"crypt-hook {SERVICE} {fingerprint(place, service_key(cell))}",
        ]
        place.write(letter.file_name, letter.octets)
        place.write("text", "Bonjour, voici une demande réelle.\n".encode())
        self._mutt(settings, "-a", letter.file_name, "-s", "Demandes", "-i", "text", "--", SERVICE, send=True)
        return as_smtp_sends(place.read("sent"))

    def read(self, key: str, raw: bytes) -> bytes:
        self.place.write("mailbox", as_mailbox(raw))
        self._mutt(self.settings, "-e", "push <display-message><exit>", "-f", "mailbox")
        shown = self.place.read("shown")
        assert b"Good signature from" in shown, shown
        return shown

    def _mutt(self, settings: list[str], *arguments: str, send: bool = False) -> None:
        """Run it on a terminal of its own; `send` types the key for it as soon as the mail is composed."""
        self.place.write("muttrc", "\n".join(settings).encode())
        terminal, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        mutt = subprocess.Popen(
            ["mutt", "-n", "-F", "muttrc", *arguments],
            cwd=self.place.folder,
            env=self.place.environment(GNUPGHOME=str(self.home)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        screen = b""
        try:
            until = time.monotonic() + TOOL_SECONDS_MAX
            while time.monotonic() < until and mutt.poll() is None:
                if select.select([terminal], [], [], 0.1)[0]:
                    screen += _read(terminal)
                if send and b"Mutt: Compose" in screen:
                    os.write(terminal, b"y")
                    send = False
        finally:
            mutt.kill()
            assert mutt.wait() == 0, screen[-2000:]
            os.close(terminal)


def _read(terminal: int) -> bytes:
    """What stands there; Linux says EIO when nobody has the other end any more."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


class Snail(Producer):
    """Heirloom mailx: signs, encrypts and reads with OpenSSL's older PKCS #7."""

    name = "S-nail"
    package = "Debian s-nail"
    program = "s-nail"
    cannot: ClassVar[Mapping[str, str]] = {Signature.PSS: "has no such setting", Form.OPAQUE: "signs detached only"}
    opens = (Opens.RSA_LEGACY,)

    def write(self, letter: Letter, cell: Cell) -> bytes:
        place = self.place
        settings = {
            "mta": script(place, "sendmail", "cat >sent"),
            "from": letter.address,
            "smime-sign": "",
            "smime-sign-cert": f"{place.folder}/{letter.sender}.both",
            "smime-sign-digest": "SHA256",
        }
        if cell.encrypted:
            settings |= {f"smime-encrypt-{SERVICE}": "service-rsa.pem", "smime-force-encryption": ""}
            settings["smime-cipher"] = "aes256"
        place.write(letter.file_name, letter.octets)
        words = ("-a", letter.file_name, "-s", "Demandes", SERVICE)
        place.run("s-nail", *_options(settings), "-Ssendwait", *words, stdin=b"Bonjour, voici une demande.\n")
        return as_smtp_sends(place.read("sent"))

    def read(self, key: str, raw: bytes) -> bytes:
        self.place.write("mailbox", as_mailbox(raw))
        settings = {
            "smime-ca-file": "authorities.pem",
            "smime-ca-no-defaults": "",
            "smime-sign-cert": f"{self.place.folder}/{key}.both",
        }
        options = (*_options(settings), "-N", "-R", "-Y", "decrypt 1 opened\nverify 1\nxit")
        said = self.place.run("s-nail", *options, "-f", "mailbox")
        assert b"was verified successfully" in said, said
        return decoded(self.place.read("opened").partition(b"\n")[2])


def _options(settings: dict[str, str]) -> list[str]:
    return ["-:/", "-Sv15-compat", *(f"-S{name}={value}" if value else f"-S{name}" for name, value in settings.items())]
