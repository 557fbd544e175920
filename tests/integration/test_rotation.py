"""The keys of the service follow one another by command: nothing is lost, and nothing is taken that should not be."""

import asyncio
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from mailflow import app
from mailflow.app.daily import job_terms
from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Pki
from mailflow.jobs.sealing import seal
from mailflow.mail import pem
from mailflow.mail.trust_files import read_pem_file
from tests.support.databases import Databases
from tests.support.pki import shared_pki
from tests.support.records import rows
from tests.support.rotating import Rotating

LONG_PAST = "2026-01-01"
"""As when it is to take over: at once."""


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(at=datetime.now(UTC))


@pytest.fixture
def service(databases: Databases, tmp_path: Path, pki: Pki) -> Rotating:
    return Rotating(tmp_path / "service", pki, databases.fresh(migrated=False))


@pytest.mark.slow
@pytest.mark.long_on("postgresql")
def test_killed_between_any_two_steps_and_started_again(
    service: Rotating, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command is killed at each of its seams, and given again; in between mails to either certificate arrive."""
    service.seams.put(monkeypatch)
    old = service.installation.identity.der
    folder = service.folder / "keys/service"
    seal_now(service)
    for use in ("decryption", "signing"):
        given = service.folder / f"{use}.key"
        given.write_bytes(service.pki.issue(use, kind="p256").key_pem)
        given.chmod(0o600)
        make = ("make", "--use", use, "--key", str(given))
        if use == "decryption":
            assert sweep(service, capfd, old, *make) == 5, "request, certificate, key, before and after the commit"
        else:
            assert service.command("service-keys", *make, "--why", "test", "--apply") == 0
        name = max(key.stem for key in folder.glob(f"{use}-*.key"))
        assert sweep(service, capfd, old, "stage", name, "--from", LONG_PAST) == 4, "draft, certificate, commit"
    (new,) = [read_pem_file(one, pem.CERTIFICATE)[0] for one in folder.glob("decryption-*.pem")]
    for name in ("decryption-1", "signing"):
        assert sweep(service, capfd, new, "retire", name, "--at-once") == 2
    known = service.listed(capfd)
    assert sorted(one["state"] for one in known.values() if one["state"] != "made") == [
        *["present"] * 2,
        "retired",
        "retired",
    ]
    came = service.batch(service.mail(new), service.mail(old), known=certificates(service))
    assert [state for state, _ in came.states] == ["answered", "set_aside"]
    assert len(came.answers) == 1
    assert asyncio.run(recorded(service)) == {"service-key-staged": 2, "service-key-retired": 2}
    seal_now(service)
    assert service.command("audit") == 0, "heads of the former key and of the present one"


def test_a_worker_takes_it_up_at_work_and_judges_again_what_it_judged_with_the_former_keys(service: Rotating) -> None:
    """A mail to a certificate that is staged just now is not lost, and its answer is signed with the new key."""
    new, folder = service.pki.issue("next", kind="p256"), service.folder / "keys/service"
    given = service.folder / "next.key"
    given.write_bytes(new.key_pem)
    given.chmod(0o600)
    (service.folder / "next.pem").write_bytes(new.pem)
    for use in ("decryption", "signing"):
        assert service.command("service-keys", "make", "--use", use, "--key", str(given), "--apply") == 0

    def staged() -> None:
        for name in sorted(key.stem for key in folder.glob("*.key")):
            certificate = ("--certificate", str(service.folder / "next.pem"))
            assert service.command("service-keys", "stage", name, *certificate, "--from", LONG_PAST, "--apply") == 0

    old = service.installation.identity.der
    came = service.batch(service.mail(new.der), service.mail(old), known=[old, new.der], meanwhile=staged)
    assert came.states == [("answered", None), ("answered", None)]
    for answer in came.answers:
        assert service.open(answer, [new.der]).files
    assert len(came.answers) == 2


def sweep(service: Rotating, capfd: pytest.CaptureFixture[str], encrypt_to: bytes, *command: str) -> int:
    """How often it was killed before it ended."""
    for fatal in range(1, 30):
        killed, code = service.killed(fatal, "service-keys", *command, "--why", "test", "--apply")
        staged = [
            read_pem_file(Path(one["certificate"]), pem.CERTIFICATE)[0]
            for one in service.listed(capfd).values()
            if one["use"] == "decryption" and one["state"] in ("present", "former", "staged")
        ]
        sent = [service.mail(one) for one in (*staged, stranger().der)]
        came = service.batch(*sent, known=certificates(service))
        assert encrypt_to in staged
        assert came.states == [*[("answered", None)] * len(staged), ("set_aside", Code.DECRYPTION_FAILED)]
        assert len(came.answers) == len(staged)
        if not killed:
            assert code == (0 if fatal == 1 or command[0] == "make" else 65), "it had been done by the one before"
            return fatal - 1
    raise AssertionError("it never ended")


@cache
def stranger() -> Identity:
    """Somebody else, whose certificate a mail is encrypted to."""
    return shared_pki().issue("stranger", kind="rsa")


def certificates(service: Rotating) -> list[bytes]:
    """Those that a desk trusts: of all keys that sign."""
    return list(app.key_files(service.settings, app.now).known_signing())


async def recorded(service: Rotating) -> dict[str, int]:
    async with app.register_of(service.settings) as register:
        found = await rows(
            register,
            "SELECT kind, count(*) AS times FROM journal WHERE kind IN ('service-key-staged', 'service-key-retired')"
            " GROUP BY kind",
        )
    return {row.kind: row.times for row in found}


def seal_now(service: Rotating) -> None:
    async def sealed() -> None:
        async with app.register_of(service.settings) as register:
            await seal(register, job_terms(service.settings), app.now())

    asyncio.run(sealed())
