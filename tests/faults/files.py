"""Operations on files that fail: ENOSPC, EIO, EACCES, EMFILE, ENOLCK.

What the interpreter asks of the system is heard of by audit events (PEP 578), and an event whose hook raises does not
happen. To read and to write have none: there the opened file gets, in place of its own descriptor, one on a device that
fails, so that the error is the system's, at whatever call it tells it. What SQLite does with its files, each fsync of
the worker among it, is its own; `statements` has how that fails.
"""

import errno
import io
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from mailflow.selftest.points import Point, reach

ERRORS = {
    "no space left": errno.ENOSPC,
    "input/output error": errno.EIO,
    "permission denied": errno.EACCES,
    "too many open files": errno.EMFILE,
}
LOCKING = {"no locks available": errno.ENOLCK, "input/output error": errno.EIO}
"""As a server says whose files are reached by a network."""
DEVICES = {"input/output error": "/proc/self/mem", "no space left": "/dev/full"}
"""Where the first octet cannot be had, or be put. No space is short only of writers."""
_EVENTS = frozenset(
    {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate",
     "fcntl.flock", "sqlite3.connect"}
)  # fmt: skip
_WORKER = re.compile(r"\.worker\..*\.(?=lock$)")
"""A lock that is named for one process."""
_heard_below: list[str] = []


def hows(point: Point) -> Sequence[str]:
    """What can go wrong at an operation."""
    match point.name.split(" ", 1)[0]:
        case "flock":
            return tuple(LOCKING)
        case "read":
            return ("input/output error",)
        case "write":
            return tuple(DEVICES)
    return tuple(ERRORS)


def listen(folder: Path) -> None:
    """From now on operations on files below the folder are points. A hook stays as long as the process does."""
    if not _heard_below:
        sys.addaudithook(_hear)
        setattr(io, "open", _opening(io.open))  # noqa: B010  mypy would not have a function assigned
    _heard_below[:] = [f"{folder}{os.sep}"]


def _name_of(file: object) -> str:
    """Of a file below the folder, by its path or its descriptor, the same in each run; else ""."""
    path = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else file
    path = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    return _WORKER.sub(".worker.", path.removeprefix(_heard_below[0])) if path.startswith(_heard_below[0]) else ""


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS or not arguments or not (name := _name_of(arguments[0])):
        return
    what = "listdir" if event == "os.scandir" else event.rpartition(".")[2]  # which of the two, Python decides
    how = reach("file", f"{what} {name}")
    if how is not None and event == "sqlite3.connect":
        raise sqlite3.OperationalError("unable to open database file")
    if how is not None:
        code = (ERRORS | LOCKING)[how]
        raise OSError(code, os.strerror(code), _heard_below[0] + name)


def _opening(opened: Callable[..., IO[Any]]) -> Callable[..., IO[Any]]:
    """`io.open`, of which each file is broken that is to be read or written anew. Nothing is added to one of ours."""

    def opening(file: Any, mode: str = "r", *rest: Any, **options: Any) -> IO[Any]:
        stream = opened(file, mode, *rest, **options)
        name = _name_of(file)
        what = "read" if "r" in mode else "write" if {"w", "x"} & {*mode} else ""
        how = reach("file", f"{what} {name}") if name and what else None
        if how is not None:
            device = os.open(DEVICES[how], os.O_RDWR)
            os.dup2(device, stream.fileno())
            os.close(device)
        return stream

    return opening
