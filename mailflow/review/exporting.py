"""Evidence as a folder of plain files, which a stranger checks with `openssl` alone."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from mailflow.core.evidence import Evidence
from mailflow.mail import pem
from mailflow.mail.reproving import Named, UnusableBasis, read_basis
from mailflow.mail.trust import TrustError
from mailflow.mail.trust.answers import Answer, UnusableAnswer
from mailflow.mail.trust.certificate import read
from mailflow.register import Register, evidence
from mailflow.review.archive import Checked


class Export:
    """Writes mails that were verified again into a folder. What they share is written once."""

    def __init__(self, register: Register, folder: Path) -> None:
        self._register = register
        self._folder = folder
        self._shared: set[bytes] = set()
        self._answered: dict[bytes, Mapping[bytes, bytes]] = {}
        """Of each basis the OCSP answers, by the certificate that each is about."""

    def begin(self) -> None:
        """Make the folder, for its owner alone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write("README.md", files("mailflow.review").joinpath("evidence-readme.md").read_bytes())

    async def add(self, mail: Checked, *, content: bytes | None) -> None:
        """One mail, with its signed content if that is wanted. Raises Unavailable, OSError."""
        kept = mail.evidence
        if kept is None:
            return
        async with self._register.read() as tx:
            found = dict(await evidence.exhibits(tx, {kept.basis, kept.checklist}))
            named = _named(found.get(kept.basis, b""))
            if kept.basis not in self._shared and named is not None:
                found |= await evidence.exhibits(tx, named.all)
            entry = await evidence.entry_of(tx, kept.intake)
        for digest, octets in found.items():
            if digest not in self._shared:
                self._shared.add(digest)
                self._write(f"exhibits/{digest.hex()}", octets)
        if named is not None:
            self._write_basis(kept.basis, named, found)
        place = f"mails/{kept.intake}"
        self._write(f"{place}/evidence.json", kept.written())
        self._write(f"{place}/signature.p7s", kept.signature)
        self._write(f"{place}/journal.json", json.dumps(entry, ensure_ascii=False, indent=1).encode())
        if content is not None:
            self._write(f"{place}/content", content)
        if named is not None:
            commands = _commands(kept, named, self._answered[kept.basis], with_content=content is not None)
            self._write(f"{place}/check.sh", commands.encode())

    def _write_basis(self, digest: bytes, named: Named, found: Mapping[bytes, bytes]) -> None:
        place = f"bases/{digest.hex()}"
        if digest in self._answered:
            return
        self._answered[digest] = dict(_answers(named, found))
        for name, digests, label in _bundles(named):
            octets = [found[one] for one in digests if one in found]
            self._write(f"{place}/{name}", "".join(f"{pem.written(one, label)}\n" for one in octets).encode())

    def _write(self, name: str, octets: bytes) -> None:
        file = self._folder / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(octets)
        file.chmod(0o600)


def _named(basis: bytes) -> Named | None:
    try:
        return read_basis(basis)
    except UnusableBasis:
        return None


def _bundles(named: Named) -> Iterator[tuple[str, tuple[bytes, ...], str]]:
    """Files for `openssl`: name, the exhibits in it, and what each is in PEM."""
    anchors = tuple(dict.fromkeys(path[-1] for path in named.paths))
    below = tuple(digest for digest in named.certificates if digest not in anchors)
    yield "anchors.pem", anchors, pem.CERTIFICATE
    yield "certificates.pem", below, pem.CERTIFICATE
    yield "revocation.pem", named.revocations, pem.REVOCATION_LIST
    for number, path in enumerate(named.paths, 1):
        for depth, digest in enumerate(path):
            yield _name(number, depth), (digest,), pem.CERTIFICATE


def _name(number: int, depth: int) -> str:
    """The file of a certificate on the path of a signer."""
    return f"signer-{number}.pem" if depth == 0 else f"signer-{number}-authority-{depth}.pem"


def _answers(named: Named, found: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    for certificate, issuer in (pair for path in named.paths for pair in pairwise(path)):
        for digest in named.answers:
            with contextlib.suppress(KeyError, TrustError, UnusableAnswer):  # missing, or altered
                if Answer(found[digest]).is_about(read(found[certificate]), read(found[issuer])):
                    yield certificate, digest


def _commands(kept: Evidence, named: Named, answered: Mapping[bytes, bytes], *, with_content: bool) -> str:
    basis = f"../../bases/{kept.basis.hex()}"
    over = "-content content" if with_content else "-content /dev/null -no_content_verify"
    given = f"-CAfile {basis}/anchors.pem"
    received, judged = (int(at.timestamp()) for at in (kept.received_at, kept.judged_at))
    lines = [
        "#!/bin/sh",
        "# Ends with 0 when all holds. See README.md; to be run in this folder.",
        "set -e",
        "same() { sha256sum < $1 | grep -q ^$2; }",
        f"same evidence.json {kept.digest}",
        f"grep -q {kept.digest} journal.json",
        f"same signature.p7s {hashlib.sha256(kept.signature).hexdigest()}",
        f"grep -q {hashlib.sha256(kept.signature).hexdigest()} evidence.json",
        *(f"same ../../exhibits/{one.hex()} {one.hex()}" for one in (kept.basis, kept.checklist, *named.all)),
        f"openssl cms -verify -binary -inform DER -in signature.p7s {over} -certfile {basis}/certificates.pem \\",
        f"    {given} -attime {received} -out /dev/null",
    ]
    verify = f"openssl verify {given} -untrusted {basis}/certificates.pem"
    for number, path in enumerate(named.paths, 1):
        lines.append(f"{verify} -purpose smimesign -attime {received} {basis}/{_name(number, 0)}")
        for depth, digest in enumerate(path[:-1]):
            certificate, issuer = (f"{basis}/{_name(number, one)}" for one in (depth, depth + 1))
            if digest in answered:
                answer = f"../../exhibits/{answered[digest].hex()}"
                lines += [
                    f"openssl ocsp -respin {answer} -issuer {issuer} -cert {certificate} -no_nonce {given} \\",
                    f"    -verify_other {basis}/certificates.pem -attime {judged} | grep -Eq '(^|: )good$'",
                ]
            else:
                lines.append(f"{verify} -attime {judged} -crl_check -CRLfile {basis}/revocation.pem {certificate}")
    return "\n".join(lines) + "\n"
