"""A service manager's socket (sd_notify), to hear what a service says."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Ear:
    """Hears datagrams; each is a mapping of NAME to value."""

    def __init__(self, listening: socket.socket, address: str) -> None:
        self._socket = listening
        self.address = address

    def hear(self, seconds: float) -> list[dict[str, str]]:
        """All that is said from now on for so long, or already was."""
        until = time.monotonic() + seconds
        said = []
        while (left := until - time.monotonic()) > 0:
            said += self._next(left)
        return said

    def wait_for(self, name: str, seconds: float) -> dict[str, str]:
        """The next datagram that says `name`. AssertionError when none comes in time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for said in self._next(left):
                if name in said:
                    return said
        raise AssertionError(f"{name} was not said within {seconds} s")

    def so_far(self) -> list[dict[str, str]]:
        """What was said and not yet heard; does not wait."""
        said: list[dict[str, str]] = []
        while heard := self._next(0.001):
            said += heard
        return said

    def _next(self, seconds: float) -> list[dict[str, str]]:
        self._socket.settimeout(max(seconds, 0.001))
        try:
            octets = self._socket.recv(65_536)
        except TimeoutError:
            return []
        pairs = (line.partition("=") for line in octets.decode().splitlines())
        return [{name: value for name, _, value in pairs}]


@contextmanager
def service_manager(path: Path | str) -> Iterator[Ear]:
    """Listens at `path`; one that begins with `@` is in the abstract namespace."""
    address = str(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Ear(listening, address)
