"""How long PostgreSQL may take to answer. The server's own timeouts end nothing when it is the server that is frozen:
the kernel below it, or a proxy before it, acknowledges what we send, and nobody is taken for gone."""

import asyncio
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

from mailflow.register.database import STATEMENT_SECONDS_MAX, VANISHED_SECONDS

ANSWER_SECONDS_MAX = STATEMENT_SECONDS_MAX + VANISHED_SECONDS
"""Later than any timeout of a server that is well, which says more."""


class Connection(psycopg.AsyncConnection[Any]):
    """Whatever it is asked, its answer comes in time or an OperationalError, for which the driver may take some seconds
    more: it asks the server to let go before it closes the connection. How long connecting takes is the driver's."""

    async def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        """For an answer of the server."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await super().wait(gen, *args, **options)
        except TimeoutError as error:
            raise psycopg.OperationalError("no answer in time") from error

    async def commit(self) -> None:
        """As long as it takes: it may wait for a standby, and who gave up, and so let the server go on without it,
        would have committed on one host alone."""
        async with self.lock:
            await super().wait(self._commit_gen())
