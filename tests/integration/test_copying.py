"""A copy of a register in a file is one moment of it, and has an end whatever others do meanwhile.

One that does not become whole leaves nothing, on either database.
"""

import resource
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.errors import Misconfigured, Unavailable
from mailflow.register import copying
from mailflow.register.key_store import beside
from tests.support.disks import make_room, small_disk

ROWS = 3_000
SECONDS_MAX = 60.0
TOO_FEW, ENOUGH = 32 * 1024, 64 * 1024 * 1024
"""Octets of a disk."""


def a_database(file: Path) -> None:
    with sqlite3.connect(file) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE one (id INTEGER PRIMARY KEY, said BLOB, turn INTEGER NOT NULL)")
        made.executemany("INSERT INTO one (said, turn) VALUES (?, 0)", [(b"x" * 3_000,)] * ROWS)
    made.close()


def test_it_ends_though_others_commit_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAGES_AT_A_TIME", 1)
    file, folder, over = tmp_path / "register.db", tmp_path / "copies", threading.Event()
    url = f"sqlite:///{file}"
    a_database(file)
    a_database(Path(beside(url).removeprefix("sqlite:///")))
    folder.mkdir()

    def write() -> int:
        writer, turns = sqlite3.connect(file, isolation_level=None), 0
        while not over.is_set():
            writer.execute("UPDATE one SET turn = turn + 1 WHERE id IN (1, ?)", [ROWS])
            turns += 1
        writer.close()
        return turns

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        try:
            copy = threads.submit(copying.take, url, None, folder).result(SECONDS_MAX)
        finally:
            over.set()
        assert writing.result() > 0
    copied = sqlite3.connect(copy.register)
    assert copied.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ((first,), (last,)) = copied.execute("SELECT turn FROM one WHERE id IN (1, ?)", [ROWS]).fetchall()
    copied.close()
    assert first == last, "one moment of it"


def test_a_folder_without_room_is_named_and_serves_once_it_has_some(
    request: pytest.FixtureRequest, register_url: str, tmp_path: Path
) -> None:
    disk = small_disk(request, tmp_path, TOO_FEW)
    wanted = copying.files_in(disk, register_url)
    with pytest.raises(Unavailable, match=f"^{wanted.register}: .*(full|No space left).*make room"):
        copying.take(register_url, None, disk)
    assert not list(disk.iterdir())
    make_room(disk, ENOUGH)
    copy = copying.take(register_url, None, disk)
    assert sorted(disk.iterdir()) == sorted([copy.register, copy.keys])
    assert {file.stat().st_mode & 0o777 for file in disk.iterdir()} == {0o600}


def test_what_sqlite_leaves_of_a_write_that_fails_is_not_left_either(tmp_path: Path) -> None:
    file, folder = tmp_path / "register.db", tmp_path / "copies"
    a_database(file)
    folder.mkdir()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size // 2, most))
    try:
        with pytest.raises(Unavailable, match=f"^{folder / 'register.db'}: "):
            copying.take(f"sqlite:///{file}", None, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert not list(folder.iterdir())


def test_of_a_key_store_that_cannot_be_copied_the_register_is_not_left_either(
    register_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    no_database = tmp_path / "keys.txt"
    no_database.write_text("not a key store, and longer than the head of one" * 100)
    elsewhere = f"{no_database}" if register_url.startswith("sqlite:") else "nowhere"
    keys_url = sa.make_url(register_url).set(database=elsewhere).render_as_string(hide_password=False)
    with pytest.raises(Unavailable, match=f"^{copying.files_in(folder, register_url).keys}: "):
        copying.take(register_url, keys_url, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("which", ["register", "keys"])
def test_a_copy_that_is_there_is_neither_overwritten_nor_removed(register_url: str, tmp_path: Path, which: str) -> None:
    earlier: Path = getattr(copying.files_in(tmp_path, register_url), which)
    earlier.write_text("of yesterday")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Misconfigured, match=f"{earlier}: is there already"):
        copying.take(register_url, None, tmp_path)
    assert (sorted(tmp_path.iterdir()), earlier.read_text()) == (before, "of yesterday")
