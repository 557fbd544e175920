"""A private PostgreSQL from the system's own binaries: in a temporary folder, on a socket in it, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

BINARIES = "usr/lib/postgresql/*/bin/initdb"
"""Where Debian puts each version's programs; they are not on the PATH."""
START_SECONDS_MAX = 120
SETTINGS = {"listen_addresses": "", "max_connections": "200"}
QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "deadlock_timeout": "200ms",
    "max_wal_size": "128MB",
}
"""Tests want speed and little memory, not durability: a power cut ends them anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server. Every database made here is gone with it."""

    bin: Path
    folder: Path
    names: "count[int]"
    user: pwd.struct_passwd | None
    """Whose it is; None: ours."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Of the postmaster; everything that PostgreSQL does, it and its descendants do."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """It takes connections then."""
        log, patience = f"{self.folder}/log", f"{START_SECONDS_MAX}"
        self._run(f"{self.bin}/pg_ctl", "-D", f"{self.data}", "-l", log, "-w", "-t", patience, "start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate`: as a crash would."""
        self._run(f"{self.bin}/pg_ctl", "-D", f"{self.data}", "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """Every process of it at once, as when the power goes."""
        postmaster = self.pid
        os.kill(postmaster, signal.SIGSTOP)  # or it might begin another that nobody would end
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = [postmaster, *map(int, children)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(map(_lives, pids)):
            time.sleep(0.02)
        # Dead as they are, nobody may have awaited them yet: by their locks they would count as alive.
        for lock in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)

    def restart(self, *, kill: bool = False, away_seconds: float = 0.0) -> None:
        """Stop (or kill) and start again, after so long, with the same databases."""
        if kill:
            self.kill()
        else:
            self.stop()
        time.sleep(away_seconds)
        self.start()

    def await_recovery(self) -> None:
        """It takes connections again, after the kill of one of its processes."""
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                return self._do("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def type(self, line: str) -> str:
        """What a line at the terminal of its owner says, who has its programs and reaches it without saying where."""
        return self._run("sh", "-c", line)

    def set(self, lines: str) -> None:
        """Lines at the end of `postgresql.conf`; read when it is started the next time."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(lines)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "PGHOST": f"{self.folder}",
                "PGUSER": "postgres",
            },
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode()

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
    """Start a server and end it. `durable`: for measuring, it survives a power cut, and is set up as it comes."""
    binaries = find_binaries()
    assert binaries is not None, "PostgreSQL is not installed"
    # The path of a socket has 107 octets at most: not below pytest's long folders.
    folder = Path(tempfile.mkdtemp(prefix="mailflow-pg-"))
    chosen = SETTINGS | ({} if durable else QUICK) | dict(settings or {})
    chosen["unix_socket_directories"] = f"{folder}"
    try:
        server = PostgresServer(bin=binaries, folder=folder, names=count(1), user=unprivileged(folder))
        server.type(f"initdb -D {server.data} -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N")
        # In its folder, as a server has them that is started anew, or is made of a copy of this one.
        server.set("".join(f"{name} = '{value}'\n" for name, value in chosen.items()))
        server.start()
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():  # who restores one may have failed at it
                server.stop("immediate")
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


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
