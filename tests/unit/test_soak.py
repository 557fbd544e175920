"""What judges a soak (`tests/hosts/soak`): each kind of wrong outcome is told, and a good one is not."""

import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import pytest

from mailflow.selftest.oracle import Finding
from tests.hosts.soak.mails import KEPT_MAX, Mail, with_repeats
from tests.hosts.soak.oracle import Answer, Fate, Oracle, Wrong
from tests.hosts.soak.outages import Outage
from tests.hosts.soak.plot import plot
from tests.hosts.soak.report import Soaked, written
from tests.hosts.soak.samples import Sample, grown, growths

FIRST, SECOND, THIRD = (f"0592611{number:06}05901" for number in (1, 2, 3))
BAD, DOCTYPE = "<bad@desk>", "<doctype@desk>"
DEADLINE = 100.0


def request(number: int) -> str:
    return f"<{number}@desk>"


def an_answer(to: str, *numbers: str, message_id: str = "", unread: str = "") -> Answer:
    return Answer(message_id=message_id or f"answer to {to}", in_reply_to=to, numbers=numbers, unread=unread)


def a_receipt(to: str, message_id: str = "receipt") -> Answer:
    return Answer(message_id=message_id, in_reply_to=to, numbers=(), is_receipt=True)


def a_soak(*answers: Answer, repeated: bool = False, seconds: float = 1.0) -> Oracle:
    """Two requests, the first perhaps sent twice, and two hostile mails; these answers, all after so many seconds."""
    oracle = Oracle(deadline_seconds=DEADLINE)
    for message_id in [request(1), request(2), *[request(1)] * repeated]:
        oracle.sent(message_id, Fate.NUMBER, f"mail {message_id}", at=0.0)
    oracle.sent(BAD, Fate.SILENCE, "not signed", at=0.0)
    oracle.sent(DOCTYPE, Fate.REFUSED, "a DOCTYPE", at=0.0)
    for answer in answers:
        oracle.answered(answer, at=seconds)
        oracle.audited(answer.message_id)
    return oracle


GOOD = (an_answer(request(1), FIRST), an_answer(request(2), SECOND), an_answer(DOCTYPE))
AGAIN = an_answer(request(1), FIRST, message_id="again")


def told(oracle: Oracle) -> set[StrEnum]:
    return {finding.wrong for finding in oracle.findings()}


def test_what_is_as_it_should_be_is_not_told() -> None:
    oracle = a_soak(*GOOD)
    assert not oracle.findings({"one": 1, "two": 1})
    assert (oracle.unanswered, oracle.answers, oracle.waits) == (0, 3, [1.0, 1.0, 1.0])


def test_a_mail_that_was_sent_twice_is_answered_twice_with_one_number() -> None:
    assert a_soak(*GOOD, repeated=True).unanswered == 1
    assert told(a_soak(*GOOD, repeated=True)) == {Wrong.LOST}
    assert not told(a_soak(*GOOD, AGAIN, repeated=True))
    other = an_answer(request(1), THIRD, message_id="again")
    assert told(a_soak(*GOOD, other, repeated=True)) == {Wrong.DOUBLED}


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        (GOOD[1:], Wrong.LOST),
        ((an_answer(request(1)), *GOOD[1:]), Wrong.LOST),
        ((*GOOD, AGAIN), Wrong.SECOND),
        ((GOOD[0], an_answer(request(2), FIRST), GOOD[2]), Wrong.DOUBLED),
        ((GOOD[0], an_answer(request(2), THIRD), GOOD[2]), Wrong.DOUBLED),
        ((*GOOD, an_answer(BAD)), Wrong.HOSTILE),
        ((*GOOD[:2], an_answer(DOCTYPE, THIRD)), Wrong.HOSTILE),
        ((*GOOD, an_answer("<nobody@desk>")), Wrong.OTHER),
        ((*GOOD, an_answer(request(1), unread="not signed", message_id="spoilt")), Wrong.OTHER),
    ],
    ids=[
        *("no answer", "no number", "a second answer", "one number for two", "a hole", "hostile", "hostile, a number"),
        *("an answer to nothing", "an answer that cannot be read"),
    ],
)
def test_what_is_wrong_is_told(answers: Sequence[Answer], wrong: Wrong) -> None:
    assert wrong in told(a_soak(*answers))


def test_several_numbers_for_one_request_are_told() -> None:
    assert Wrong.DOUBLED in told(a_soak(an_answer(request(1), FIRST, THIRD), *GOOD[1:]))


def test_a_copy_with_another_body_is_no_copy() -> None:
    soak = a_soak(*GOOD, replace(GOOD[0], digest="another"))
    assert [one.what for one in soak.findings()] == ["two different mails under one Message-ID"]


def test_copies_of_an_answer_are_counted_and_their_numbers_looked_at() -> None:
    assert a_soak(*GOOD, GOOD[0]).copies == 1
    assert not told(a_soak(*GOOD, GOOD[0]))
    assert told(a_soak(*GOOD, an_answer(request(1), THIRD))) == {Wrong.DOUBLED}


