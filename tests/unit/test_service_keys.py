"""Which key of the service serves when, and what is read of its files."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailflow.core.service_keys import KeyUse, ServiceKey, may_go, present
from mailflow.demo.certificates import Identity
from mailflow.errors import Misconfigured
from mailflow.mail import cms
from mailflow.mail.key_files import KeyFile, KeyFiles
from tests.support.keys import holder
from tests.support.pki import AT

DAY = timedelta(days=1)
SIGNING, DECRYPTION = KeyUse.SIGNING, KeyUse.DECRYPTION
FIRST, SECOND, THIRD = (holder("p256", name) for name in ("first", "second", "third"))


def key(identity: Identity, days: int, use: KeyUse = DECRYPTION, *, retired: bool = False) -> ServiceKey:
    """One that takes over so many days from now."""
    return ServiceKey(
        fingerprint=identity.fingerprint,
        use=use,
        active_from=AT + days * DAY,
        retired_at=AT if retired else None,
    )


@pytest.mark.parametrize(
    ("days", "serving"),
    [(-9, None), (0, FIRST), (4, FIRST), (5, SECOND), (99, SECOND)],
    ids=lambda given: str(given)[:9],
)
def test_the_one_serves_that_took_over_last(days: int, serving: Identity | None) -> None:
    keys = (key(SECOND, 5), key(FIRST, -1), key(THIRD, 3, retired=True), key(THIRD, 2, SIGNING))
    found = present(keys, DECRYPTION, AT + days * DAY)
    assert (found and found.fingerprint) == (serving and serving.fingerprint)


def test_a_key_may_go_once_another_took_its_place_and_one_that_decrypts_only_after_the_overlap() -> None:
    former, following = key(FIRST, -9), key(SECOND, 5)
    assert may_go([former, following], former, 90 * DAY) == AT + 95 * DAY
    assert may_go([former, following], following, 90 * DAY) is None
    assert may_go([former, replace(following, retired_at=AT)], former, 90 * DAY) is None, "nothing is to follow"
    signing = [replace(one, use=SIGNING) for one in (former, following)]
    assert may_go(signing, signing[0], 90 * DAY) == AT + 5 * DAY


class Clock:
    def __init__(self) -> None:
        self.now = AT


@pytest.fixture
def clock() -> Clock:
    return Clock()


Put = Callable[[str, Identity], KeyFile]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    (tmp_path / "service").mkdir()

    def write(name: str, identity: Identity) -> KeyFile:
        file = KeyFile(
            use=SIGNING if "signing" in name else DECRYPTION,
            name=name,
            key=tmp_path / f"{name}.key",
            certificate=tmp_path / f"{name}.pem",
        )
        file.key.write_bytes(identity.key_pem)
        file.key.chmod(0o600)
        file.certificate.write_bytes(identity.pem)
        return file

    return write


@pytest.fixture
def files(tmp_path: Path, put: Put, clock: Clock) -> KeyFiles:
    """One key of the settings for both uses."""
    return KeyFiles(
        signing=put("signing", FIRST),
        decryption=(put("decryption", FIRST),),
        former=None,
        folder=tmp_path / "service",
        clock=lambda: clock.now,
    )


def opened_by(files: KeyFiles, *keys: ServiceKey) -> list[bytes]:
    return [cms.open_decryption_key(pair).certificate for pair in files.read(keys).decryption]


def signed_by(files: KeyFiles, *keys: ServiceKey) -> bytes:
    signing = files.read(keys).signing
    assert signing is not None
    return cms.open_signing_key(signing).certificate


def test_a_staged_key_decrypts_at_once_and_signs_from_its_time_on(files: KeyFiles, put: Put, clock: Clock) -> None:
    put("service/decryption-2026-1", SECOND)
    put("service/signing-2026-1", SECOND)
    assert (opened_by(files), signed_by(files)) == ([FIRST.der], FIRST.der), "files alone change nothing"
    staged = (key(SECOND, 5), key(SECOND, 5, SIGNING))
    assert (opened_by(files, *staged), signed_by(files, *staged)) == ([FIRST.der, SECOND.der], FIRST.der)
    assert files.opens(staged, clock.now).der == FIRST.der, "which desks are to encrypt to"
    before = files.state(staged)
    clock.now += 5 * DAY
    assert files.state(staged) != before, "time alone is news"
    assert signed_by(files, *staged) == SECOND.der
    assert files.opens(staged, clock.now).der == SECOND.der
    assert {FIRST.der, SECOND.der} <= set(files.known_signing())


def test_a_retired_key_opens_nothing_and_stays_known(files: KeyFiles, put: Put) -> None:
    put("service/decryption-2026-1", SECOND)
    keys = (key(SECOND, -1), key(FIRST, -1, retired=True))
    assert opened_by(files, *keys) == [SECOND.der]
    assert FIRST.der in files.known_signing()


def test_what_is_on_record_has_to_be_there(files: KeyFiles) -> None:
    with pytest.raises(Misconfigured, match="is in use and not there"):
        files.read([key(SECOND, 5)])


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o601])
def test_a_private_key_that_others_may_read_or_change_is_refused(files: KeyFiles, mode: int) -> None:
    files.signing.key.chmod(mode)
    with pytest.raises(Misconfigured, match=r"signing\.key: others may read or change it; chmod 600 it"):
        files.read(())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_one_that_is_lent_to_the_service_s_group_is_not(files: KeyFiles, mode: int) -> None:
    """So does the package, and so has systemd its credentials."""
    files.signing.key.chmod(mode)
    assert signed_by(files) == FIRST.der


def test_a_file_that_changes_is_news(files: KeyFiles) -> None:
    before = files.state(())
    files.signing.certificate.write_bytes(FIRST.pem + SECOND.pem)
    assert files.state(()) != before
    signing = files.read(()).signing
    assert signing is not None
    assert cms.open_signing_key(signing).chain == (SECOND.der,)
