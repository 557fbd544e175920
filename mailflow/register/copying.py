"""Copies of a register and its key store while it is at work, and a copy made a register again, beside it.

First the register, then the key store: a content key is committed before what it seals, so the later copy has every
key that the earlier one needs. On SQLite by its own online backup; on PostgreSQL by `pg_dump` and `pg_restore`.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from mailflow.errors import Misconfigured, Unavailable
from mailflow.register.key_store import SCHEMA, beside
from mailflow.register.schemas import SELFTEST

PAGES_AT_A_TIME = 2_000
"""Between which writers have their turn."""
DEBIAN = "usr/lib/postgresql/*/bin"
"""Where Debian puts each version's programs; not all are on the PATH."""
REGISTER, KEYS = "register", "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The two files of a copy. They are to be kept apart: each says nothing without the other."""

    register: Path
    keys: Path


def files_in(folder: Path, url: str) -> Copy:
    """Where the copies of a register of this URL lie in a folder."""
    ending = "db" if url.startswith("sqlite:") else "dump"
    return Copy(register=folder / f"{REGISTER}.{ending}", keys=folder / f"{KEYS}.{ending}")


def take(url: str, keys_url: str | None, folder: Path) -> Copy:
    """Copy both into `folder`, whatever works on them meanwhile. Raises Unavailable and Misconfigured.

    Both or nothing: of a copy that fails no file is left.
    """
    copy = files_in(folder, url)
    with _new(copy.register), _new(copy.keys):
        if url.startswith("sqlite:"):
            _copy_file(_path(url), copy.register)
            _copy_file(_path(keys_url or beside(url)), copy.keys)
        else:
            _dump(url, copy.register, *(f"--exclude-schema={schema}" for schema in (SCHEMA, SELFTEST)))
            _dump(keys_url or url, copy.keys, f"--schema={SCHEMA}")
    return copy


@contextlib.contextmanager
def _new(file: Path) -> Iterator[None]:
    """A file of ours alone, readable for its owner alone, and gone again when what is to fill it fails."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Misconfigured(f"{file}: is there already; a copy is never overwritten") from None
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}") from None
    try:
        yield
    except BaseException:
        for left in (file, Path(f"{file}-journal")):  # SQLite cannot take that away where it cannot write
            left.unlink(missing_ok=True)
        raise


def _not_made(file: Path, why: str) -> Unavailable:
    return Unavailable(f"{file}: {why}. Nothing of the copy is left: if its folder is full, make room, and call again")


@contextlib.contextmanager
def restored(url: str, copy: Copy, folder: Path) -> Iterator[tuple[str, str]]:
    """The URLs of a register and its key store that are made of a copy, and are gone afterwards.

    On SQLite in `folder`; on PostgreSQL as a database of its own on the same server. Raises likewise.
    """
    if url.startswith("sqlite:"):
        for file in (copy.register, copy.keys):
            shutil.copy(file, folder / file.name)
        yield f"sqlite:///{folder / copy.register.name}", f"sqlite:///{folder / copy.keys.name}"
        return
    name = f"mailflow_drill_{os.urandom(6).hex()}"
    beside_it = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    _run("psql", "--quiet", "--no-psqlrc", f"--command=CREATE DATABASE {name} TEMPLATE template0", url)
    try:
        fill(beside_it, beside_it, copy)
        yield beside_it, beside_it
    finally:
        _run("psql", "--quiet", "--no-psqlrc", f"--command=DROP DATABASE {name} WITH (FORCE)", url)


def fill(url: str, keys_url: str, copy: Copy) -> None:
    """Make empty databases of PostgreSQL a register and its key store. Raises likewise."""
    for where, file in ((url, copy.register), (keys_url, copy.keys)):
        _run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={where}", f"{file}")


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _copy_file(file: Path, to: Path) -> None:
    if not file.exists():
        raise Misconfigured(f"{file}: is not there")
    source, target = sqlite3.connect(f"file:{file}?mode=ro", uri=True), sqlite3.connect(to)
    try:
        # One unchanging view: without it SQLite begins anew at each commit of others, and under a load for ever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        source.backup(target, pages=PAGES_AT_A_TIME)
    except sqlite3.Error as error:
        raise _not_made(to, f"{file.name} could not be copied ({error})") from None
    finally:
        target.close()
        source.close()


def _dump(url: str, to: Path, *which: str) -> None:
    try:
        _run("pg_dump", "--format=custom", *which, f"--file={to}", url)
    except Unavailable as error:
        raise _not_made(to, f"{error}") from None


def _run(program: str, *arguments: str) -> None:
    """A program of PostgreSQL's. What it says may hold an address, never anything of applicants."""
    done = subprocess.run([_program(program), *arguments], check=False, capture_output=True, text=True)  # noqa: S603  # no shell
    if done.returncode:
        last = done.stderr.strip().splitlines()
        raise Unavailable(f"{program}: {last[-1] if last else f'ended with {done.returncode}'}")


def _program(name: str) -> str:
    found: Sequence[str] = sorted(f"{file}" for file in Path("/").glob(f"{DEBIAN}/{name}"))
    program = shutil.which(name) or (found[-1] if found else None)
    if program is None:
        raise Misconfigured(f"{name}: is not installed (Debian: postgresql-client)")
    return program
