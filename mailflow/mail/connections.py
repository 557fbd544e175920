"""Connections to one server, opened when needed and used again.

Whoever waits for one takes whichever is ready first: a new one, or one that somebody else has done with. So a server
that lets no more of them in, at once or after a long silence, holds up nothing that the others can carry; only when
there are no others is it a failure.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

AGAIN_SECONDS = 1.0
"""After one that could not be opened, until another is tried while there are some to wait for."""


class Reusable(Protocol):
    """What a connection must be able to tell and to do."""

    @property
    def usable(self) -> bool:
        """It is open, and the server will still know it."""

    def abort(self) -> None:
        """Drop it at once."""


C = TypeVar("C", bound=Reusable)


class Connections(Generic[C]):
    """As many as are taken at once. Whoever takes one gives it back by `put_back` or `drop`, whatever happens."""

    def __init__(self, open_: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._open = open_
        self._idle: list[C] = []
        self._taken: set[C] = set()
        self._waiting: deque[asyncio.Future[C]] = deque()
        self._opening: set[asyncio.Task[C]] = set()
        self._failed_at = float("-inf")
        self._closed = False

    async def take(self) -> C:
        """The idle one used last, so that a small load keeps few; else one to come. Raises what opening it raises."""
        if (idle := self._usable_idle()) is not None:
            self._taken.add(idle)
            return idle
        waiting: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        if not self._may_wait() or self._now() - self._failed_at >= AGAIN_SECONDS:
            self._open_another()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and not waiting.exception():
                self.put_back(waiting.result())
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def take_new(self) -> C:
        """One that nobody has used before. Raises what opening it raises."""
        opened = await self._open()
        self._taken.add(opened)
        return opened

    def put_back(self, connection: C) -> None:
        """It can be used again."""
        self._taken.discard(connection)
        self._hand_out(connection)

    def drop(self, connection: C) -> None:
        """It cannot be used again. To say so twice does no harm."""
        connection.abort()
        self._taken.discard(connection)
        if not self._may_wait():
            for _ in self._waiting:
                self._open_another()

    def close(self) -> list[C]:
        """The idle ones, to take leave of. The others are dropped when nobody needs them any more."""
        self._closed = True
        for task in self._opening if not self._waiting else ():
            task.cancel()
        idle, self._idle = self._idle, []
        return idle

    def _may_wait(self) -> bool:
        """One is in use, or on its way, and will come to whoever waits."""
        return bool(self._taken or self._opening)

    def _open_another(self) -> None:
        """Those that nobody waits for any more are waited for first: there are never more than were once needed."""
        if len(self._opening) < len(self._waiting):
            task = asyncio.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[C]") -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._hand_out(task.result())
            return
        self._failed_at = self._now()
        while self._waiting and not self._may_wait():
            self._tell_first(lambda waiting: waiting.set_exception(error))

    def _hand_out(self, connection: C) -> None:
        if self._tell_first(lambda waiting: waiting.set_result(connection)):
            self._taken.add(connection)
        elif self._closed:
            connection.abort()
        else:
            self._idle.append(connection)

    def _tell_first(self, tell: "Callable[[asyncio.Future[C]], None]") -> bool:
        """Whoever has waited longest; whether there was anybody."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                tell(waiting)
                return True
        return False

    def _usable_idle(self) -> C | None:
        usable = []
        for connection in self._idle:
            if connection.usable:
                usable.append(connection)
            else:
                connection.abort()
        self._idle = usable
        return usable.pop() if usable else None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
