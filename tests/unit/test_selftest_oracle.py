"""The oracle of the self-test: what was sent decides, whatever lies in the mailboxes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from mailflow.mail.desk import AnswerRefused
from mailflow.selftest.boxes import Contents
from mailflow.selftest.letters import MARK, Letter
from mailflow.selftest.oracle import Oracle, Wrong

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FILES = ("DEMZ5935-202603021000-000001.xml", "DEMZ5935-202603021000-000002.xml")


def number(sequence: int) -> str:
    return f"0590326{sequence:06}Z5935"


@dataclass
class Reader:
    """Opens answers that are written `number number`, one for each file."""

    def open(self, software: object, raw: bytes, at: datetime) -> Any:
        said = raw.rpartition(b"\r\n")[2].split()
        if said == [b"sealed"]:
            raise AnswerRefused("cannot be opened")
        return SimpleNamespace(files=dict(zip((f"RET{name[3:]}" for name in FILES), said, strict=False)))


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    read: Callable[[bytes], list[Any]] = lambda content: [  # noqa: E731  one line of a test
        SimpleNamespace(number=one.decode()) for one in content.split(b",") if one != b"-"
    ]
    monkeypatch.setattr("mailflow.selftest.oracle.read_told", read)
    return Oracle(installation=Reader(), copies=1)  # type: ignore[arg-type]  # all that it is asked for


def letter(name: str) -> Letter:
    return Letter(message_id=f"<{name}{MARK}", software=None, files=FILES, raw=b"")  # type: ignore[arg-type]  # no desk


def asked(name: str) -> bytes:
    return f"Message-ID: <{name}{MARK}\r\n\r\n".encode()


def answer(name: str, *numbers: str, id_: str = "a") -> bytes:
    return f"Message-ID: <{id_}@service>\r\nIn-Reply-To: <{name}{MARK}\r\n\r\n{' '.join(numbers)}".encode()


def judged(oracle: Oracle, name: str, *audit: bytes, **folders: list[bytes]) -> list[StrEnum]:
    lying: dict[str, list[bytes]] = {"inbox": [], "processed": [asked(name)], "quarantine": [], **folders}
    found = oracle.judge([letter(name)], Contents(audit=audit, **lying), AT)
    return [finding.wrong for finding in found]


def test_nothing_is_wrong_with_a_number_for_each_file(oracle: Oracle) -> None:
    assert judged(oracle, "1", answer("1", number(1), number(2))) == []
    assert judged(oracle, "2", answer("2", number(3), number(4))) == []


@pytest.mark.parametrize(
    ("audit", "wrong"),
    [
        ([], [Wrong.LOST]),
        ([answer("1", number(1), "-")], [Wrong.LOST]),
        ([answer("1", f"{number(1)},{number(2)}", number(3))], [Wrong.DOUBLED]),
        ([answer("1", number(1), number(1))], [Wrong.DOUBLED]),
        ([answer("1", number(1), number(3))], [Wrong.DOUBLED]),
        ([answer("1", number(1), number(2)), answer("1", number(1), number(2), id_="b")], [Wrong.SECOND]),
        ([answer("1", number(1), number(2))] * 2, [Wrong.SECOND]),
        ([answer("1", "sealed")], [Wrong.OTHER, Wrong.LOST, Wrong.LOST]),
        ([answer("1", number(1), number(2)), answer("unknown", number(3))], [Wrong.OTHER]),
    ],
)
def test_what_is_lost_doubled_or_answered_again_is_found(
    oracle: Oracle, audit: list[bytes], wrong: list[Wrong]
) -> None:
    assert judged(oracle, "1", *audit) == wrong


def test_a_hole_is_told_once_and_a_number_of_an_earlier_run_is_remembered(oracle: Oracle) -> None:
    assert judged(oracle, "1", answer("1", number(1), number(3))) == [Wrong.DOUBLED]
    assert judged(oracle, "2", answer("2", number(4), number(5))) == []
    assert judged(oracle, "3", answer("3", number(5), number(6))) == [Wrong.DOUBLED]


def test_a_late_answer_to_an_earlier_run_is_a_second_one(oracle: Oracle) -> None:
    assert judged(oracle, "1", answer("1", number(1), number(2))) == []
    late = answer("1", number(1), number(2), id_="late")
    assert judged(oracle, "2", answer("2", number(3), number(4)), late) == [Wrong.SECOND]


@pytest.mark.parametrize(
    "folders",
    [{"inbox": [asked("1")]}, {"processed": []}, {"processed": [asked("1")] * 2}, {"quarantine": [asked("9")]}],
)
def test_a_mail_that_lies_where_it_should_not_is_found(oracle: Oracle, folders: dict[str, list[bytes]]) -> None:
    assert judged(oracle, "1", answer("1", number(1), number(2)), **folders) == [Wrong.OTHER]


def test_as_many_copies_are_waited_for_as_the_server_makes(oracle: Oracle) -> None:
    oracle.copies = 2
    one = answer("1", number(1), number(2))
    assert not oracle.enough([letter("1")], [one])
    assert oracle.enough([letter("1")], [one, one])
    assert judged(oracle, "1", one, one) == []
