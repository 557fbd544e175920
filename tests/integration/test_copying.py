"""A copy of a register in a file is one moment of it, and has an end whatever others do meanwhile."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailflow.register import copying
from mailflow.register.key_store import beside

ROWS = 3_000
SECONDS_MAX = 60.0


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
