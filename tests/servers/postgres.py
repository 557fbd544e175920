"""A private PostgreSQL from the system's own binaries: in a temporary folder, on a socket in it, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

BINARIES = "usr/lib/postgresql/*/bin/initdb"
"""Where Debian puts each version's programs; they are not on the PATH."""
START_SECONDS_MAX = 30
# Tests want speed, not durability: a power cut ends them anyway.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "deadlock_timeout": "200ms",
    "max_wal_size": "128MB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server. Every database made here is gone with it."""

    bin: Path
    folder: Path
    names: "count[int]"

    @property
    def pid(self) -> int:
        """Of the postmaster; everything that PostgreSQL does, it and its descendants do."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create_database(self, *, template: str = "template0") -> str:
        """A fresh database; its name. Nobody may be connected to the template."""
        name = f"test{next(self.names)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def find_binaries() -> Path | None:
    """The newest installed version's programs; None when there is none."""
    found = sorted(Path("/").glob(BINARIES), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextlib.contextmanager
def postgres(*, durable: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """Start a server and end it. `durable` leaves on what survives a power cut, for measuring."""
    binaries = find_binaries()
    assert binaries is not None, "PostgreSQL is not installed"
    # The path of a socket has 107 octets at most: not below pytest's long folders.
    folder = Path(tempfile.mkdtemp(prefix="mailflow-pg-"))
    chosen = {k: v for k, v in SETTINGS.items() if not durable or v != "off"} | dict(settings or {})
    try:
        user = unprivileged(folder)
        data = f"{folder}/data"
        init = ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        _run(user, binaries, init)
        options = " ".join(f"-c {key}={value}" for key, value in chosen.items()) + f" -k {folder}"
        log = f"{folder}/log"
        start = ["pg_ctl", "-D", data, "-l", log, "-w", "-t", str(START_SECONDS_MAX), "-o", options, "start"]
        _run(user, binaries, start)
        try:
            yield PostgresServer(bin=binaries, folder=folder, names=count(1))
        finally:
            _run(user, binaries, ["pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(folder)


def unprivileged(folder: Path) -> pwd.struct_passwd | None:
    """The server refuses to run as root: then it runs as somebody else, who gets the folder. None: as ourselves."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return user
    raise AssertionError("root finds no unprivileged user to run PostgreSQL as")


def _run(user: pwd.struct_passwd | None, binaries: Path, command: Sequence[str]) -> None:
    done = subprocess.run(
        [f"{binaries}/{command[0]}", *command[1:]],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr.decode(errors='replace')}"
