"""`openssl ocsp` as a responder on loopback: an authority's answers, made by somebody else's software."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Authority
from tests.servers.process import START_SECONDS_MAX, ServerFailedError, ServerProcess, free_ports

READY = "waiting for OCSP client connections"
INDEX_TIME = "%y%m%d%H%M%SZ"


@contextmanager
def openssl_responder(
    folder: Path,
    authority: Authority,
    known: Iterable[Identity],
    *,
    responder: Identity | None = None,
    port: int | None = None,
    options: Iterable[str] = ("-ndays", "1"),
) -> Iterator[str]:
    """Answers about `known`, revoked as the authority says, signed by it or by `responder`; the URL."""
    folder.mkdir(exist_ok=True)
    signer = responder or authority.identity
    for name, content in (("ca.pem", authority.identity.pem), ("r.pem", signer.pem), ("r.key", signer.key_pem)):
        (folder / name).write_bytes(content)
    (folder / "index.txt").write_text("".join(_line(authority, one) for one in known), encoding="ascii")
    (port,) = (port,) if port else free_ports(1)
    files = ("-index", "index.txt", "-CA", "ca.pem", "-rsigner", "r.pem", "-rkey", "r.key")
    paths = [str(folder / one) if "." in one else one for one in files]
    command = ["openssl", "ocsp", "-port", str(port), *paths, *options]
    log = folder / "log"
    process = ServerProcess(command, log=log, ports=())  # who only connects, to see whether it listens, blocks it
    process.start()
    try:
        _wait_for(log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.stop()


def _wait_for(log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while READY not in log.read_text():
        if time.monotonic() > deadline:
            raise ServerFailedError(log.read_text())
        time.sleep(0.02)


def _line(authority: Authority, identity: Identity) -> str:
    """As `openssl ca` keeps it: state, end, revocation, serial number, file, subject."""
    certificate = identity.certificate
    revoked = authority.revoked.get(certificate.serial_number)
    serial = f"{certificate.serial_number:X}"
    fields = (
        "R" if revoked else "V",
        certificate.not_valid_after_utc.strftime(INDEX_TIME),
        (revoked - timedelta(seconds=1)).strftime(INDEX_TIME) + ",keyCompromise" if revoked else "",
        serial.rjust(len(serial) + len(serial) % 2, "0"),
        "unknown",
        f"/CN={identity.name}",
    )
    return "\t".join(fields) + "\n"
