"""Operations on files that fail, of those that the interpreter does for the service: ENOSPC, EIO, EACCES, EMFILE.

They are heard of by audit events (PEP 578), and an event whose hook raises does not happen. What SQLite does with its
files is its own; `statements` has how that fails.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mailflow.selftest.points import Point, reach

ERRORS = {
    "no space left": errno.ENOSPC,
    "input/output error": errno.EIO,
    "permission denied": errno.EACCES,
    "too many open files": errno.EMFILE,
}
_EVENTS = frozenset(
    {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate",
     "sqlite3.connect"}
)  # fmt: skip
_heard_below: list[str] = []


def hows(_: Point) -> Sequence[str]:
    """What can go wrong at an operation."""
    return tuple(ERRORS)


def listen(folder: Path) -> None:
    """From now on operations on files below the folder are points. A hook stays as long as the process does."""
    if not _heard_below:
        sys.addaudithook(_hear)
    _heard_below[:] = [f"{folder}{os.sep}"]


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS or not arguments or not isinstance(arguments[0], str | os.PathLike):
        return
    path = os.fspath(arguments[0])
    if not isinstance(path, str) or not path.startswith(_heard_below[0]):
        return
    what = "listdir" if event == "os.scandir" else event.rpartition(".")[2]  # which of the two, Python decides
    how = reach("file", f"{what} {path.removeprefix(_heard_below[0])}")
    if how is not None and event == "sqlite3.connect":
        raise sqlite3.OperationalError("unable to open database file")
    if how is not None:
        raise OSError(ERRORS[how], os.strerror(ERRORS[how]), path)
