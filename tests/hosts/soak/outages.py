"""Servers that are stopped or killed at random moments, and come back some seconds later."""

import contextlib
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.hosts.beside import Beside
from tests.servers.process import ServerFailedError

AWAY_SECONDS_MIN = 0.5
STARTS_MAX = 3
LOOK_SECONDS = 0.1


class Server(Protocol):
    """What can be taken away."""

    def restart(self, *, kill: bool = False, away_seconds: float = 0.0) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A server was away."""

    server: str
    killed: bool
    begun: float
    """Of the monotonic clock, as `ended`."""
    ended: float


@dataclass(kw_only=True)
class Outages(Beside):
    """Happen within the block: every so often on average, each so long on average."""

    servers: Mapping[str, Server]
    chance: random.Random
    every_seconds: float
    away_seconds: float
    kept: Mapping[str, threading.Lock] = field(default_factory=dict)
    """By server: whoever holds this does not want it to be taken away."""
    after: threading.Event = field(default_factory=threading.Event)
    """They begin once this is set."""
    told: list[Outage] = field(default_factory=list)

    def _go_on(self) -> None:
        while not self.after.wait(LOOK_SECONDS):
            if self._over.is_set():
                return
        pause = self.chance.uniform(0, self.every_seconds)
        while self.servers and not self._over.wait(pause):
            self._take_away(self.chance.choice(sorted(self.servers)))
            pause = self.chance.expovariate(1 / self.every_seconds)

    def _take_away(self, name: str) -> None:
        killed = self.chance.random() < 0.5
        away = self.chance.uniform(AWAY_SECONDS_MIN, max(2 * self.away_seconds - AWAY_SECONDS_MIN, AWAY_SECONDS_MIN))
        with self.kept.get(name, contextlib.nullcontext()):
            begun = time.monotonic()
            self._restart(self.servers[name], kill=killed, away_seconds=away)
            self.told.append(Outage(server=name, killed=killed, begun=begun, ended=time.monotonic()))

    def _restart(self, server: Server, *, kill: bool, away_seconds: float) -> None:
        """On a busy machine a server may need more than one attempt to be there in time."""
        for _ in range(STARTS_MAX - 1):
            with contextlib.suppress(ServerFailedError, OSError):
                server.restart(kill=kill, away_seconds=away_seconds)
                return
        server.restart(kill=kill, away_seconds=away_seconds)
