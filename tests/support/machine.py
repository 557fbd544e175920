"""A Debian machine with systemd, to install packages on: a copy of this one, that is gone when it is left."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SCRIPT = Path(__file__).with_suffix(".sh")
START_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 180
PROGRAMS = ("dpkg", "unshare", "nsenter", "systemctl")


class ImpossibleError(Exception):
    """No such machine can be made here; says why."""


class Machine:
    """A context manager. Raises ImpossibleError when root, Debian, systemd or what the kernel lends is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder.with_suffix(".log")
        self.root = folder / "root"
        """Its file system, as it sees it, for `nsenter`; here the folder looks empty."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise ImpossibleError("only root can make a machine of its own")
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            raise ImpossibleError(f"there is no {', '.join(missing)}")
        self._folder.mkdir()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", str(SCRIPT), str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS_MAX
        while self.run("systemctl", "is-active", "sysinit.target", check=False).stdout.strip() != "active":
            if self._process.poll() is not None or time.monotonic() > until:
                said = self._log.read_text(errors="replace")[-1000:]
                self._end()
                raise ImpossibleError(f"systemd did not start in a namespace: {said}")
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, *command: str, check: bool = True, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command on it as root. When it fails and `check` is set: AssertionError, with what was said."""
        first = self._first_process()
        if first is None:
            return subprocess.CompletedProcess(command, 1, "", "not running yet")
        namespaces = ("--mount", "--pid", "--ipc", "--uts", "--cgroup")
        entering = ["nsenter", "--target", str(first), *namespaces, "--root", "--wdns=/"]
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        done = subprocess.run(
            [*entering, *environment, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        if check and done.returncode:
            journal = self.run("journalctl", "--lines=30", "--quiet", "--no-hostname", check=False).stdout
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}\n{journal}")
        return done

    def write(self, path: str, content: bytes) -> None:
        """Make a file on it."""
        first = self._first_process()
        Path(f"/proc/{first}/root{path}").write_bytes(content)

    def property_of(self, unit: str, name: str) -> str:
        """What systemd knows of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def journal(self, unit: str) -> list[dict[str, str]]:
        """The entries of a unit, each with its fields."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--unit", unit, "--output=json", "--quiet").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def _first_process(self) -> int | None:
        """systemd, by its number here: the innermost of the processes that only wait for the next."""
        pid = self._process.pid
        while True:
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            except (OSError, IndexError):
                return None

    def _end(self) -> None:
        """The end of its first process ends all others, and its memory is given back."""
        first = self._first_process()
        if first is not None:
            os.kill(first, signal.SIGKILL)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
