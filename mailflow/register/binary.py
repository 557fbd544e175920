"""How values go to PostgreSQL and come from there: as it holds them. As text, which is what is usual, octets take twice
their length, and each is spelled out and read again."""

from typing import Any

import psycopg
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper

ARRAYS = psycopg.adapt.AdaptersMap(psycopg.adapters)
"""The way there, of lists; the driver sends single octets so by itself."""
ARRAYS.register_dumper(list, ListBinaryDumper)


class Cursor(psycopg.AsyncCursor[Any]):
    """The way back."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY
