"""Ten mebibytes in the worst shapes there are: judged within seconds and bounded memory, and the next mail is served.

Each is judged by a process of the pool with the limits of the settings. What counts is its processor time, since others
share the machine, and the most that it held in memory.
"""

import asyncio
import base64
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mailflow.app.parts import judge_limits
from mailflow.core.anomalies import Anomaly
from mailflow.mail import entities
from mailflow.mail.cms import ber
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Accepted, Verdict
from mailflow.mail.pool import Pool, PoolLimits
from tests.support.crafted import (
    CERTIFICATE_ID,
    DATA,
    SIGNED_DATA,
    attributes,
    by_issuer,
    chunked,
    digest_algorithm,
    indefinite,
    signed_data,
    signer_info,
)
from tests.support.judging import (
    JUDGED_AT,
    RECEIVED_AT,
    SERVICE,
    a_mail,
    dem_name,
    everybody,
    mairie,
    signed,
)
from tests.support.pki import shared_pki
from tests.support.pool_parts import MakeComposer, MakeStumblingJudge
from tests.support.watching import settings

MEBIBYTE = 1 << 20
SIZE = 10 * MEBIBYTE
CPU_SECONDS_MAX = 5.0
MEMORY_MAX = 256 * MEBIBYTE
TASK_SECONDS_MAX = 60.0
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"


# Mails


def structure(der: bytes, smime_type: str = "signed-data") -> bytes:
    """A mail that is this CMS structure."""
    head = f'Content-Type: application/pkcs7-mime; smime-type={smime_type}; name="smime.p7m"\r\n'
    coded = base64.encodebytes(der).replace(b"\n", b"\r\n")
    return mailed(head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + coded)


def mailed(entity: bytes) -> bytes:
    """A mail of this, however long its lines are."""
    return f"From: {mairie().address}\r\nTo: {SERVICE}\r\nMIME-Version: 1.0\r\n".encode() + entity


