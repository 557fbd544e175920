"""Hosts as network namespaces on one switch, each of which can be cut off from any other in either direction.

What is cut goes to nowhere, in silence, as in a network that is broken: nobody is told that nobody is there. Everything
lies within a namespace of its own (`alone`), so that nothing of the machine is touched. Needs root, as `ip netns` does.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PREFIX = "10.77.0"
SUBNET = f"{PREFIX}.0/24"
_NOWHERE = f"{PREFIX}.250"
"""An address whose Ethernet address nobody has."""
_NOBODY = "02:00:00:00:00:fe"
_CLONE_NEWNET = 0x40000000
_WITHIN = "MAILFLOW_TEST_NETWORK"


def alone() -> None:
    """Start this very program again in a network of its own, unless it is in one."""
    if os.environ.get(_WITHIN) != "1":
        command = ["unshare", "--net", sys.executable, "-m", _module(), *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, _WITHIN: "1"})


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    assert spec is not None
    return spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine, or an address of one."""

    name: str
    namespace: str
    address: str
    device: str

    def enter(self) -> None:
        """This process, and what it starts from now on, lives on that host."""
        with open(f"/run/netns/{self.namespace}", "rb") as file:  # noqa: PTH123  a descriptor is wanted
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def command(self, *arguments: str) -> list[str]:
        """What runs a program there."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def cut(self, *others: "Host") -> None:
        """Nothing that is sent from here reaches the others."""
        for other in others:
            self._ip("route", "replace", other.address, "via", _NOWHERE, "dev", self.device)

    def heal(self, *others: "Host") -> None:
        for other in others:
            with contextlib.suppress(subprocess.CalledProcessError):
                self._ip("route", "del", other.address, "via", _NOWHERE, "dev", self.device)

    def _ip(self, *arguments: str) -> None:
        ip("-n", self.namespace, *arguments)


def cut(one: Host, other: Host) -> None:
    """In both directions."""
    one.cut(other)
    other.cut(one)


def heal(one: Host, other: Host) -> None:
    one.heal(other)
    other.heal(one)


class Network:
    """A context manager: a switch, `mail` with the mail servers of this process, and hosts as they are asked for."""

    def __init__(self) -> None:
        self._name = f"mailflow-{os.getpid()}"
        self._hosts: dict[str, Host] = {}
        self.mail = Host(name="mail", namespace=self._name, address=f"{PREFIX}.1", device="lan")

    def __enter__(self) -> Self:
        ip("netns", "attach", self._name, str(os.getpid()))
        ip("link", "set", "lo", "up")
        ip("link", "add", "name", "lan", "type", "bridge")
        ip("addr", "add", f"{self.mail.address}/24", "dev", "lan")
        ip("link", "set", "lan", "up")
        self._nowhere(self.mail)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts.values():
            # With its namespace a cable goes some time later only, and the next network wants its name.
            ip("link", "del", f"to-{host.name}")
        ip("link", "del", "lan")
        for host in (*self._hosts.values(), self.mail):
            ip("netns", "del", host.namespace)

    def host(self, name: str) -> Host:
        """The host of that name, whole and on the switch."""
        if name not in self._hosts:
            number = len(self._hosts) + 11
            host = Host(name=name, namespace=f"{self._name}-{name}", address=f"{PREFIX}.{number}", device="eth0")
            ip("netns", "add", host.namespace)
            self._hosts[name] = host
            ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            ip("link", "set", f"to-{name}", "master", "lan", "up")
            inside = ("-n", host.namespace)
            ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip(*inside, "link", "set", device, "up")
            self._nowhere(host)
        return self._hosts[name]

    def unplug(self, host: Host) -> None:
        """Its cable is out: it reaches nobody."""
        ip("link", "set", f"to-{host.name}", "down")

    def plug(self, host: Host) -> None:
        ip("link", "set", f"to-{host.name}", "up")

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        everybody = (self.mail, *self._hosts.values())
        for host in self._hosts.values():
            self.plug(host)
        for host in everybody:
            host.heal(*(other for other in everybody if other is not host))

    def _nowhere(self, host: Host) -> None:
        to = ("lladdr", _NOBODY, "dev", host.device, "nud", "permanent")
        ip("-n", host.namespace, "neigh", "replace", _NOWHERE, *to)


def ip(*arguments: str) -> None:
    """One command of iproute2. Raises CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def possible() -> Sequence[str]:
    """What is missing for this; nothing when it can be had here."""
    if os.geteuid() != 0:
        return ["root"]
    tried = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], check=False, capture_output=True)
    return [] if tried.returncode == 0 else ["network namespaces"]
