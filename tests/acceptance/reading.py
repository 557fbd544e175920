"""How a desk reads its answer with `openssl cms` alone, and what the files inside say."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cache
from pathlib import Path

from lxml import etree

from tests.support.mail_world import ROOT

SCHEMA = ROOT / "schemas" / "nuu.xsd"
NUU = "{http://nuu.application.i2/}"
EXTENSION = "{urn:mailflow:interface:1}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, decrypted and verified."""

    envelope: str
    """CMS content type and content encryption, e.g. `authEnvelopedData aes-256-gcm`."""
    text: str
    files: dict[str, bytes] = field(repr=False)

    @property
    def returns(self) -> dict[str, bytes]:
        """The `RET` files by name, in order."""
        return {name: octets for name, octets in self.files.items() if name.startswith("RET")}

    @property
    def numbers(self) -> list[str]:
        """The unique numbers of the requests that were accepted, in order."""
        return [e.findtext(f"{NUU}numUnique") or "" for e in self._accepted()]

    @property
    def states(self) -> list[str]:
        """How each of them stands; an active one with its last day: `active 2027-01-12`."""
        states = ([e.get(f"{EXTENSION}etat") or "", e.get(f"{EXTENSION}echeance") or ""] for e in self._accepted())
        return [" ".join(state).strip() for state in states]

    @property
    def attestations(self) -> list[str]:
        """The names of the attestations."""
        return [name for name in self.files if name.startswith("ATT")]

    @property
    def anomalies(self) -> list[str]:
        """Each with its path, where it has one: `CODE /path`. Those of the mail as a whole are in the receipt."""
        tags = (f"{NUU}anomalie", f"{EXTENSION}anomalie")
        found = [e for root in self._roots() for e in root.iter(*tags)]
        return [f"{e.get('code')} {e.get(f'{EXTENSION}chemin') or e.get('chemin') or ''}".strip() for e in found]

    def _accepted(self) -> list[etree._Element]:
        found = [e for root in self._roots() for e in root.iter(f"{NUU}demande")]
        return [e for e in found if e.get(f"{EXTENSION}etat")]

    def _roots(self) -> Iterator[etree._Element]:
        for name, octets in self.files.items():
            if name.endswith(".xml"):
                yield etree.fromstring(octets)


def open_by_openssl(raw: bytes, desk: str, folder: Path) -> Answer:
    """Decrypt and verify in `folder`, where the desk's key and the service's certificates lie."""
    (folder / "answer.eml").write_bytes(raw)
    _openssl(
        folder,
        "cms",
        "-decrypt",
        "-in",
        "answer.eml",
        "-recip",
        f"{desk}.pem",
        "-inkey",
        f"{desk}.key",
        "-out",
        "signed.eml",
    )
    _openssl(
        folder,
        *("cms", "-verify", "-in", "signed.eml", "-CAfile", "root.pem", "-certfile", "chain.pem"),
        *("-signer", "signer.pem", "-out", "content.eml"),
    )
    assert (folder / "signer.pem").read_text().strip() == (folder / "service.pem").read_text().strip()
    content = message_from_bytes((folder / "content.eml").read_bytes())
    files: dict[str, bytes] = {}
    text = ""
    for part in content.walk():
        octets = part.get_payload(decode=True)
        if not isinstance(octets, bytes):
            continue
        if name := part.get_filename():
            files[name] = octets
        else:
            text += octets.decode()
    return Answer(envelope=_envelope(folder), text=text, files=files)


def faults(answer: Answer) -> list[str]:
    """Where the `RET` files break the published schema."""
    schema = _schema()
    wrong = []
    for name, octets in answer.returns.items():
        if not schema.validate(etree.fromstring(octets)):
            wrong.append(f"{name}: {schema.error_log}")
    return wrong


def _envelope(folder: Path) -> str:
    printed = _openssl(folder, "cms", "-cmsout", "-print", "-noout", "-in", "answer.eml").decode(errors="replace")
    lines = [line.strip() for line in printed.splitlines()]
    kind = next(line for line in lines if line.startswith("contentType:"))
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("contentEncryptionAlgorithm:")) + 1 :]
    cipher = next(line for line in after if line.startswith("algorithm:"))
    return f"{kind.split()[1].rpartition('-')[2]} {cipher.split()[1]}"


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMA))


def _openssl(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
