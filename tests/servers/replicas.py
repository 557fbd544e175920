"""PostgreSQL on several hosts: a node is made, follows another, is killed, promoted, and comes back."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.hosts.network import SUBNET, Host
from tests.servers.postgres import QUICK, SETTINGS, START_SECONDS_MAX, PostgresServer, find_binaries, unprivileged

PORT = 5432
REPLICATING = {
    **SETTINGS,
    **QUICK,
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "wal_keep_size": "256MB",
    "wal_log_hints": "on",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
    "hot_standby": "on",
}
"""What a pair wants, and the speed of tests: a process that is killed loses nothing that a disk alone would keep."""


@dataclass(kw_only=True)
class Node:
    """One server with its data, on a host of its own; `close` ends it and removes everything."""

    host: Host
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        binaries = find_binaries()
        assert binaries is not None, "PostgreSQL is not installed"
        self._bin = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="mailflow-pg-"))
        user = unprivileged(self.folder)
        assert user is not None, "namespaces want root"
        self._user = user
        self.server = PostgresServer(bin=binaries, folder=self.folder, names=count(1), user=user)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        """A fresh cluster, which every host may use."""
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
        )
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {SUBNET} trust\nhost replication all {SUBNET} trust\n")

    def copy_of(self, primary: "Node") -> None:
        """Everything that the primary has; it will follow it."""
        source = f"host={primary.host.address} port={PORT} user=postgres application_name={self.host.name}"
        self._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast")

    def rewound_to(self, primary: "Node") -> None:
        """A former primary, stopped, follows its successor: what it alone had is undone."""
        source = f"host={primary.host.address} port={PORT} user=postgres application_name={self.host.name}"
        self._run("pg_rewind", "-D", str(self.data), "--source-server", f"{source} dbname=postgres", "-R")

    def start(self, **settings: str) -> None:
        chosen = {**REPLICATING, "listen_addresses": self.host.address, **self.settings, **settings}
        options = " ".join(f"-c {name}='{value}'" for name, value in chosen.items()) + f" -k {self.folder}"
        log, patience = f"{self.folder}/log", str(START_SECONDS_MAX)
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-t", patience, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """Every process of it at once, as when the power goes."""
        self.server.kill()

    def promote(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def tell(self, statement: str, database: str = "postgres") -> str:
        """One statement by the local socket; what it answered."""
        command = [f"{self._bin}/psql", "-XAtq", "-h", str(self.folder), "-U", "postgres", "-c", statement, database]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def set(self, name: str, value: str) -> None:
        self.tell(f"ALTER SYSTEM SET {name} = '{value}'")
        self.tell("SELECT pg_reload_conf()")

    def close(self) -> None:
        with contextlib.suppress(AssertionError, FileNotFoundError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command: str) -> None:
        user = ["setpriv", f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        done = subprocess.run(
            self.host.command(*user, f"{self._bin}/{command[0]}", *command[1:]),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr.decode(errors='replace')}"
