"""Says whether a server that a test needs is on this machine: skip with a plain reason, or fail where CI=true."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.cyrus import CACHE as CYRUS_CACHE

_SBIN = "/usr/sbin:/usr/local/sbin"


def _program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}") is not None


def _postgresql() -> bool:
    return _program("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


_CHECKS: dict[str, Callable[[], bool]] = {
    "dovecot": lambda: _program("dovecot"),
    "postfix": lambda: _program("postfix") and os.geteuid() == 0,
    "cyrus": lambda: (CYRUS_CACHE / "complete").exists(),
    "postgresql": _postgresql,
    "softhsm": lambda: _program("softhsm2-util"),
    "openssl": lambda: _program("openssl"),
    "m2crypto": lambda: Path("/usr/lib/python3/dist-packages/M2Crypto").exists(),
}


def missing(what: str) -> bool:
    """Whether `what` (dovecot, postfix, cyrus, postgresql, or any program) cannot be used here."""
    check = _CHECKS.get(what)
    return not (check() if check else _program(what))


def require(what: str) -> None:
    """Skip the present test without `what`; in CI, where everything must be there, fail it."""
    if missing(what):
        reason = f"{what} is not available here; see tests/servers/install"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