def test_a_receipt_ahead_of_an_answer_is_no_second_answer() -> None:
    oracle = a_soak(a_receipt(request(1)), *GOOD)
    assert not oracle.findings()
    assert (oracle.unanswered, oracle.answers, oracle.receipts) == (0, 3, 1)
    assert told(a_soak(a_receipt(request(1)), *GOOD[1:])) == {Wrong.LOST}, "nor is it an answer"


def test_more_than_one_receipt_is_too_much_and_nobody_who_is_not_proven_has_one() -> None:
    assert told(a_soak(a_receipt(request(1)), a_receipt(request(1), "again"), *GOOD)) == {Wrong.SECOND}
    assert told(a_soak(a_receipt(BAD), *GOOD)) == {Wrong.HOSTILE}


def test_what_was_given_to_the_mail_server_twice_is_a_second_answer() -> None:
    (finding,) = a_soak(*GOOD).findings({"one": 1, "two": 2})
    assert finding.wrong is Wrong.SECOND


def test_an_answer_after_the_deadline_is_late() -> None:
    assert not told(a_soak(*GOOD, seconds=DEADLINE))
    assert told(a_soak(*GOOD, seconds=DEADLINE + 1)) == {Wrong.LATE}


def test_an_answer_without_its_copy_is_told_and_a_copy_without_its_answer() -> None:
    oracle = a_soak(*GOOD)
    oracle.audited("of nothing")
    assert told(oracle) == {Wrong.OTHER}
    alone = a_soak(*GOOD[:2])
    alone.answered(GOOD[2], at=1.0)
    assert told(alone) == {Wrong.OTHER}


# Memory and descriptors


def samples(memory: Sequence[float], descriptors: Sequence[int] | None = None) -> list[Sample]:
    opened = descriptors or [50] * len(memory)
    return [
        Sample(at=float(at), main=mib, pool=40.0, descriptors=count)
        for at, (mib, count) in enumerate(zip(memory, opened, strict=True))
    ]


def test_memory_that_only_starts_or_swings_has_not_grown() -> None:
    starts = growths(samples([10, 60, 100, 101, 99, 100, 102, 100]))
    assert not grown(starts, 10)
    swings = growths(samples([100, 100, 100, 120, 100, 100, 300, 100, 100, 100, 120, 100]))
    assert not grown(swings, 10)


def test_memory_that_grows_is_told_and_so_are_descriptors() -> None:
    (main, both) = grown(growths(samples([100, 110, 120, 130, 140, 150, 160, 170])), 10)
    assert main.wrong is Wrong.GROWN
    assert "from 125 to 165, +32.0 %" in main.what
    assert "all" in both.what
    (opened,) = grown(growths(samples([100] * 4, [50, 50, 60, 70])), 10)
    assert "file descriptors" in opened.what


def test_of_a_few_samples_nothing_is_said() -> None:
    assert not growths(samples([10, 20, 30]))


# Mails


def test_good_mails_are_sent_again_octet_for_octet_and_no_others() -> None:
    made = [
        Mail(message_id=request(n), fate=Fate.SILENCE if n % 3 else Fate.NUMBER, what="", raw=b"%d" % n)
        for n in range(4 * KEPT_MAX)
    ]
    repeats = set(random.Random(1).sample(range(1, 4 * KEPT_MAX), 100))
    sent = list(with_repeats(iter(made), repeats, random.Random(2)))
    times = Counter(mail.message_id for mail in sent)
    assert len(sent) == len(made) + 100
    assert list(dict.fromkeys(sent)) == made, "the others in their order"
    assert all(mail.fate is Fate.NUMBER for mail in sent if times[mail.message_id] > 1)


# The report


def a_report(*findings: Finding) -> str:
    soaked = Soaked(
        command="python -m tests.hosts.soak",
        database="postgresql",
        workers=1,
        attested=False,
        sent=Counter({Fate.NUMBER: 1_900, Fate.SILENCE: 70, Fate.REFUSED: 30}),
        repeated=40,
        answers=1_930,
        receipts=17,
        copies=1,
        waits=[1.0, 2.0, 3.0],
        deadline_seconds=43_200,
        lasted_seconds=100.0,
        outages=[Outage(server="dovecot", killed=True, begun=0.0, ended=2.5)],
        measured=growths(samples([100] * 8)),
        percent_max=10,
        findings=findings,
    )
    return written(soaked, "soak.svg")


def test_the_report_says_what_was_sent_and_what_is_wrong() -> None:
    text = a_report()
    for part in ("2,000", "100, of which 70", "| 17 |", "12 h", "| dovecot | 0 | 1 |", "(soak.svg)", "**none**"):
        assert part in text
    text = a_report(Finding(wrong=Wrong.LOST, what="request 7"), Finding(wrong=Wrong.LOST, what="request 8"))
    assert "**Wrong: lost 2.**" in text
    assert "- lost: request 7" in text


def test_the_plot_is_one_whole_document() -> None:
    drawn = plot(
        samples([float(100 + n % 7) for n in range(3_000)]),
        [Outage(server="postfix", killed=True, begun=5.0, ended=9.0)],
    )
    root = ET.fromstring(drawn)
    lines = [element for element in root if element.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [750] * 4
    assert len(ET.fromstring(plot([], []))) == 1
