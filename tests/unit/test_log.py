"""A log line identifies; it never tells."""

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow import log
from tests.support.listening import Ear, service_manager

LOGGER = logging.getLogger("mailflow.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("mailflow")
    before = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    log.configure(form="text", level="info", stream=stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_a_line_begins_with_the_intake_and_the_stage(stream: io.StringIO) -> None:
    log.event(LOGGER, "decided", requests=3, desk="59123", intake=812)
    assert stream.getvalue().rstrip().endswith(" info mailflow.test intake=812 stage=decided requests=3 desk=59123")


def test_an_identifier_that_is_none_is_left_out(stream: io.StringIO) -> None:
    log.event(LOGGER, "seen", desk=None)
    assert "desk" not in stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        "Dupont",
        "LE GOFF",
        "Élodie",
        "jeanne@example.org",
        "1980-02-29",
        "29/02/1980",
        "12 rue des Lilas",
        "x\ny",
        "",
        "é",
    ],
)
def test_content_is_not_written(stream: io.StringIO, content: str) -> None:
    log.event(LOGGER, "decided", desk=content)
    assert stream.getvalue().rstrip().endswith("stage=decided desk=?")


@pytest.mark.parametrize(
    "identifier",
    [
        "59123",
        "MA07X",
        "059042300004259123",
        "CTRL_SIG_0001",
        "DEM59123-202311021530-000042.xml",
        "ATT59123-202311021530-000042-2.pdf",
        "4.7.1",
        "set_aside",
        "data-450-4.7.1",
        "__init__.py-98",
        "0123456789abcdef" * 4,
    ],
)
def test_identifiers_are_written(stream: io.StringIO, identifier: str) -> None:
    log.event(LOGGER, "decided", it=identifier)
    assert f"it={identifier}\n" in stream.getvalue()


@given(st.text())
def test_whatever_the_text_there_is_one_line_without_blanks_in_values(text: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    record = logging.LogRecord("mailflow", logging.INFO, "", 1, text, (), None)
    handler.setFormatter(log._Text())
    handler.handle(record)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().rstrip("\n").endswith(" stage=foreign at=mailflow:1")


def test_of_a_library_only_the_place_is_kept(stream: io.StringIO) -> None:
    logging.getLogger("aioimaplib").warning("received %s", "Madame Dupont")
    assert "Dupont" not in stream.getvalue()
    assert "stage=foreign at=aioimaplib:" in stream.getvalue()


def test_of_an_error_the_class_and_the_place_are_kept_but_not_its_text(stream: io.StringIO) -> None:
    def fail() -> None:
        raise KeyError("Madame Dupont")

    with pytest.raises(KeyError) as caught:
        fail()
    log.fault(LOGGER, "crashed", caught.value, intake=7)
    line = stream.getvalue()
    assert "intake=7 stage=crashed error=KeyError at=" in line
    assert "Dupont" not in line


def test_json_carries_the_same_pairs(stream: io.StringIO) -> None:
    log.configure(form="json", level="info", stream=stream)
    log.event(LOGGER, "decided", intake=812)
    line = json.loads(stream.getvalue())
    assert {
        "logger": "mailflow.test",
        "level": "info",
        "stage": "decided",
        "intake": "812",
    }.items() <= line.items()


def test_what_lies_below_the_level_is_not_written(stream: io.StringIO) -> None:
    log.event(LOGGER, "polled", level=logging.DEBUG)
    assert stream.getvalue() == ""


# The journal


@pytest.fixture
def journal(stream: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    """What systemd sets up: standard error joined to the journal, and its socket. `stream` puts all back in the end."""
    monkeypatch.setattr(log, "JOURNAL", str(tmp_path / "journal"))
    with (tmp_path / "stderr").open("w") as joined, service_manager(tmp_path / "journal") as listening:
        found = os.fstat(joined.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log.configure(form="auto", level="info", stream=joined)
        yield listening
        for handler in logging.getLogger().handlers:
            handler.close()


def test_the_journal_gets_each_pair_as_a_field(journal: Ear) -> None:
    log.event(LOGGER, "decided", level=logging.WARNING, requests=3, desk="59123", intake=812, who="Dupont")
    (entry,) = journal.so_far()
    assert entry == {
        "MESSAGE": "mailflow.test intake=812 stage=decided requests=3 desk=59123 who=?",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "mailflow",
        "LOGGER": "mailflow.test",
        "MAILFLOW_INTAKE": "812",
        "MAILFLOW_STAGE": "decided",
        "MAILFLOW_REQUESTS": "3",
        "MAILFLOW_DESK": "59123",
        "MAILFLOW_WHO": "?",
    }


@given(content=st.text())
def test_no_content_reaches_the_journal_nor_forges_a_field(content: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        sent: list[bytes] = []
        patch.setattr(socket.socket, "sendto", lambda self, octets, address: sent.append(octets))
        handler = log._Journal(logging.NullHandler())
        foreign = logging.LogRecord("lib", logging.ERROR, "lib.py", 1, "%s", (content,), None)
        ours = logging.makeLogRecord({"name": "mailflow.x", "pairs": {"stage": log.safe(content)}})
        for record in (foreign, ours):
            handler.emit(record)
        handler.close()
    names = [line.partition(b"=")[0] for octets in sent for line in octets.splitlines()]
    head = [b"MESSAGE", b"PRIORITY", b"SYSLOG_IDENTIFIER", b"LOGGER", b"MAILFLOW_STAGE"]
    assert names == [*head, b"MAILFLOW_AT", *head]


def test_a_line_that_the_journal_does_not_take_goes_to_standard_error(
    journal: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "JOURNAL", str(tmp_path / "gone"))
    log.event(LOGGER, "decided", intake=812)
    assert "intake=812 stage=decided" in (tmp_path / "stderr").read_text()


def test_another_stream_than_the_joined_one_gets_text(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    log.configure(form="auto", level="info", stream=stream)
    log.event(LOGGER, "decided", intake=812)
    assert stream.getvalue().rstrip().endswith("info mailflow.test intake=812 stage=decided")