def filled(unit: bytes, size: int = SIZE) -> bytes:
    return unit * (size // len(unit))


CMS_SIZE = SIZE * 73 // 100
"""What is in base64 grows to `SIZE`."""


def in_parts(headers: bytes, *, inside: bool) -> bytes:
    """A multipart of parts that are nothing but these headers; signed, or around nothing."""
    part = b"--b\r\n" + headers + b"\r\n\r\n\r\n"
    entity = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + filled(part) + b"--b--\r\n"
    return mailed(signed(entity, boundary="outer") if inside else entity)


def nested(*, inside: bool) -> bytes:
    """Multiparts in multiparts."""
    levels = range(SIZE // 75)
    begins = [b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in levels]
    ends = [b"\r\n--b%d--" % n for n in reversed(levels)]
    entity = b"".join([*begins, b"\r\nx", *ends, b"\r\n"])
    return mailed(signed(entity, boundary="outer") if inside else entity)


def forwarded() -> bytes:
    """Mails in mails."""
    return mailed(filled(b"Content-Type: message/rfc822\r\n\r\n") + b"\r\n")


def a_file(content: bytes, name: str | None = None, content_type: str = "application/xml") -> bytes:
    """A mail whose signed content is this file, not encoded."""
    head = f'Content-Type: {content_type}\r\nContent-Disposition: attachment; filename="{name or dem_name()}"\r\n\r\n'
    return mailed(signed(head.encode() + content.replace(b"\n", b"\r\n") + b"\r\n"))


def coded(content: bytes, name: str, content_type: str) -> bytes:
    return mailed(signed(entities.file_part(name, content, content_type)))


XML = b'<?xml version="1.0"?>\n<t:interfaceNuu xmlns:t="http://nuu.application.i2/" versionInterface="02.01">'


def entity_bomb() -> bytes:
    levels = [b'<!ENTITY e0 "%s">' % (b"x" * 60_000)]
    levels += [b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 100) for n in range(1, 100)]
    filler = b"<!-- %s -->" % (b"x" * 80)
    return b"<!DOCTYPE a [" + b"\n".join(levels) + b"]>\n<a>&e99;</a>\n" + filled(filler + b"\n")


def zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return octets.getvalue()


def zip_of_names() -> bytes:
    """Empty entries, as many as find room."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_STORED) as archive:
        for number in range(CMS_SIZE // 142):
            archive.writestr(dem_name(number), b"")
    return octets.getvalue()


# CMS structures

CONTENT = b"Content-Type: text/plain\r\n\r\nbonjour\r\n"


def info(extra: Sequence[bytes] = ()) -> bytes:
    return signer_info(mairie().identity, [*attributes(CONTENT), *extra])


def certificates(*, alike: bool) -> bytes:
    """A bag of one certificate again and again, or of ones that are no certificates."""
    unit = mairie().identity.der if alike else ber.sequence(ber.octet_string(b"x" * 1_000))
    return signed_data(CONTENT, [info()], [mairie().identity.der, *[unit] * (CMS_SIZE // len(unit))])


def signed_attributes() -> bytes:
    one = ber.sequence(ber.oid(CERTIFICATE_ID), ber.set_of(ber.octet_string(b"x" * 20)))
    return signed_data(CONTENT, [info([one] * (CMS_SIZE // len(one)))], [mairie().identity.der])


def attribute_values() -> bytes:
    value = ber.octet_string(b"")
    one = ber.sequence(ber.oid(CERTIFICATE_ID), ber.der(0x31, value * (CMS_SIZE // len(value))))
    return signed_data(CONTENT, [info([one])], [mairie().identity.der])


def signers() -> bytes:
    one = info()
    return signed_data(CONTENT, [one] * (CMS_SIZE // len(one)), [mairie().identity.der])


def in_chunks(octets: int) -> bytes:
    """A content in chunks of so many octets."""
    size = CMS_SIZE * octets // (octets + 2)
    content = indefinite(0xA0, chunked(b"x" * size, octets))
    whole = ber.sequence(
        ber.integer(1),
        ber.set_of(digest_algorithm("sha256")),
        indefinite(0x30, ber.oid(DATA), content),
        ber.set_of(mairie().identity.der, tag=0xA0),
        ber.set_of(info()),
    )
    return ber.sequence(ber.oid(SIGNED_DATA), ber.der(0xA0, whole))


def chunks_in_chunks() -> bytes:
    """Constructed octet strings in one another."""
    deep = b"\x24\x80" * (CMS_SIZE // 4) + b"\0\0" * (CMS_SIZE // 4)
    return signed_data(None, [info()], [mairie().identity.der], wrapped_content=deep)


def recipients() -> bytes:
    """Enveloped data for nobody, again and again."""
    rsa = ber.algorithm("1.2.840.113549.1.1.1", ber.NULL)
    who = by_issuer(mairie().identity)
    one = ber.sequence(ber.integer(0), who, rsa, ber.octet_string(b"x" * 256))
    many = ber.der(0x31, one * (CMS_SIZE // len(one)))
    cipher = ber.algorithm("2.16.840.1.101.3.4.1.42", ber.octet_string(b"x" * 16))
    content = ber.sequence(ber.oid(DATA), cipher, ber.der(0x80, b"x" * 32))
    body = ber.sequence(ber.integer(0), many, content)
    return ber.sequence(ber.oid("1.2.840.113549.1.7.3"), ber.der(0xA0, body))


def compressed() -> bytes:
    """Gibibytes of nothing (RFC 3274), in ten mebibytes: which we never unpack."""
    squeezer = zlib.compressobj(9)
    squeezed = b"".join([*(squeezer.compress(bytes(MEBIBYTE * 16)) for _ in range(16)), squeezer.flush()])
    squeezed += bytes(CMS_SIZE - len(squeezed))
    content = ber.sequence(ber.oid(DATA), ber.der(0xA0, ber.octet_string(squeezed)))
    body = ber.sequence(ber.integer(0), ber.algorithm("1.2.840.113549.1.9.16.3.8"), content)
    return ber.sequence(ber.oid(COMPRESSED_DATA), ber.der(0xA0, body))


SHAPES: dict[str, Callable[[], bytes]] = {
    "nesting": lambda: nested(inside=False),
    "nesting, signed": lambda: nested(inside=True),
    "mails in mails": forwarded,
    "parts": lambda: in_parts(b"X: y", inside=False),
    "parts, signed": lambda: in_parts(b"X: y", inside=True),
    "headers": lambda: filled(b"X: y\r\n") + b"\r\n",
    "one header": lambda: b"From: " + filled(b"<a@b.example>,") + b"\r\n\r\n",
    "folded header": lambda: b"From: a@b.example" + filled(b"\r\n ") + b"\r\n\r\n",
    "headers of parts, signed": lambda: in_parts(filled(b"X: y\r\n", 60_000).rstrip(), inside=True),
    "parameters": lambda: mailed(b"Content-Type: multipart/signed" + filled(b'; a*0="b"') + b"\r\n\r\n"),
    "certificates": lambda: structure(certificates(alike=True)),
    "certificates that are none": lambda: structure(certificates(alike=False)),
    "attributes": lambda: structure(signed_attributes()),
    "values of an attribute": lambda: structure(attribute_values()),
    "signers": lambda: structure(signers()),
    "recipients": lambda: structure(recipients(), "enveloped-data"),
    "chunks of one octet": lambda: structure(in_chunks(1)),
    "empty chunks": lambda: structure(
        signed_data(None, [info()], [], wrapped_content=indefinite(0x24, filled(b"\x04\x00", CMS_SIZE)))
    ),
    "chunks in chunks": lambda: structure(chunks_in_chunks()),
    "compressed data": lambda: structure(compressed(), "compressed-data"),
    "compressed data, said to be signed": lambda: structure(compressed()),
    "zip of one huge file": lambda: coded(zipped([(dem_name(), bytes(SIZE * 100))]), "a.zip", "application/zip"),
    "zip of names": lambda: coded(zip_of_names(), "a.zip", "application/zip"),
    "XML, deep": lambda: a_file(XML + filled(b"<a>")),
    "XML, wide": lambda: a_file(XML + filled(b"<a/>") + b"</t:interfaceNuu>"),
    "XML, attributes": lambda: a_file(XML + b"<a " + b" ".join(b'a%d=""' % n for n in range(SIZE // 11)) + b"/>"),
    "XML, text": lambda: a_file(XML + b"<a>" + filled(b"x") + b"</a></t:interfaceNuu>"),
    "XML, entities": lambda: a_file(entity_bomb()),
    "XML, requests of the size allowed": lambda: a_file(
        XML + filled(b"<t:demande>" + b"<a>%s</a>" % (b"x" * 47) * 190 + b"</t:demande>") + b"</t:interfaceNuu>"
    ),
    "XML, requests": lambda: a_file(XML + filled(b"<t:demande/>") + b"</t:interfaceNuu>"),
}


# The pool


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A pool of one process, and that process."""

    pool: Pool
    process: psutil.Process


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Judges as the service does."""
    key, given = shared_pki().service_ec, settings()
    judge = MakeStumblingJudge(key=key.key_pem, certificate=key.pem, limits=judge_limits(given))
    memory = given.worker.task_memory_bytes_max
    limits = PoolLimits(processes=1, task_seconds_max=TASK_SECONDS_MAX, memory_bytes_max=memory)
    pool = Pool(limits, judge, MakeComposer(key=key.key_pem, certificate=key.pem))
    others = set(psutil.Process().children())
    asyncio.run(pool.serve(everybody().material))
    assert isinstance(asyncio.run(judged(pool, a_mail())), Accepted)
    (process,) = [one for one in set(psutil.Process().children()) - others if "spawn_main" in " ".join(one.cmdline())]
    yield Watched(pool=pool, process=process)
    asyncio.run(pool.close())


def most_memory_since(process: psutil.Process) -> int:
    """The most that was resident since the last call, in octets (proc(5): VmHWM, clear_refs)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")
    (peak,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return peak * 1024


async def judged(pool: Pool, raw: bytes) -> Verdict:
    (verdict,) = await pool.judge([Unjudged(intake=1, raw=raw, received_at=RECEIVED_AT)], JUDGED_AT)
    assert verdict is not None
    return verdict


def refuses(verdict: Verdict) -> bool:
    """Whether nothing of the mail would be registered."""
    if not isinstance(verdict, Accepted):
        return True
    return all(
        blocks(file.anomalies) or all(blocks(request.anomalies) for request in file.requests)
        for file in verdict.submission.files
    )


def blocks(anomalies: Iterable[Anomaly]) -> bool:
    return any(anomaly.blocks for anomaly in anomalies)


@pytest.mark.one_in(6)
@pytest.mark.parametrize("shape", SHAPES)
async def test_ten_mebibytes_cost_little_and_the_queue_behind_moves_on(watched: Watched, shape: str) -> None:
    raw = SHAPES[shape]()
    assert SIZE * 0.9 < len(raw) < SIZE * 1.1 or shape == "zip of one huge file"
    process = watched.process
    before = sum(process.cpu_times()[:2])
    most_memory_since(process)
    verdict = await judged(watched.pool, raw)
    took, held = sum(process.cpu_times()[:2]) - before, most_memory_since(process)
    assert refuses(verdict)
    assert took < CPU_SECONDS_MAX
    assert held < MEMORY_MAX
    assert isinstance(await judged(watched.pool, a_mail()), Accepted)
    assert process.is_running(), "the process that met it serves the next one"
