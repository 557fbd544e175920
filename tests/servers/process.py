"""Start one server program on loopback ports, wait until it listens, and end it whatever happens."""

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 5.0
PORTS = range(10_000, 32_768)
"""Below those that Linux gives to whoever connects: such a one could be taken until the server listens there."""


class ServerFailedError(Exception):
    """The program ended, or did not listen in time. Carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses now."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(PORTS)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class ServerProcess:
    """One program in a session of its own, so that its children can be ended with it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ports: Sequence[int],
        sockets: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """`sockets` is the folder of its Unix sockets; `user` runs the program when we are root; None means whoever we
        are."""
        self.command = command
        self.log = log
        self.ports = ports
        self.sockets = sockets
        self.env = {**os.environ, **(env or {})}
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        try:
            self._wait_until_listening()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def _wait_until_listening(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        for port in self.ports:
            while not _listens(port):
                if self.process.poll() is not None:
                    raise ServerFailedError(f"{self.command[0]} ended:\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise ServerFailedError(f"port {port} stays closed:\n{self.log_tail()}")
                time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, then after a while SIGKILL to the whole session. Safe to call twice."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS_MAX)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill(self) -> None:
        """End the whole session at once, as a power cut would; return when nothing listens any more."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        deadline = time.monotonic() + STOP_SECONDS_MAX
        # The children of the killed master die a little later and hold its ports and sockets until then.
        while self._is_listening() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _is_listening(self) -> bool:
        sockets = filter(Path.is_socket, self.sockets.rglob("*")) if self.sockets else ()
        return any(map(_listens, [*self.ports, *sockets]))

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(no log)"


def _listens(at: int | Path) -> bool:
    """Whether somebody takes connections on this port of loopback, or on this Unix socket."""
    family, address = (socket.AF_UNIX, str(at)) if isinstance(at, Path) else (socket.AF_INET, ("127.0.0.1", at))
    with socket.socket(family) as client:
        client.settimeout(1)
        return client.connect_ex(address) == 0
