"""What is told while the register cannot be read, by processes that each live for a moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailflow.app.attendance import RegisterAway
from mailflow.core.alerting import Channel
from mailflow.ops.course import Telling

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TELLING = Telling(channels=frozenset(Channel), remind=timedelta(hours=24), escalate=timedelta(hours=1))


def look(memory: Path, at: datetime) -> list[Channel]:
    """One process: whom it tells, and does."""
    away = RegisterAway.remembered(memory)
    due = away.due(TELLING, at)
    away.told |= dict.fromkeys(due, at)
    away.keep()
    return due


def test_each_is_told_once_however_many_processes_find_it(tmp_path: Path) -> None:
    memory = tmp_path / "away.json"
    told = {minutes: look(memory, AT + minutes * MINUTE) for minutes in range(0, 1500, 5)}
    assert {minutes: channels for minutes, channels in told.items() if channels} == {
        5: [Channel.FIRST, Channel.WEBHOOK],
        60: [Channel.SECOND],
        1445: [Channel.FIRST, Channel.WEBHOOK],
    }


def test_once_it_is_back_nothing_is_remembered(tmp_path: Path) -> None:
    memory = tmp_path / "away.json"
    look(memory, AT)
    away = RegisterAway.remembered(memory)
    away.since = None
    away.keep()
    assert not memory.exists()
    assert look(memory, AT + timedelta(days=1)) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"told": {"nobody": "now"}, "since": 5}'])
def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    memory = tmp_path / "away.json"
    memory.write_bytes(content)
    assert RegisterAway.remembered(memory).since is None
    assert RegisterAway.remembered(tmp_path).since is None
    assert RegisterAway.remembered(None).due(TELLING, AT) == []
