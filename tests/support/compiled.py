"""What a statement comes to in SQL is found out once in a process, not by each of a thousand registers anew.

An engine keeps what it has compiled, and tests open an engine for each register: compiling was a tenth of their time.
"""

from collections import defaultdict
from typing import Any

import sqlalchemy as sa


class _Shared(dict[Any, Any]):
    """As SQLAlchemy keeps it, but that the engine's own dialect, which each key begins with, is left out."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)


_compiled: dict[str, _Shared] = defaultdict(_Shared)
"""By the name of the dialect: of each kind of database there is one driver."""


def share() -> None:
    """From now on, for every register of this process."""
    if not sa.event.contains(sa.Engine, "engine_connect", _take):
        sa.event.listen(sa.Engine, "engine_connect", _take)


def _take(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_compiled[connection.dialect.name])
